"""What is measured of an image, the same way for a model's reference, for new data and for live requests. NumPy only.

Every figure stays the same when the tiles of a puzzle are put in another order, so that it needs no solving first;
`seams` alone is of the solved picture.
"""

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray[np.float32]]
Images = NDArray[np.uint8]

CHUNK = 64
"""Images at a time: as floats they take four times their memory, and several such arrays are needed at once."""


def features(images: Images, grid: int = 1) -> Columns:
    """Figures an image, in units of 0 to 255 but for the last.

    brightness: mean of all values. contrast: standard deviation of all values. channel_0, ...: mean of each channel,
    where there are several. sharpness: log(1 + variance of the Laplacian of the grey values), after Pech-Pacheco et
    al., "Diatom autofocusing in brightfield microscopy", ICPR 2000; of each tile by itself, then their mean.

    Args:
        images: uint8 [N, H, W, C].
        grid: tiles a side that an image may be cut in; 1: none.

    Returns:
        name -> float32 [N].
    """
    chunks = [_of_chunk(images[start : start + CHUNK], grid) for start in range(0, len(images), CHUNK)]
    empty = _of_chunk(images[:0], grid)
    return {name: np.concatenate([empty[name], *(chunk[name] for chunk in chunks)]) for name in empty}


def _of_chunk(images: Images, grid: int) -> Columns:
    pixels = images.astype(np.float32)
    channels = pixels.mean(axis=(1, 2))
    named = {f"channel_{index}": channels[:, index] for index in range(channels.shape[1])}
    return {
        "brightness": channels.mean(axis=1),
        "contrast": pixels.std(axis=(1, 2, 3)),
        **(named if len(named) > 1 else {}),
        "sharpness": _sharpness(_tiles(pixels.mean(axis=3), grid)),
    }


def _tiles(grey: NDArray[np.float32], grid: int) -> NDArray[np.float32]:
    """[N, H, W] as tiles, [N, grid * grid, H / grid, W / grid]; a remainder at the lower and right edge is left out."""
    count, height, width = grey.shape
    rows, columns = height // grid, width // grid
    cut = grey[:, : rows * grid, : columns * grid].reshape(count, grid, rows, grid, columns)
    return cut.swapaxes(2, 3).reshape(count, grid * grid, rows, columns)


def _sharpness(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
    middle = tiles[:, :, 1:-1, 1:-1]
    if not middle.shape[2] or not middle.shape[3]:
        return np.zeros(len(tiles), np.float32)
    around = tiles[:, :, :-2, 1:-1] + tiles[:, :, 2:, 1:-1] + tiles[:, :, 1:-1, :-2] + tiles[:, :, 1:-1, 2:]
    variance = (around - 4 * middle).var(axis=(2, 3)).mean(axis=1)
    return np.log1p(variance).astype(np.float32)


def seams(images: Images, grid: int) -> NDArray[np.float32]:
    """How much rougher a picture is across its seams than beside them; about 0 where tiles continue each other.

    log((1 + mean absolute difference of neighbouring pixels across seams) / (1 + that of pairs one row or column
    inside the tiles)).

    Args:
        images: uint8 [N, H, W, C], the tiles where a solver put them.
        grid: tiles a side, at least 2, of 3 pixels or more.

    Returns:
        float32 [N].
    """
    result = np.zeros(len(images), np.float32)
    for start in range(0, len(images), CHUNK):
        pixels = images[start : start + CHUNK].astype(np.float32)
        across, beside = [], []
        for turned in (pixels, pixels.swapaxes(1, 2)):
            steps = np.abs(np.diff(turned, axis=1)).mean(axis=(2, 3))  # [n, H - 1]: from row r to the next
            tile = turned.shape[1] // grid
            edges = np.arange(1, grid) * tile - 1
            across.append(steps[:, edges])
            beside.append(steps[:, np.concatenate([edges - 1, edges + 1])])
        rough, smooth = (np.concatenate(part, axis=1).mean(axis=1) for part in (across, beside))
        result[start : start + CHUNK] = np.log((1 + rough) / (1 + smooth))
    return result
