"""From the bytes of a request to the pixels that the network saw, without TensorFlow.

What `nightshift.data.decode` does in the model's own graph, done with Pillow: pixels may differ by rounding, and the
colours of a JPEG by how its chroma is enlarged. Bounded by the same limits, and looked at before a pixel is decoded.
"""

import io
import warnings
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nightshift.data.validation import fault_of
from nightshift.errors import DataError

Fit = Literal["stretch", "crop", "reduce"]


def decoded(contents: bytes, image_shape: tuple[int, int, int], fit: Fit) -> NDArray[np.uint8]:
    """One JPEG or PNG, brought to a shape as preparation and the bytes signature do.

    Args:
        contents: the encoded image.
        image_shape: (height, width, channels), channels 1 or 3.
        fit: `stretch` resizes; `crop` takes the central part of the right aspect first; `reduce` averages whole blocks.

    Returns:
        uint8 [height, width, channels].

    Raises:
        DataError: neither a JPEG nor a PNG, damaged, or too large.
    """
    if fault := fault_of(contents):
        raise DataError(f"an image {fault}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(contents), formats=("JPEG", "PNG")) as image:
                picture = _in_channels(image, image_shape[2])
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"an image cannot be decoded: {error}") from error
    pixels = np.asarray(_fitted(picture, *image_shape[:2], fit))
    return pixels.reshape(image_shape)


def pixels_of(contents: bytes) -> int:
    """Height times width, by the header; 0 if that shows no image."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(contents), formats=("JPEG", "PNG")) as image:
                return image.width * image.height
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return 0


def _in_channels(image: Image.Image, channels: int) -> Image.Image:
    # Pillow warns of a palette whose entries are transparent, unless they become RGBA first. Transparency is dropped.
    plain = image.convert("RGBA") if image.mode == "P" else image
    return plain.convert("L" if channels == 1 else "RGB")


def _fitted(picture: Image.Image, height: int, width: int, fit: Fit) -> Image.Image:
    if (picture.height, picture.width) == (height, width):
        return picture
    factor = min(picture.height // height, picture.width // width) if fit == "reduce" else 0
    if factor:
        # Beginning at an even row and column, as preparation does.
        top = (picture.height - height * factor) // 2 // 2 * 2
        left = (picture.width - width * factor) // 2 // 2 * 2
        part = picture.crop((left, top, left + width * factor, top + height * factor))
        return part.reduce(factor)
    if fit != "stretch":
        rows = min(picture.height, max(picture.width * height // width, 1))
        columns = min(picture.width, max(picture.height * width // height, 1))
        top, left = (picture.height - rows) // 2, (picture.width - columns) // 2
        picture = picture.crop((left, top, left + columns, top + rows))
    return picture.resize((width, height), Image.Resampling.BILINEAR)
