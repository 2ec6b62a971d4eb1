"""Sums over all 9! arrangements of nine tiles in 3x3, and the best of them, exactly.

A network gives scores float32 [B, 3, 9, 9] of a shuffled picture's slots:

    U[slot, position]   the tile in that slot lies at that position of the picture (positions count row by row)
    H[i, j], V[i, j]    the tile in slot j lies right of, or below, that in slot i

and an arrangement's logit is the sum of the entries that it uses. Once the middle row is given, top and bottom row
share nothing but the six tiles that are left. So for each of 504 middle rows and each of 20 ways to deal those six out,
the best order of the top row and that of the bottom row are found by themselves: 2 x 60,480 sums instead of 362,880
(dynamic programming over rows, as in a chain; with log-sum-exp for the maximum, its forward algorithm).
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

GRID = 3
TILES = GRID * GRID
_CHOICES = math.comb(TILES - GRID, GRID)
_LEFT_OF = [(p, p + 1) for p in range(TILES) if p % GRID < GRID - 1]
_ABOVE = [(p, p + GRID) for p in range(TILES - GRID)]


@dataclass(frozen=True)
class _Rows:
    """What can stand in a row, and in the rows next to it.

    Attributes:
        slots: int32 [504, 3], the slots whose tiles make a row, in all orders.
        others: int16 [6, 504 * 20], rows that have no tile of a given row: order of the three, then the given row and
            the choice of three among its six. Choice 19 - k is what choice k leaves.
        pairs: int8 [3, 6, 504 * 20], for each column, 9 * slot of the given row + slot of the other row.
    """

    slots: npt.NDArray[np.int32]
    others: npt.NDArray[np.int16]
    pairs: npt.NDArray[np.int8]


@cache
def _rows() -> _Rows:
    rows = list(itertools.permutations(range(TILES), GRID))
    index = {row: number for number, row in enumerate(rows)}
    choices = [
        [index[order] for order in itertools.permutations(choice)]
        for row in rows
        for choice in itertools.combinations(sorted(set(range(TILES)) - set(row)), GRID)
    ]
    slots, others = np.array(rows, np.int32), np.array(choices, np.int16).T
    pairs = TILES * np.repeat(slots, _CHOICES, axis=0) + slots[others]
    return _Rows(slots, others, pairs.transpose(2, 0, 1).astype(np.int8))


def logits(scores: tf.Tensor, permutation: tf.Tensor) -> tf.Tensor:
    """The logit of one arrangement an image, float32 [B].

    Args:
        scores: float32 [B, 3, 9, 9].
        permutation: int32 [B, 9], slot k holds tile permutation[k].
    """
    unary, *seams = tf.unstack(scores, axis=1)
    holds = tf.one_hot(permutation, TILES)  # [B, slot, position]
    total = tf.reduce_sum(unary * holds, axis=(1, 2))
    for seam, neighbours in zip(seams, (_LEFT_OF, _ABOVE), strict=True):
        placed = tf.matmul(holds, tf.matmul(seam, holds), transpose_a=True)  # [B, position, position]
        used = np.zeros((TILES, TILES), np.float32)
        used[tuple(np.transpose(neighbours))] = 1
        total += tf.reduce_sum(placed * used, axis=(1, 2))
    return total


def mean_logit(scores: tf.Tensor) -> tf.Tensor:
    """The mean of all arrangements' logits, float32 [B]."""
    unary, *seams = tf.unstack(scores, axis=1)
    total = tf.reduce_sum(unary, axis=(1, 2)) / TILES
    share = len(_ABOVE) / (TILES * (TILES - 1))  # of arrangements in which one given slot's tile is left of another's
    for seam in seams:
        total += share * (tf.reduce_sum(seam, axis=(1, 2)) - tf.linalg.trace(seam))
    return total


def log_partition(scores: tf.Tensor) -> tf.Tensor:
    """The logarithm of the sum of exp(logit) over all arrangements, float32 [B]."""
    return _log_partition(*tf.unstack(scores, axis=1))


def marginals(scores: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """log_partition, [B], and the probability of each position for each slot's tile, [B, 9, 9]; both float32.

    The probabilities are the derivatives of the first with respect to U, as in every exponential family.
    """
    unary, right, below = tf.unstack(scores, axis=1)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(unary)
        partition = _log_partition(unary, right, below)
    return partition, tape.gradient(partition, unary)


def best(scores: tf.Tensor) -> tf.Tensor:
    """The arrangement with the highest logit, int32 [B, 9]: slot k holds tile best[k]."""
    tables, slots = _tables(*tf.unstack(scores, axis=1)), _rows().slots
    dealt = _argmax(_dealt(tables, _maximum))  # [B]
    given, choice = dealt // _CHOICES, dealt % _CHOICES

    def other_row(row: tf.Tensor, seam: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
        """The best of six orders, int32 [B, 3]. They are added up again: to have kept all would take far longer."""
        count, place = tf.shape(column)[0], tf.range(tf.shape(column)[0])
        others, pairs = tf.gather(tables.others, column, axis=1), tf.gather(tables.pairs, column, axis=2)
        orders = _added(tf.reshape(row, [-1]), tf.reshape(seam, [-1]), others * count + place, pairs * count + place)
        order = tf.argmax(orders, axis=0, output_type=tf.int32)
        return tf.gather(slots, tf.gather_nd(tables.others, tf.stack([order, column], axis=1)))

    slot_at = [
        other_row(tables.top, tables.above, dealt),
        tf.gather(slots, given),
        other_row(tables.bottom, tables.below, given * _CHOICES + _CHOICES - 1 - choice),
    ]
    return tf.argsort(tf.concat(slot_at, axis=1), axis=1)


def _log_partition(unary: tf.Tensor, right: tf.Tensor, below: tf.Tensor) -> tf.Tensor:
    return tf.reduce_logsumexp(_dealt(_tables(unary, right, below), _log_sum_exp), axis=0)


class _Tables(NamedTuple):
    """What each row adds by itself as top, middle and bottom row, [504, B], and each pair of slots along a seam.

    The batch comes last: so every look-up copies a run of the memory, and XLA makes vector instructions of the rest.
    Seams are [81, B], 9 * slot in the middle row + slot in the row above or below. The last two are int32, as in _Rows.
    """

    top: tf.Tensor
    middle: tf.Tensor
    bottom: tf.Tensor
    above: tf.Tensor
    below: tf.Tensor
    others: tf.Tensor
    pairs: tf.Tensor


def _tables(unary: tf.Tensor, right: tf.Tensor, below: tf.Tensor) -> _Tables:
    slots = _rows().slots
    positions, beside = _flat(unary), _flat(right)
    a, b, c = slots.T
    within = tf.gather(beside, TILES * a + b) + tf.gather(beside, TILES * b + c)
    top, middle, bottom = (
        within + tf.add_n([tf.gather(positions, TILES * slots[:, k] + GRID * row + k) for k in range(GRID)])
        for row in range(GRID)
    )
    above, below = _flat(tf.transpose(below, (0, 2, 1))), _flat(below)
    # Of few bytes in a graph: a SavedModel has them in every signature.
    others, pairs = tf.cast(_rows().others, tf.int32), tf.cast(_rows().pairs, tf.int32)
    return _Tables(top, middle, bottom, above, below, others, pairs)


def _flat(matrix: tf.Tensor) -> tf.Tensor:
    """[B, 9, 9] -> [81, B]."""
    return tf.transpose(tf.reshape(matrix, (-1, TILES * TILES)))


def _added(row: tf.Tensor, seam: tf.Tensor, others: tf.Tensor, pairs: tf.Tensor) -> tf.Tensor:
    total = tf.gather(row, others)
    for column in range(GRID):
        total += tf.gather(seam, pairs[column])
    return total


def _dealt(tables: _Tables, over_orders: Callable[[Sequence[tf.Tensor]], tf.Tensor]) -> tf.Tensor:
    """For each middle row and choice of three for the top row, the sum of all, [504 * 20, B]."""
    by_choice = (len(_rows().slots), _CHOICES, -1)

    def beyond(row: tf.Tensor, seam: tf.Tensor) -> tf.Tensor:
        # A tensor an order: XLA makes one loop of them, seven times as fast as a reduction over one that holds all.
        orders = [
            _added(row, seam, tables.others[order], tables.pairs[:, order]) for order in range(tables.others.shape[0])
        ]
        return tf.reshape(over_orders(orders), by_choice)

    above, below = beyond(tables.top, tables.above), beyond(tables.bottom, tables.below)
    return tf.reshape(above + below[:, ::-1] + tables.middle[:, None], (tables.others.shape[1], -1))


def _maximum(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    return reduce(tf.maximum, tensors)


def _log_sum_exp(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    highest = tf.stop_gradient(_maximum(tensors))
    return highest + tf.math.log(tf.add_n([tf.exp(tensor - highest) for tensor in tensors]))


def _argmax(columns: tf.Tensor) -> tf.Tensor:
    """The first row with the highest entry of each column, int32 [B]; XLA's own takes three times as long here."""
    count = columns.shape[0]
    highest = tf.equal(columns, tf.reduce_max(columns, axis=0))
    return tf.reduce_min(tf.where(highest, tf.range(count)[:, None], count - 1), axis=0)
