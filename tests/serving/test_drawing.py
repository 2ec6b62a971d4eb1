import io

import numpy as np
import pytest
from PIL import Image

from nightshift.errors import DataError
from nightshift.serving import drawing
from nightshift.serving.detect import Detection
from nightshift.serving.drawing import draw_detections, open_picture, png

GREY = (128, 128, 128)


def changed(picture, *detections):
    """Where drawing changed a grey picture, bool [H, W]."""
    return (np.asarray(draw_detections(picture, detections)) != GREY).any(axis=2)


def grey(width, height):
    return Image.new("RGB", (width, height), GREY)


@pytest.mark.parametrize("size", [(1, 1), (16, 9), (90, 60), (640, 480), (3000, 1000)])
@pytest.mark.parametrize("name", ["Human face", "사람", "Łódź café", "", "a\nb\x00", "x" * 300, "\U0001f600", "שלום"])
def test_any_name_is_drawn_on_any_size(size, name):
    picture = grey(*size)
    drawn = draw_detections(picture, [Detection(name, 0.87, (0.2, 0.2, 0.8, 0.8))])
    assert drawn.size == size
    assert np.asarray(drawn).ptp() > 0 if hasattr(np.ndarray, "ptp") else np.ptp(np.asarray(drawn)) > 0
    assert (np.asarray(picture) == 128).all()


@pytest.mark.parametrize(
    "box", [(-0.5, -0.5, 0.1, 0.1), (0.95, 0.95, 1.5, 1.5), (2, 2, 3, 3), (0.5, 0.5, 0.5001, 0.5001)]
)
def test_a_box_that_leaves_the_picture_or_is_tiny_is_drawn_as_far_as_it_can(box):
    assert changed(grey(200, 100), Detection("thing", 0.5, box)).any()


def test_the_box_is_where_it_was_found():
    there = changed(grey(400, 200), Detection("t", 0.5, (0.5, 0.25, 0.75, 0.5)))
    assert there[100:151, 100].all()
    assert there[150, 100:201].all()
    assert not there[110:140, 110:190].any()
    assert not there[:, :99].any()


@pytest.mark.parametrize(("width", "height"), [(100, 80), (4000, 3000)])
def test_letters_are_legible_on_small_and_large_pictures(width, height):
    label = changed(grey(width, height), Detection("Human face", 0.5, (0.5, 0.0, 0.9, 0.05)))
    rows = np.flatnonzero(label[: height // 2, round(0.02 * width)])
    assert len(rows) >= max(11, height / 60)


def test_a_long_name_gives_way_to_its_score():
    names = {"x" * 60, "x" * 59}
    drawn = [np.asarray(draw_detections(grey(300, 200), [Detection(n, 0.5, (0.5, 0, 1, 1))])) for n in sorted(names)]
    assert (drawn[0][:80] == drawn[1][:80]).all()


def test_without_matplotlib_pillows_font_is_taken_and_letters_it_lacks_replaced(monkeypatch):
    monkeypatch.setattr(drawing, "find_spec", lambda name: None)
    font = drawing._font(20)
    assert drawing._legible("Łódź cafe 사과", font) == "?odz cafe ??"


def test_the_same_name_has_the_same_colour_and_text_stands_out():
    assert drawing._colour("Man") == drawing._colour("Man") != drawing._colour("Dog")
    assert {drawing._contrast((250, 250, 10)), drawing._contrast((10, 10, 200))} == {(0, 0, 0), (255, 255, 255)}


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_what_a_model_would_refuse_is_refused():
    for content, message in [
        (b"nothing", "photo is neither a JPEG nor a PNG"),
        (encoded(Image.new("CMYK", (9, 9)), "JPEG"), "photo is CMYK"),
        (encoded(Image.new("I;16", (9, 9))), "photo has 16 bits a channel"),
        (encoded(grey(300, 300))[:150], "photo (cannot be decoded|has a damaged header)"),
    ]:
        with pytest.raises(DataError, match=message):
            open_picture(content, "photo")


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "1"])
def test_every_mode_becomes_rgb(mode):
    image = Image.new(mode, (7, 5))
    opened = open_picture(encoded(image, transparency=0) if mode == "P" else encoded(image), "photo")
    assert (opened.mode, opened.size) == ("RGB", (7, 5))
    assert open_picture(png(opened), "again").size == (7, 5)
