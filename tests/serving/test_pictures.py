"""Pictures on the client's side."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nightshift.errors import DataError
from nightshift.serving.pictures import MAX_FILE_BYTES, open_square, png, read_file, rearrange, reduce_tiles


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.fixture
def write(tmp_path):
    def put(pixels, name="p.png", **options):
        path = tmp_path / name
        Image.fromarray(pixels).save(path, **options)
        return path

    return put


@given(grid=st.integers(1, 4), side=st.integers(1, 5), channels=st.sampled_from([1, 3]), data=st.data())
def test_what_is_shuffled_is_put_together_by_the_inverse(grid, side, channels, data):
    picture = noise(grid * side, grid * side, channels)
    order = np.array(data.draw(st.permutations(range(grid * grid))))
    assert np.array_equal(rearrange(rearrange(picture, order), np.argsort(order)), picture)


def test_slot_k_gets_tile_y_k():
    picture = np.arange(4, dtype=np.uint8).reshape(2, 2, 1)
    assert rearrange(picture, np.array([2, 0, 3, 1])).ravel().tolist() == [2, 0, 3, 1]


@given(order=st.permutations(range(4)))
def test_tiles_may_be_reduced_before_or_after_they_are_shuffled(order):
    picture, order = noise(60, 60, 3), np.array(order)
    one = reduce_tiles(rearrange(picture, order), 2, 16)
    assert np.array_equal(one, rearrange(reduce_tiles(picture, 2, 16), order))


def test_a_picture_of_the_right_size_is_not_changed():
    picture = noise(32, 32, 3)
    assert np.array_equal(reduce_tiles(picture, 2, 32), picture)


@pytest.mark.parametrize(("shape", "side"), [((30, 50, 3), 30), ((51, 30, 3), 30), ((31, 31, 3), 30), ((2, 9, 3), 2)])
def test_the_central_square(write, shape, side):
    pixels = noise(*shape)
    square = open_square(write(pixels), 2)
    assert square.shape == (side, side, 3)
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    assert np.array_equal(square, pixels[top : top + side, left : left + side])


def test_grey_pictures_become_rgb(write):
    assert open_square(write(noise(10, 10)), 2).shape == (10, 10, 3)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1"])
def test_palettes_are_looked_up_and_transparency_is_dropped(tmp_path, mode):
    image = Image.fromarray(noise(10, 10, 3)).convert(mode)
    expected = np.asarray(image.convert("RGB"))
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray(noise(10, 10)))
    options = {"transparency": bytes(range(10))} if mode == "P" else {}
    image.save(tmp_path / "p.png", **options)
    assert np.array_equal(open_square(tmp_path / "p.png", 2), expected)


@pytest.mark.parametrize(
    ("image", "kind", "options", "message"),
    [
        (Image.fromarray(noise(10, 10).astype(np.uint16) << 8), "PNG", {}, "has 16 bits a channel, expected at most 8"),
        (Image.fromarray(noise(10, 10, 3)).convert("CMYK"), "JPEG", {}, "is CMYK, expected grey or RGB"),
        (
            Image.fromarray(noise(10, 10, 3)),
            "PNG",
            {"save_all": True, "append_images": [Image.fromarray(255 - noise(10, 10, 3))]},
            "is animated",
        ),
    ],
    ids=["16 bits", "CMYK", "animated"],
)
def test_what_preparation_refuses_is_refused(tmp_path, image, kind, options, message):
    image.save(tmp_path / "picture", kind, **options)
    with pytest.raises(DataError, match=f"picture: {message}"):
        open_square(tmp_path / "picture", 2)


@given(channels=st.sampled_from([1, 3]), height=st.integers(1, 9), width=st.integers(1, 9))
def test_png_keeps_every_pixel(channels, height, width):
    picture = noise(height, width, channels)
    found = np.asarray(Image.open(io.BytesIO(png(picture)))).reshape(picture.shape)
    assert np.array_equal(found, picture)


def giant(width, height):
    idat = struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + idat


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a JPEG or PNG picture"),
        (b"text", "expected a JPEG or PNG picture"),
        (png(noise(40, 40, 3))[:-2000], "cannot be decoded"),
        (giant(8_000, 8_000), "has 8000x8000 pixels, expected at most 50000000"),
        (giant(9_500, 9_500), "expected a JPEG or PNG picture: .*decompression bomb"),
        (giant(100_000, 100_000), "expected a JPEG or PNG picture"),
        (png(noise(1, 9, 3)), "9 x 1 pixels, at least 2 each way expected"),
    ],
    ids=["empty", "text", "cut short", "too large", "far too large", "bomb", "too small"],
)
def test_what_is_no_usable_picture_is_named(tmp_path, content, message):
    path = tmp_path / "p.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"p\.png: {message}"):
        open_square(path, 2)


def test_other_formats_are_refused(write):
    with pytest.raises(DataError, match=r"p\.gif: expected a JPEG or PNG"):
        open_square(write(noise(9, 9), "p.gif"), 2)


def test_a_huge_file_is_not_read(tmp_path):
    path = tmp_path / "huge.jpg"
    with open(path, "wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(DataError, match=r"huge\.jpg: 33,554,433 bytes, at most 33,554,432 expected"):
        read_file(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DataError, match=r"missing\.jpg: cannot be read: No such file"):
        read_file(tmp_path / "missing.jpg")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_file(tmp_path)
