"""Images inside a page: data URIs of bounded size."""

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# A report shows up to some 200 images and is to stay near 2 MB; base64 adds a third.
MOST_BYTES = 7_000
SMALLER_SIDES = (128, 96, 64, 48, 32, 16)


def data_uri(image: NDArray[Any], most_bytes: int = MOST_BYTES) -> str:
    """A uint8 image [H, W], [H, W, 1] or [H, W, 3] as a data URI of at most `most_bytes` before base64.

    Every pixel as it is, in PNG, if that is small enough; else JPEG, reduced until it is.
    """
    picture = Image.fromarray(image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image)
    if image.shape[0] * image.shape[1] <= 64 * most_bytes:  # more pixels never fit: spare the attempt
        content = _encoded(picture, "PNG", optimize=True)
        if len(content) <= most_bytes:
            return _uri("png", content)
    for side in SMALLER_SIDES:
        smaller = picture.copy()
        smaller.thumbnail((side, side), Image.Resampling.LANCZOS)
        content = _encoded(smaller, "JPEG", quality=85)
        if len(content) <= most_bytes:
            break
    return _uri("jpeg", content)


def heat_map(shares: NDArray[np.float64]) -> str:
    """A square matrix of shares (0 to 1) as a PNG data URI, a pixel an entry: diagonal blue, the rest orange."""
    pixels = np.zeros((*shares.shape, 4), np.uint8)
    pixels[..., :3] = (217, 119, 6)
    pixels[np.arange(len(shares)), np.arange(len(shares)), :3] = (37, 99, 235)
    pixels[..., 3] = np.round(255 * np.sqrt(np.clip(shares, 0, 1)))
    return _uri("png", _encoded(Image.fromarray(pixels), "PNG", optimize=True))


def _encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
