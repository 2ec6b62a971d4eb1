"""Puzzles made of served pictures: their answers are known without anyone labelling them. NumPy only.

A picture that was solved could be shuffled anew and asked again; but a solver that looks at seams only agrees with
itself, even where it is wrong. Inside a tile, however, the pixels are in order whoever shuffled the picture: a tile,
enlarged and cut in tiles of its own, is a puzzle whose answer is certain.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nightshift.serving.pictures import rearrange

Pictures = NDArray[np.uint8]
Ask = Callable[[Pictures], NDArray[np.int64]]
"""Shuffled pictures, uint8 [N, H, W, C], to the tile in each slot, int [N, tiles]."""

AT_ONCE = 64


def solves(ask: Ask, pictures: Pictures, grid: int, seed: int) -> NDArray[np.bool_]:
    """Shuffle pictures at random, ask for their order, and see whether the pixels come out as they were.

    Args:
        ask: the solver.
        pictures: in order, uint8 [N, H, W, C].
        grid: tiles a side.
        seed: of the permutations.

    Returns:
        bool [N].
    """
    random = np.random.default_rng(seed)
    right = []
    for start in range(0, len(pictures), AT_ONCE):
        batch = pictures[start : start + AT_ONCE]
        shuffled = np.stack([rearrange(picture, random.permutation(grid * grid)) for picture in batch])
        right += [
            bool((one == picture).all()) for one, picture in zip(in_order(shuffled, ask(shuffled)), batch, strict=True)
        ]
    return np.array(right, np.bool_)


def in_order(shuffled: Pictures, permutation: NDArray[np.int64]) -> Pictures:
    """Pictures by what a solver said of them: slot k of each holds tile permutation[k]; uint8 [N, H, W, C]."""
    pairs = zip(shuffled, permutation, strict=True)
    return np.stack([rearrange(picture, np.argsort(order)) for picture, order in pairs])


def tiles_of(pictures: Pictures, grid: int, seed: int) -> Pictures:
    """A tile of each picture, drawn at random and enlarged to the picture's size by repeating pixels.

    Args:
        pictures: uint8 [N, H, W, C], H and W multiples of `grid`, in any order.
        grid: tiles a side.
        seed: of the draw.

    Returns:
        uint8 [N, H, W, C].
    """
    count, height, width, channels = pictures.shape
    rows, columns = height // grid, width // grid
    cut = pictures.reshape(count, grid, rows, grid, columns, channels).swapaxes(2, 3)
    chosen = np.random.default_rng(seed).integers(grid * grid, size=count)
    tiles = cut.reshape(count, grid * grid, rows, columns, channels)[np.arange(count), chosen]
    return tiles.repeat(grid, axis=1).repeat(grid, axis=2)
