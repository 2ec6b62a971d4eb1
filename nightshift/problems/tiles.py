"""Images as grids of tiles, and the permutations of those tiles.

Convention (that of the tutorial): slot k of a shuffled image holds tile y[k] of the original; slots and tiles count
row by row. So the original's tiles are the shuffled image's tiles taken at argsort(y).
"""

import itertools

import numpy as np
import tensorflow as tf


def permutations(count: int) -> np.ndarray:
    """All permutations of `count` tiles in lexicographic order, int32 [count!, count]; the first is the identity."""
    return np.array(list(itertools.permutations(range(count))), np.int32)


def split_tiles(images: tf.Tensor, grid: int) -> tf.Tensor:
    """[B, H, W, C] -> [B, grid * grid, H / grid, W / grid, C]."""
    height, width, channels = images.shape[1] // grid, images.shape[2] // grid, images.shape[3]
    rows = tf.reshape(images, (-1, grid, height, grid, width, channels))
    return tf.reshape(tf.transpose(rows, (0, 1, 3, 2, 4, 5)), (-1, grid * grid, height, width, channels))


def join_tiles(tiles: tf.Tensor, grid: int) -> tf.Tensor:
    """[B, grid * grid, h, w, C] -> [B, grid * h, grid * w, C], the inverse of `split_tiles`."""
    height, width, channels = tiles.shape[2:]
    rows = tf.reshape(tiles, (-1, grid, grid, height, width, channels))
    return tf.reshape(tf.transpose(rows, (0, 1, 3, 2, 4, 5)), (-1, grid * height, grid * width, channels))


def shuffle(images: tf.Tensor, permutation: tf.Tensor, grid: int) -> tf.Tensor:
    """Put tile permutation[b, k] of image b into slot k.

    Args:
        images: [B, H, W, C], H and W multiples of `grid`.
        permutation: int32 [B, grid * grid].
        grid: tiles a side.

    Returns:
        images of the same shape and dtype.
    """
    return join_tiles(tf.gather(split_tiles(images, grid), permutation, batch_dims=1), grid)


def reassemble(images: tf.Tensor, permutation: tf.Tensor, grid: int) -> tf.Tensor:
    """Undo `shuffle`: slot k holds tile permutation[b, k]."""
    return shuffle(images, tf.argsort(permutation, axis=1), grid)
