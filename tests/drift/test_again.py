"""Puzzles made of served pictures."""

import itertools

import numpy as np

from nightshift.drift.again import in_order, solves, tiles_of
from nightshift.serving.pictures import rearrange

PICTURES = np.random.default_rng(0).integers(0, 256, (80, 12, 12, 3), np.uint8)


ORDERS = [np.array(order) for order in itertools.permutations(range(4))]
KNOWN = {rearrange(picture, order).tobytes(): order for picture in PICTURES for order in ORDERS}


def by_lookup(shuffled):
    """A perfect solver: it knows the pictures."""
    return np.stack([KNOWN[picture.tobytes()] for picture in shuffled])


def test_a_perfect_solver_is_right_and_one_that_answers_always_the_same_is_not():
    assert solves(by_lookup, PICTURES, 2, 1).all()
    always = solves(lambda shuffled: np.tile(np.arange(4), (len(shuffled), 1)), PICTURES, 2, 1)
    assert 0 < always.sum() < 20  # 1 of 24 is in order by chance


def test_equal_tiles_may_stand_for_each_other():
    flat = np.full((5, 12, 12, 3), 7, np.uint8)
    assert solves(lambda shuffled: np.tile([3, 2, 1, 0], (len(shuffled), 1)), flat, 2, 0).all()


def test_in_order_undoes_a_shuffle():
    order = np.array([2, 0, 3, 1])
    shuffled = np.stack([rearrange(picture, order) for picture in PICTURES[:3]])
    np.testing.assert_array_equal(in_order(shuffled, np.tile(order, (3, 1))), PICTURES[:3])


def test_a_tile_is_a_picture_in_order_however_the_tiles_lie():
    tiles = tiles_of(PICTURES, 2, 3)
    assert tiles.shape == PICTURES.shape
    for tile, picture in zip(tiles, PICTURES, strict=True):
        np.testing.assert_array_equal(tile[::2, ::2], tile[1::2, 1::2])
        parts = [picture[row : row + 6, column : column + 6] for row in (0, 6) for column in (0, 6)]
        assert any((tile[::2, ::2] == part).all() for part in parts)


def test_no_pictures_are_no_answers():
    assert solves(by_lookup, PICTURES[:0], 2, 0).shape == (0,)
