import io

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nightshift.data.decode import decode_image, decode_pixels, fit_image
from nightshift.data.ingest import with_channels


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3), np.uint8)


def test_an_image_of_the_shape_passes_unchanged():
    pixels = noise(32, 24)
    for fit in ("stretch", "crop", "reduce"):
        np.testing.assert_array_equal(decode_image(tf.constant(png(pixels)), (32, 24, 3), fit), pixels)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from(["stretch", "crop", "reduce"]), st.sampled_from([1, 3]))
def test_any_size_becomes_the_shape_and_one_colour_stays_it(height, width, fit, channels):
    pixels = np.full((height, width, 3), 77, np.uint8)
    image = decode_image(tf.constant(png(pixels)), (12, 20, channels), fit)
    assert image.shape == (12, 20, channels)
    assert image.dtype == tf.uint8
    assert np.all(image.numpy() == 77)


def test_crop_keeps_the_centre_and_stretch_the_whole():
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, 10:20] = 200
    assert np.all(fit_image(tf.constant(pixels), (10, 10, 3), "crop").numpy() == 200)
    stretched = fit_image(tf.constant(pixels), (10, 10, 3), "stretch").numpy()
    assert stretched[0, 0, 0] == 0
    assert stretched[0, 5, 0] == 200


@settings(max_examples=30, deadline=None)
@given(st.integers(6, 40), st.integers(9, 40))
def test_reduce_averages_whole_blocks_of_the_middle(height, width):
    pixels = noise(height, width)
    found = fit_image(tf.constant(pixels), (6, 9, 3), "reduce").numpy()
    factor = min(height // 6, width // 9)
    top, left = ((length - part * factor) // 4 * 2 for length, part in ((height, 6), (width, 9)))
    part = pixels[top : top + 6 * factor, left : left + 9 * factor]
    blocks = part.reshape(6, factor, 9, factor, 3).mean(axis=(1, 3))
    assert np.abs(found - blocks).max() <= 0.5 + 1e-3


def test_reduce_leaves_the_pixels_of_a_picture_that_is_hardly_larger():
    pixels = noise(32, 33)
    np.testing.assert_array_equal(fit_image(tf.constant(pixels), (30, 30, 3), "reduce"), pixels[:30, :30])


def test_reduce_enlarges_the_middle_of_a_smaller_picture():
    small = tf.constant(noise(5, 9))
    found, cropped = (fit_image(small, (12, 12, 3), fit) for fit in ("reduce", "crop"))
    np.testing.assert_array_equal(found, cropped)


@pytest.mark.parametrize("size", [32, 33, 34, 62, 64, 95])
def test_no_two_tiles_of_a_reduced_picture_share_the_colour_of_a_jpeg(size):
    """4:2:0 has one chroma sample for 2x2 pixels: a tile of flat colour next to another stays flat."""
    pixels = np.zeros((size, size, 3), np.uint8)
    factor = size // 30
    seam = (size - 30 * factor) // 4 * 2 + 10 * factor
    pixels[:, :seam], pixels[:, seam:] = (200, 60, 60), (60, 60, 200)
    # One chroma sample a 2x2 block, as the decoder gives it without interpolation.
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    even = size // 2 * 2
    chroma = (pixels - luma[..., None])[:even, :even].reshape(even // 2, 2, even // 2, 2, 3).mean(axis=(1, 3))
    mixed = luma[:even, :even, None] + chroma.repeat(2, axis=0).repeat(2, axis=1)
    fitted = fit_image(tf.constant(mixed.round().astype(np.uint8)), (30, 30, 3), "reduce").numpy()
    assert np.ptp(fitted[:, :10].reshape(-1, 3), axis=0).max() == 0
    assert np.ptp(fitted[:, 10:].reshape(-1, 3), axis=0).max() == 0


@pytest.mark.parametrize("fit", ["crop", "reduce"])
def test_graph_and_eager_agree(fit):
    image = tf.constant(png(noise(50, 40)))
    function = tf.function(lambda contents: decode_image(contents, (16, 16, 3), fit))
    np.testing.assert_array_equal(function(image), decode_image(image, (16, 16, 3), fit))


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "neither a JPEG nor a PNG"),
        (b"GIF89a" + bytes(100), "neither a JPEG nor a PNG"),
        (b"\x89PNG\r\n\x1a\n", "neither a JPEG nor a PNG"),
        (b"\xff\xd8\xff", "JPEG"),
        (png(noise(4, 4))[:16] + b"\x00\x01\x00\x00\x00\x01\x00\x00" + png(noise(4, 4))[24:], "1 to 50000000 pixels"),
        (png(noise(4, 4))[:16] + b"\xff\xff\xff\xff\x00\x00\x00\x01" + png(noise(4, 4))[24:], "1 to 50000000 pixels"),
        (png(np.zeros((4, 4), np.uint16)), "at most 8 bits"),
        (png(noise(40, 40))[:2000], "PNG"),
    ],
)
@pytest.mark.parametrize("graph", [False, True])
def test_what_cannot_be_decoded_is_an_invalid_argument(contents, message, graph):
    function = tf.function(decode_pixels) if graph else decode_pixels
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        function(tf.constant(contents), 3)


def test_chroma_does_not_cross_the_seam_between_tiles():
    """Two flat halves in 4:2:0: with fancy upscaling the columns at the seam would be mixed."""
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:, :16], pixels[:, 16:] = (200, 60, 60), (60, 60, 200)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", subsampling="4:2:0", quality=95)
    decoded = decode_pixels(tf.constant(file.getvalue()), 3).numpy().astype(int)
    for column, inside in ((15, 4), (16, 27)):
        assert np.abs(decoded[:, column] - decoded[:, inside]).max() <= 2


def test_a_saved_model_gives_the_same_pixels(tmp_path):
    module = tf.Module()
    module.decode = tf.function(
        lambda contents: decode_image(contents, (16, 16, 3), "stretch"),
        input_signature=[tf.TensorSpec([], tf.string)],
    )
    tf.saved_model.save(module, str(tmp_path))
    image = tf.constant(png(noise(33, 21)))
    loaded = tf.saved_model.load(str(tmp_path))
    np.testing.assert_array_equal(loaded.decode(image), decode_image(image, (16, 16, 3), "stretch"))
    with pytest.raises(tf.errors.InvalidArgumentError, match="neither a JPEG nor a PNG"):
        loaded.decode(tf.constant(b"BM"))


def test_channels_are_repeated_or_weighed():
    grey = np.array([[[10], [20]]], np.uint8)
    assert with_channels(grey, 3).tolist() == [[[10, 10, 10], [20, 20, 20]]]
    assert with_channels(np.array([[[255, 0, 0], [0, 255, 0]]], np.uint8), 1).tolist() == [[[76], [150]]]
    with pytest.raises(ValueError, match="2 channels"):
        with_channels(np.zeros((1, 1, 2), np.uint8), 3)
