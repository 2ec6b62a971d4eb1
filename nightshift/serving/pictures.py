"""Pictures on the client's side: read with bounds, cut in tiles, shuffled, put together. No TensorFlow."""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from nightshift.data.validation import fault_of_header
from nightshift.errors import DataError

MAX_FILE_BYTES = 32 << 20


def read_file(path: Path) -> bytes:
    """A picture's file as it is, for a bytes signature.

    Raises:
        DataError: not there, or too large.
    """
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise DataError(f"{path}: {size:,} bytes, at most {MAX_FILE_BYTES:,} expected")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def open_square(path: Path, multiple: int) -> np.ndarray:
    """A picture's central square, its side a multiple of `multiple`; uint8 [S, S, 3].

    What the preparation of data refuses is refused here too; transparency is dropped, as it is there.

    Raises:
        DataError: not a JPEG or PNG picture, animated, CMYK, of 16 bits a channel, damaged, too large or too small.
    """
    contents = read_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(contents), formats=("JPEG", "PNG")) as image:
                if fault := fault_of_header(image, contents):
                    raise DataError(f"{path}: {fault}")
                pixels = np.asarray(_to_rgb(image))
    except (UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{path}: expected a JPEG or PNG picture: {error}") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path}: cannot be decoded: {error}") from error
    side = min(pixels.shape[:2]) // multiple * multiple
    if not side:
        raise DataError(f"{path}: {pixels.shape[1]} x {pixels.shape[0]} pixels, at least {multiple} each way expected")
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    return pixels[top : top + side, left : left + side]


def _to_rgb(image: Image.Image) -> Image.Image:
    # Pillow warns of a palette whose entries are transparent, unless they become RGBA first.
    return (image.convert("RGBA") if image.mode == "P" else image).convert("RGB")


def rearrange(picture: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Put tile order[k] of a square picture, uint8 [S, S, C], into slot k; tiles and slots count row by row.

    Args:
        picture: cut into as many tiles as `order` has entries.
        order: int [N], N a square number; a permutation `y` shuffles, np.argsort(y) undoes it.
    """
    grid = round(len(order) ** 0.5)
    side = picture.shape[0] // grid
    tiles = picture.reshape(grid, side, grid, side, -1).swapaxes(1, 2).reshape(grid * grid, side, side, -1)
    return tiles[order].reshape(grid, grid, side, side, -1).swapaxes(1, 2).reshape(picture.shape)


def reduce_tiles(picture: np.ndarray, grid: int, side: int) -> np.ndarray:
    """Bring each tile to [side / grid, side / grid] by itself, so that no seam is blurred; uint8 [side, side, 3]."""
    tile, small = picture.shape[0] // grid, side // grid
    result = np.empty((side, side, 3), np.uint8)
    for row in range(grid):
        for column in range(grid):
            part = picture[row * tile : (row + 1) * tile, column * tile : (column + 1) * tile]
            reduced = Image.fromarray(np.ascontiguousarray(part)).resize((small, small), Image.Resampling.BOX)
            result[row * small : (row + 1) * small, column * small : (column + 1) * small] = np.asarray(reduced)
    return result


def png(picture: np.ndarray) -> bytes:
    """A picture, uint8 [H, W, 3] or [H, W, 1], as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else np.ascontiguousarray(picture)).save(buffer, "PNG")
    return buffer.getvalue()
