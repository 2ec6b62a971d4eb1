"""SeamNet scores the permutations of a puzzle's tiles by how well neighbours continue each other.

    U[slot, position]   how well the tile in a slot fits a position of the picture, from the tile alone
    H[i, j], V[i, j]    how well the tile in slot j continues that of slot i to the right, or below, from strips along
                        the seam and from both tiles
    logit of a permutation = sum of the entries of U, H and V that it uses = concat(U, H, V) @ M, M constant of 0 and 1

so its answer is always a permutation. M has a column a permutation: 24 for four tiles. The 362,880 of nine are not
listed: the network answers U, H and V, and `nightshift.problems.arrangements` sums and searches them. Pairwise
compatibility along seams as in Gallagher, "Jigsaw puzzles with pieces of unknown orientation", CVPR 2012, here learnt.
"""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from nightshift.problems.tiles import permutations

MOST_LISTED = 4
"""Tiles, at most, whose permutations all have a logit of their own."""


def pair_matrix(grid: int) -> np.ndarray:
    """M, float32 [3 * N * N, N!] for N = grid * grid tiles: which entries of U, H and V each permutation uses."""
    count = grid * grid
    orders = permutations(count)
    matrix = np.zeros((3 * count * count, len(orders)), np.float32)
    for column, slot_at in enumerate(np.argsort(orders, axis=1)):  # slot_at[position] = slot
        for position in range(count):
            matrix[slot_at[position] * count + position, column] = 1
            row, side = divmod(position, grid)
            if side + 1 < grid:
                matrix[count * count + slot_at[position] * count + slot_at[position + 1], column] = 1
            if row + 1 < grid:
                matrix[2 * count * count + slot_at[position] * count + slot_at[position + grid], column] = 1
    return matrix


@keras.saving.register_keras_serializable("nightshift")
class SplitTiles(layers.Layer):
    """Images [B, H, W, C] -> their tiles as a batch, [B * grid * grid, H / grid, W / grid, C]."""

    def __init__(self, grid: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.grid = grid

    def call(self, images: Any) -> Any:
        """Cut."""
        height, width, channels = images.shape[1] // self.grid, images.shape[2] // self.grid, images.shape[3]
        rows = ops.reshape(images, (-1, self.grid, height, self.grid, width, channels))
        return ops.reshape(ops.transpose(rows, (0, 1, 3, 2, 4, 5)), (-1, height, width, channels))

    def get_config(self) -> dict[str, object]:
        """For saving."""
        return super().get_config() | {"grid": self.grid}


@keras.saving.register_keras_serializable("nightshift")
class AllPairs(layers.Layer):
    """Two descriptions of each of N tiles, [B * N, ...] -> relu(a_i + b_j) for all pairs, [B * N * N, ...]."""

    def __init__(self, count: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.count = count

    def call(self, pair: Any) -> Any:
        """Add every a_i to every b_j."""
        first, second = pair
        shape = tuple(first.shape[1:])
        sums = ops.reshape(first, (-1, self.count, 1, *shape)) + ops.reshape(second, (-1, 1, self.count, *shape))
        return ops.relu(ops.reshape(sums, (-1, *shape)))

    def get_config(self) -> dict[str, object]:
        """For saving."""
        return super().get_config() | {"count": self.count}


@keras.saving.register_keras_serializable("nightshift")
class PermutationScores(layers.Layer):
    """U, H and V -> logits of all permutations, float32 [B, N!]."""

    def __init__(self, grid: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.grid = grid

    def call(self, scores: Any) -> Any:
        """Sum what each permutation uses."""
        flat = [ops.reshape(ops.cast(score, "float32"), (-1, self.grid**4)) for score in scores]
        return ops.matmul(ops.concatenate(flat, axis=1), ops.convert_to_tensor(pair_matrix(self.grid)))

    def get_config(self) -> dict[str, object]:
        """For saving."""
        return super().get_config() | {"grid": self.grid}


@keras.saving.register_keras_serializable("nightshift")
class PairScores(layers.Layer):
    """U, H and V of N tiles, in any shape -> float32 [B, 3, N, N]."""

    def __init__(self, count: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.count = count

    def call(self, scores: Any) -> Any:
        """Stack."""
        tables = [ops.reshape(ops.cast(score, "float32"), (-1, self.count, self.count)) for score in scores]
        return ops.stack(tables, axis=1)

    def get_config(self) -> dict[str, object]:
        """For saving."""
        return super().get_config() | {"count": self.count}


def build(image_shape: tuple[int, int, int], outputs: int, strip: int, width: int, embed: int) -> keras.Model:
    """The network: 157,382 parameters with strip 4, width 48, embed 32 and four tiles of 16x16.

    Args:
        image_shape: (H, W, C) of the uint8 images, H = W.
        outputs: tiles, N, a square number: 1, 4 or 9.
        strip: pixels next to a seam that its score looks at.
        width: features along a seam.
        embed: filters of the tile's own description.

    Returns:
        a network that answers logits [B, N!], or for nine tiles scores [B, 3, 9, 9].
    """
    grid = round(outputs**0.5)
    side = image_shape[0] // grid
    if image_shape[0] != image_shape[1] or side * grid != image_shape[0] or not 0 < strip <= side:
        raise ValueError(f"square images whose side is a multiple of {grid} and strips of 1 to {side} pixels")
    image = keras.Input(image_shape, dtype="uint8")
    tiles = SplitTiles(grid)(layers.Rescaling(1 / 64, offset=-2.0)(image))
    embedding = _embedding(tiles, embed)

    def relation(first: str, second: str) -> Any:
        pairs = AllPairs(outputs)([_edge(tiles, first, strip, width), _edge(tiles, second, strip, width)])
        seam = _normalised(layers.Conv1D(32, 3, padding="same", use_bias=False)(pairs))
        seam = layers.Concatenate()([layers.GlobalAveragePooling1D()(seam), layers.GlobalMaxPooling1D()(seam)])
        both = AllPairs(outputs)([layers.Dense(48)(embedding), layers.Dense(48)(embedding)])
        return layers.Dense(1)(layers.Dense(32, activation="relu")(layers.Concatenate()([seam, both])))

    scores = [layers.Dense(outputs)(embedding), relation("right", "left"), relation("bottom", "top")]
    listed = outputs <= MOST_LISTED
    answer = PermutationScores(grid, dtype="float32") if listed else PairScores(outputs, dtype="float32")
    return keras.Model(image, answer(scores), name="seamnet")


def _normalised(features: Any) -> Any:
    return layers.ReLU()(layers.BatchNormalization(synchronized=True)(features))


def _embedding(tiles: Any, filters: int) -> Any:
    """What is in a tile, [B * N, 96]."""
    for width, stride in ((filters, 2), (2 * filters, 2), (2 * filters, 1)):
        tiles = _normalised(layers.Conv2D(width, 3, strides=stride, padding="same", use_bias=False)(tiles))
    return layers.Dense(96, activation="relu")(layers.Flatten()(layers.MaxPool2D(padding="same")(tiles)))


def _edge(tiles: Any, side: str, strip: int, width: int) -> Any:
    """What runs along one side of a tile, [B * N, length, width]; top and bottom are turned to fit."""
    length = tiles.shape[1]
    beyond = length - strip
    if side in ("left", "right"):
        pixels = layers.Cropping2D(((0, 0), (beyond, 0) if side == "right" else (0, beyond)))(tiles)
    else:
        pixels = layers.Cropping2D(((beyond, 0) if side == "bottom" else (0, beyond), (0, 0)))(tiles)
        pixels = layers.Permute((2, 1, 3))(pixels)
    padded = layers.ZeroPadding2D(((2, 2), (0, 0)))(pixels)
    along = _normalised(layers.Conv2D(width, (5, strip), use_bias=False)(padded))
    return layers.Conv1D(width, 3, padding="same")(layers.Reshape((length, width))(along))
