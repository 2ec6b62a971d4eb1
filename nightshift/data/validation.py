"""What an encoded image has to be, seen from its header alone, before a decoder touches it."""

import io
import warnings

from PIL import Image, UnidentifiedImageError

from nightshift.data.limits import MAX_ENCODED_BYTES, MAX_PIXELS

PNG_BIT_DEPTH_OFFSET = 24


def fault_of(contents: bytes) -> str:
    """Why an encoded image cannot be used, or '' if its header shows nothing wrong."""
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
        return _fault_of_header(image, contents)


def _fault_of_header(image: Image.Image, contents: bytes) -> str:
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
