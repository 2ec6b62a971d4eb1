"""What is measured of an image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nightshift.drift.features import features, seams
from nightshift.serving.pictures import rearrange

IMAGES = arrays(np.uint8, st.tuples(st.integers(0, 3), st.just(12), st.just(12), st.sampled_from([1, 3])))


def test_figures_of_pictures_that_can_be_worked_out():
    flat = np.full((1, 8, 8, 3), 100, np.uint8)
    flat[..., 2] = 40
    found = features(flat)
    assert {name: float(column[0]) for name, column in found.items()} == pytest.approx(
        {
            "brightness": 80,
            "contrast": np.sqrt(800),
            "channel_0": 100,
            "channel_1": 100,
            "channel_2": 40,
            "sharpness": 0,
        },
        rel=1e-5,
    )
    board = ((np.indices((8, 8)).sum(axis=0) % 2) * 10).astype(np.uint8)[None, :, :, None]
    assert list(features(board)) == ["brightness", "contrast", "sharpness"]
    assert features(board)["sharpness"][0] == pytest.approx(np.log1p(40.0**2))  # the Laplacian is 40 or -40


@given(IMAGES)
def test_a_row_an_image_whatever_is_beside_it(images):
    together = features(images)
    for row in range(len(images)):
        alone = features(images[row : row + 1])
        for name, column in together.items():
            assert column.shape == (len(images),)
            assert np.isfinite(column).all()
            np.testing.assert_allclose(column[row], alone[name][0], rtol=1e-4, atol=1e-4)


@given(st.data())
def test_the_order_of_tiles_changes_nothing_but_the_seams(data):
    image = data.draw(arrays(np.uint8, (12, 12, 3)))
    order = np.array(data.draw(st.permutations(range(4))))
    one, other = (features(picture[None], 2) for picture in (image, rearrange(image, order)))
    for name, column in one.items():
        np.testing.assert_allclose(column, other[name], rtol=1e-4, atol=1e-3)


def test_seams_are_those_of_tiles_that_do_not_belong_together():
    y, x = np.mgrid[:24, :24]
    slope = (5 * y + 3 * x).clip(0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)
    wrong = rearrange(slope, np.array([3, 1, 2, 0]))
    assert seams(slope[None], 2)[0] == pytest.approx(0, abs=0.05)
    assert seams(wrong[None], 2)[0] > 1
    assert seams(rearrange(slope, np.array([0, 1, 2, 8, 4, 5, 6, 7, 3]))[None], 3)[0] > 0.5


def test_tiny_images_have_no_sharpness():
    assert features(np.zeros((2, 2, 2, 1), np.uint8))["sharpness"].tolist() == [0, 0]
