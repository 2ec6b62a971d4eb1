"""Encoded images without TensorFlow: the pixels that the model's own graph sees, within rounding."""

import io

import numpy as np
import pytest
from PIL import Image

from nightshift.data.bundled import package_folder
from nightshift.drift.features import features
from nightshift.drift.pictures import decoded, pixels_of
from nightshift.errors import DataError


def encoded(mode, kind):
    buffer = io.BytesIO()
    with Image.open(package_folder("skimage") / "data/coffee.png") as picture:
        picture.resize((201, 134)).convert(mode).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("fit", ["stretch", "crop", "reduce"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("mode", "kind"), [("RGB", "PNG"), ("RGBA", "PNG"), ("L", "PNG"), ("P", "PNG"), ("RGB", "JPEG"), ("L", "JPEG")]
)
def test_pixels_are_those_of_the_graph(mode, kind, channels, fit):
    import tensorflow as tf

    from nightshift.data.decode import decode_image

    content = encoded(mode, kind)
    for shape in ((32, 32, channels), (48, 20, channels), (134, 201, channels)):
        expected = decode_image(tf.constant(content), shape, fit).numpy()
        found = decoded(content, shape, fit)
        assert found.shape == shape
        difference = np.abs(expected.astype(int) - found)
        assert difference.mean() < (1.5 if kind == "JPEG" else 0.8)
        one, other = (features(images[None]) for images in (expected, found))
        for name, column in one.items():
            assert column[0] == pytest.approx(other[name][0], rel=0.03, abs=0.5)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_what_is_no_image_is_refused(content):
    assert pixels_of(content) == 0
    with pytest.raises(DataError, match="an image"):
        decoded(content, (8, 8, 1), "crop")


def test_what_is_cut_short_or_too_large_is_refused():
    content = encoded("RGB", "PNG")
    with pytest.raises(DataError, match="cannot be decoded"):
        decoded(content[: len(content) // 2], (8, 8, 3), "crop")
    bomb = bytearray(content)
    bomb[16:24] = (100_000).to_bytes(4, "big") * 2
    with pytest.raises(DataError):
        decoded(bytes(bomb), (8, 8, 3), "crop")
