import base64
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nightshift.report.images import MOST_BYTES, data_uri, heat_map


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))


@given(st.integers(1, 200), st.integers(1, 200), st.sampled_from([1, 3]))
@settings(deadline=None, max_examples=20)
def test_an_image_is_bounded_whatever_it_shows(height: int, width: int, channels: int) -> None:
    noise = np.random.default_rng(height).integers(0, 256, (height, width, channels), np.uint8)
    uri = data_uri(noise)
    assert len(base64.b64decode(uri.split(",")[1])) <= MOST_BYTES
    if uri.startswith("data:image/png"):
        np.testing.assert_array_equal(np.asarray(opened(uri)).reshape(noise.shape), noise)


@pytest.mark.parametrize("size", [(3000, 20), (20, 3000), (2000, 2000)])
def test_a_large_image_is_reduced_in_its_aspect(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    picture = opened(data_uri(noise))
    assert max(picture.size) <= 128
    assert (picture.height > picture.width) == (size[0] > size[1])


def test_the_heat_map_tells_right_from_wrong() -> None:
    pixels = np.asarray(opened(heat_map(np.array([[1.0, 0.0], [0.25, 0.75]]))))
    assert pixels[0, 0].tolist() == [37, 99, 235, 255]
    assert pixels[0, 1, 3] == 0
    assert pixels[1, 0].tolist() == [217, 119, 6, 128]
