import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from nightshift.data.augmentation import augment
from nightshift.tasks.base import Augmentation

ALL = Augmentation(flip=True, rotation=15, zoom=0.2, shift=0.1)
RANDOM = np.random.default_rng(0)
IDS = RANDOM.integers(-(2**63), 2**63 - 1, 400)
PICTURES = RANDOM.integers(0, 256, (400, 9, 12, 3), np.uint8)


def changed(augmentation: Augmentation, images: np.ndarray = PICTURES, epoch: int = 1, seed: int = 0) -> np.ndarray:
    return np.asarray(augment(tf.constant(images), tf.constant(IDS[: len(images)]), augmentation, seed, epoch))


def spots(height: int, width: int, row: int, column: int) -> np.ndarray:
    """Black pictures with a white square of 3x3."""
    images = np.zeros((400, height, width, 1), np.uint8)
    images[:, row - 1 : row + 2, column - 1 : column + 2] = 255
    return images


def centroids(images: np.ndarray) -> np.ndarray:
    """Mean (row, column) of the light, float [B, 2]."""
    light = images[..., 0].astype(float)
    grid = np.indices(light.shape[1:])
    return np.stack([(light * axis).sum(axis=(1, 2)) / light.sum(axis=(1, 2)) for axis in grid], axis=1)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.integers(0, 100))
def test_without_settings_nothing_changes(seed, epoch):
    assert np.array_equal(changed(Augmentation(), epoch=epoch, seed=seed), PICTURES)


def test_settings_near_nothing_change_nothing():
    tiny = Augmentation(rotation=1e-6, zoom=1e-9, shift=1e-9)
    assert np.array_equal(changed(tiny), PICTURES)


@pytest.mark.parametrize("augmentation", [Augmentation(flip=True), ALL])
def test_shape_and_type_stay(augmentation):
    result = changed(augmentation)
    assert result.shape == PICTURES.shape
    assert result.dtype == np.uint8


def test_half_of_the_pictures_are_mirrored_left_to_right_and_whole():
    result = changed(Augmentation(flip=True))
    mirrored = (result == PICTURES[:, :, ::-1]).all(axis=(1, 2, 3))
    same = (result == PICTURES).all(axis=(1, 2, 3))
    assert (mirrored ^ same).all()
    assert abs(mirrored.mean() - 0.5) < 0.1


def test_the_same_mirroring_twice_gives_the_picture_back():
    flip = Augmentation(flip=True)
    assert np.array_equal(changed(flip, changed(flip)), PICTURES)


def test_a_picture_is_moved_at_most_as_far_as_asked_in_all_directions():
    before = spots(20, 40, 10, 20)
    moves = centroids(changed(Augmentation(shift=0.1), before)) - [10, 20]
    assert (np.abs(moves) <= np.array([2, 4]) + 0.01).all()
    assert (np.abs(moves).max(axis=0) > np.array([1.8, 3.6])).all()
    assert (np.abs(moves.mean(axis=0)) < [0.25, 0.5]).all()


def test_a_picture_is_turned_about_its_centre_at_most_as_far_as_asked():
    before = spots(41, 41, 20, 35)
    away = centroids(changed(Augmentation(rotation=30), before)) - 20
    angles = np.degrees(np.arctan2(away[:, 0], away[:, 1]))
    assert np.hypot(*away.T) == pytest.approx(np.full(400, 15), abs=0.2)
    assert np.abs(angles).max() <= 30.5
    assert angles.max() > 28
    assert angles.min() < -28


def test_a_picture_is_scaled_about_its_centre_at_most_as_far_as_asked():
    before = spots(41, 41, 20, 30)
    away = centroids(changed(Augmentation(zoom=0.2), before)) - 20
    assert np.abs(away[:, 0]).max() < 0.05
    assert away[:, 1].min() >= 10 * 0.8 - 0.1
    assert away[:, 1].max() <= 10 * 1.2 + 0.1
    assert np.ptp(away[:, 1]) > 3.6


def test_what_comes_in_at_an_edge_repeats_the_edge():
    even = np.full((400, 9, 12, 3), 200, np.uint8)
    assert np.array_equal(changed(ALL, even), even)


def test_the_change_of_a_picture_does_not_depend_on_its_batch():
    ids = RANDOM.integers(-(2**63), 2**63 - 1, 6600)
    pictures = RANDOM.integers(0, 256, (6600, 28, 28, 1), np.uint8)
    changing = tf.function(lambda images, ids: augment(images, ids, ALL, 0, tf.constant(1, tf.int64)))
    whole = augment(tf.constant(pictures), tf.constant(ids), ALL, 0, 1).numpy()
    for count in (22, 66, 330):
        for start in range(0, len(ids), count):
            part = slice(start, start + count)
            assert np.array_equal(changing(pictures[part], ids[part]), whole[part])


def test_each_epoch_and_each_seed_changes_a_picture_in_its_own_way():
    results = [changed(ALL), changed(ALL, epoch=2), changed(ALL, seed=1)]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        differ = (results[first] != results[second]).any(axis=(1, 2, 3))
        assert differ.mean() > 0.99


def test_an_erased_part_is_one_grey_rectangle_no_larger_than_asked():
    before = np.full((400, 40, 20, 3), 255, np.uint8)
    grey = (changed(Augmentation(erase=0.5), before) == 127).all(axis=-1)
    rows, columns = grey.any(axis=2), grey.any(axis=1)
    assert np.array_equal(grey, rows[:, :, None] & columns[:, None, :])
    assert 18 <= rows.sum(axis=1).max() <= 20
    assert 9 <= columns.sum(axis=1).max() <= 10
    assert (np.abs(np.diff(rows.astype(int), axis=1)).sum(axis=1) <= 2).all()
    assert (rows.mean(axis=0) > 0.05).all()


def test_what_is_not_erased_stays():
    result = changed(Augmentation(erase=0.9))
    assert ((result == PICTURES) | (result == 127)).all()
