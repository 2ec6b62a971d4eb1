import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from nightshift.models import seamnet
from nightshift.problems.tiles import permutations, shuffle

ORDERS = permutations(4)


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(3)
    model = seamnet.build((16, 16, 3), 4, strip=3, width=8, embed=8)
    random = np.random.default_rng(0)
    # Away from the initial values, where biases are 0 and normalisation does nothing.
    model.set_weights([np.abs(w) + random.uniform(0, 0.3, w.shape) for w in model.get_weights()])
    return model


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (5, 16, 16, 3), np.uint8)


@pytest.mark.parametrize("grid", [1, 2])
def test_a_permutation_scores_the_seams_that_it_makes(grid):
    """For each permutation: where each slot's tile belongs, then each pair of neighbours there."""
    count = grid * grid
    random = np.random.default_rng(0)
    u, h, v = random.normal(size=(3, count, count))
    logits = np.concatenate([u.ravel(), h.ravel(), v.ravel()]) @ seamnet.pair_matrix(grid)
    for order, logit in zip(itertools.permutations(range(count)), logits, strict=True):
        expected = sum(u[slot, tile] for slot, tile in enumerate(order))
        for first, second in itertools.permutations(range(count), 2):
            same_row = order[first] // grid == order[second] // grid
            if same_row and order[second] == order[first] + 1:
                expected += h[first, second]
            if order[second] == order[first] + grid:
                expected += v[first, second]
        assert logit == pytest.approx(expected)


def test_every_permutation_uses_equally_many_scores():
    assert seamnet.pair_matrix(2).sum(axis=0).tolist() == [4 + 2 + 2] * 24
    assert len(np.unique(seamnet.pair_matrix(2), axis=1).T) == 24


def test_tiles_are_cut_as_puzzles_are(images):
    tiles = [image[row : row + 8, column : column + 8] for image in images for row in (0, 8) for column in (0, 8)]
    assert np.array_equal(seamnet.SplitTiles(2)(images), tiles)


@pytest.mark.parametrize("slots", ORDERS[[1, 5, 9, 16, 23]].tolist())
def test_moving_the_tiles_moves_the_answer_with_them(network, images, slots):
    """The score of a picture depends on which tile is put where, not on the slots that the tiles came in.

    If slot k of the moved image holds what was in slot slots[k], then the answer y of the image as it was, tile y[j]
    in slot j, becomes tile y[slots[k]] in slot k.
    """
    before = network(images, training=False).numpy()
    moved = shuffle(tf.constant(images), tf.constant([slots] * len(images), tf.int32), 2)
    after = network(moved, training=False).numpy()
    class_of = {tuple(order): index for index, order in enumerate(ORDERS.tolist())}
    relabelled = [class_of[tuple(order[slots])] for order in ORDERS]
    assert np.ptp(before, axis=1).min() > 1e-3
    assert after[:, relabelled] == pytest.approx(before, rel=1e-4, abs=1e-4 * float(np.abs(before).max()))


def test_scores_depend_on_both_sides_of_a_seam_and_on_every_tile(network, images):
    before = network(images[:1], training=False).numpy()
    for tile in range(4):
        changed = images[:1].copy()
        row, column = divmod(tile, 2)
        changed[:, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] ^= 255
        assert np.abs(network(changed, training=False).numpy() - before).max() > 1e-3


def test_a_saved_network_comes_back(network, images, tmp_path):
    network.save(tmp_path / "seamnet.keras")
    loaded = keras.models.load_model(tmp_path / "seamnet.keras")
    assert np.array_equal(loaded(images, training=False), network(images, training=False))


@pytest.fixture(scope="module")
def nine() -> keras.Model:
    keras.utils.set_random_seed(3)
    model = seamnet.build((18, 18, 3), 9, strip=2, width=8, embed=8)
    random = np.random.default_rng(0)
    model.set_weights([np.abs(w) + random.uniform(0, 0.3, w.shape) for w in model.get_weights()])
    return model


def test_nine_tiles_are_scored_in_pairs(nine):
    images = np.random.default_rng(2).integers(0, 256, (3, 18, 18, 3), np.uint8)
    scores = nine(images, training=False).numpy()
    assert scores.shape == (3, 3, 9, 9)
    assert scores.dtype == np.float32
    slots = np.random.default_rng(4).permutation(9)
    moved = shuffle(tf.constant(images), tf.constant([slots] * 3, tf.int32), 3)
    after = nine(moved, training=False).numpy()
    unary, pairs = scores[:, :1][:, :, slots], scores[:, 1:][:, :, slots][:, :, :, slots]
    tolerance = 1e-4 * float(np.abs(scores).max())
    assert after == pytest.approx(np.concatenate([unary, pairs], axis=1), rel=1e-4, abs=tolerance)


def test_a_pair_is_scored_by_its_own_two_tiles(nine):
    image = np.random.default_rng(2).integers(0, 256, (1, 18, 18, 3), np.uint8)
    changed = image.copy()
    changed[:, 6:12, 6:12] ^= 255
    differs = np.abs(nine(changed, training=False) - nine(image, training=False).numpy())[0] > 1e-3
    assert not np.delete(differs[0], 4, axis=0).any()
    assert not np.delete(np.delete(differs[1:], 4, axis=1), 4, axis=2).any()
    assert differs[0, 4].any()
    assert differs[1:, 4].any(axis=1).all()
    assert differs[1:, :, 4].any(axis=1).all()
