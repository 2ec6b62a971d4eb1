import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from nightshift.problems.tiles import permutation_of, permutations, reassemble, shuffle
from nightshift.serving.pictures import rearrange

DTYPES = ("uint8", "int32", "int64", "float16", "float32", "float64")


@st.composite
def pictures(draw, dtypes=DTYPES, square=False):
    """(grid, images [B, H, W, C], a permutation an image)."""
    grid, count = draw(st.integers(2, 4)), draw(st.integers(1, 3))
    height = grid * draw(st.integers(1, 4))
    width = height if square else grid * draw(st.integers(1, 4))
    shape = (count, height, width, draw(st.sampled_from([1, 3])))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    images = random.integers(0, 256, shape).astype(draw(st.sampled_from(dtypes)))
    orders = np.stack([random.permutation(grid * grid) for _ in range(count)]).astype(np.int32)
    return grid, images, orders


@settings(deadline=None, max_examples=40)
@given(pictures())
def test_reassembling_undoes_shuffling(case):
    grid, images, orders = case
    shuffled = shuffle(tf.constant(images), tf.constant(orders), grid)
    solved = reassemble(shuffled, tf.constant(orders), grid)
    assert solved.numpy().dtype == images.dtype
    assert np.array_equal(solved, images)


@settings(deadline=None, max_examples=40)
@given(pictures())
def test_slot_k_holds_tile_y_k(case):
    """The convention, in the loops of the tutorial."""
    grid, images, orders = case
    height, width = images.shape[1] // grid, images.shape[2] // grid
    expected = np.empty_like(images)
    for image, (picture, y) in enumerate(zip(images, orders, strict=True)):
        for slot in range(grid * grid):
            tile_row, tile_column = y[slot] // grid, y[slot] % grid
            row, column = slot // grid, slot % grid
            expected[image, row * height : (row + 1) * height, column * width : (column + 1) * width] = picture[
                tile_row * height : (tile_row + 1) * height, tile_column * width : (tile_column + 1) * width
            ]
    assert np.array_equal(shuffle(tf.constant(images), tf.constant(orders), grid), expected)


@settings(deadline=None, max_examples=40)
@given(pictures(square=True))
def test_the_client_cuts_as_the_training_does(case):
    grid, images, orders = case
    shuffled = shuffle(tf.constant(images), tf.constant(orders), grid).numpy()
    for image, order, result in zip(images, orders, shuffled, strict=True):
        assert np.array_equal(rearrange(image, order), result)
        assert np.array_equal(rearrange(result, np.argsort(order)), image)


@settings(deadline=None, max_examples=20)
@given(pictures())
def test_shuffling_twice_is_shuffling_by_the_product(case):
    grid, images, first = case
    second = first[:, ::-1].copy()
    twice = shuffle(shuffle(tf.constant(images), tf.constant(first), grid), tf.constant(second), grid)
    product = np.take_along_axis(first, second, axis=1)
    assert np.array_equal(twice, shuffle(tf.constant(images), tf.constant(product), grid))


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_permutations_are_all_of_them_in_lexicographic_order(count):
    assert permutations(count).tolist() == [list(order) for order in itertools.permutations(range(count))]
    assert permutations(count)[0].tolist() == list(range(count))
    assert permutations(count).dtype == np.int32


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9])
def test_a_permutation_is_found_by_its_index_without_the_table(count):
    table = permutations(count)
    found = permutation_of(tf.range(len(table)), count)
    assert found.dtype == tf.int32
    assert np.array_equal(found, table)
