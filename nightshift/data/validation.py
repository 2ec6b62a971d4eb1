"""What an encoded image has to be, seen from its header alone, before a decoder touches it."""

import io
import warnings

from PIL import Image, UnidentifiedImageError

from nightshift.data.limits import MAX_ENCODED_BYTES, MAX_PIXELS

PNG_BIT_DEPTH_OFFSET = 24


def fault_of(contents: bytes, least_size: tuple[int, int] = (1, 1)) -> str:
    """Why an encoded image cannot be used, or '' if its header shows nothing wrong.

    Args:
        contents: a JPEG or a PNG, or something else.
        least_size: height and width in pixels.
    """
    if len(contents) > MAX_ENCODED_BYTES:
        return f"has {len(contents)} bytes, expected at most {MAX_ENCODED_BYTES}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(contents), formats=("JPEG", "PNG"))
    except UnidentifiedImageError:
        return "is neither a JPEG nor a PNG, or its header is damaged"
    except Image.DecompressionBombError:
        return f"has more than {MAX_PIXELS} pixels"
    except (OSError, SyntaxError, ValueError) as error:
        return f"has a damaged header ({error})"
    with image:
        return fault_of_header(image, contents) or fault_of_size(image.height, image.width, least_size)


def fault_of_size(height: int, width: int, least_size: tuple[int, int]) -> str:
    """Why an image is too small, or ''; `least_size` is height and width in pixels."""
    if height < least_size[0] or width < least_size[1]:
        return f"has {width}x{height} pixels, expected at least {least_size[1]}x{least_size[0]}"
    return ""


def fault_of_header(image: Image.Image, contents: bytes) -> str:
    """Why an image, opened but not decoded, is of no kind that is taken, or ''."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        return f"has {width}x{height} pixels, expected at most {MAX_PIXELS}"
    if image.mode == "CMYK":
        return "is CMYK, expected grey or RGB"
    # A JPEG with several pictures (MPO, from phones) is one photograph with extras; its first picture counts.
    if image.format == "PNG":
        if contents[PNG_BIT_DEPTH_OFFSET] > 8:
            return f"has {contents[PNG_BIT_DEPTH_OFFSET]} bits a channel, expected at most 8"
        if getattr(image, "is_animated", False):
            return "is animated"
    return ""
