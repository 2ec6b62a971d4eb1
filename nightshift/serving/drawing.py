"""Draws what a detector found into the photograph. No TensorFlow."""

import colorsys
import hashlib
import io
import unicodedata
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nightshift.data.validation import fault_of
from nightshift.errors import DataError
from nightshift.serving.detect import Detection

SMALLEST_TEXT, LARGEST_TEXT = 11, 96
"""Pixels."""

TEXT_SHARE, LINE_SHARE = 1 / 36, 1 / 250
"""Of the picture's mean side: letters and lines look alike on a small picture and on a large one."""

DEJAVU = "mpl-data/fonts/ttf/DejaVuSans.ttf"
LONGEST_NAME = 60
NO_LETTER = "\uffff"

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Colour = tuple[int, int, int]


def open_picture(content: bytes, name: str) -> Image.Image:
    """A JPEG or PNG file in RGB, of the same pixels that a model sees: transparency and orientation are dropped.

    Args:
        content: of the file.
        name: of the file, for errors.

    Raises:
        DataError: not a JPEG or PNG picture, animated, CMYK, of 16 bits a channel, damaged or too large.
    """
    if fault := fault_of(content):
        raise DataError(f"{name} {fault}")
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as image:
            # Pillow warns of a palette whose entries are transparent, unless they become RGBA first.
            return (image.convert("RGBA") if image.mode == "P" else image).convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{name} cannot be decoded: {error}") from error


def draw_detections(picture: Image.Image, detections: Sequence[Detection]) -> Image.Image:
    """A copy with a box, a name and a score for each, the best on top; one colour a name."""
    drawn = picture.copy()
    canvas = ImageDraw.Draw(drawn)
    side = (picture.width * picture.height) ** 0.5
    text = min(max(round(side * TEXT_SHARE), SMALLEST_TEXT), LARGEST_TEXT)
    font, line = _font(text), max(round(side * LINE_SHARE), 1)
    for each in reversed(detections):
        _draw(canvas, each, font, line, picture.size)
    return drawn


def png(picture: Image.Image) -> bytes:
    """The picture as a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _font(size: int) -> Font:
    """DejaVu Sans, which comes with matplotlib and has Latin, Greek and Cyrillic letters, or else Pillow's own."""
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        return ImageFont.load_default(size=size)
    return ImageFont.truetype(Path(spec.origin).parent / DEJAVU, size)


def _draw(canvas: ImageDraw.ImageDraw, each: Detection, font: Font, line: int, size: tuple[int, int]) -> None:
    width, height = size
    limits = np.array((height, width, height, width))
    top, left, bottom, right = np.clip(np.round(each.box * limits), 0, limits - 1).astype(int).tolist()
    colour = _colour(each.name)
    # Pillow refuses a box whose end is before its beginning, as one that lies outside has after clipping and rounding.
    canvas.rectangle((left, top, max(right, left), max(bottom, top)), outline=colour, width=line)
    name, score = _legible(each.name, font), f" {each.score:.0%}"
    while len(name) > 1 and canvas.textlength(name + score, font=font) > width:
        name = name[:-1]
    label = name + score
    begin_x, begin_y, end_x, end_y = canvas.textbbox((0, 0), label, font=font)
    pad = max(line, 2)
    wide, high = end_x - begin_x + 2 * pad, end_y - begin_y + 2 * pad
    # On the box; below its upper edge where there is no room; and inside the picture if the label fits at all.
    x = max(min(left, width - wide), 0)
    y = top - high if top >= high else min(top, max(height - high, 0))
    canvas.rectangle((x, y, x + wide, y + high), fill=colour)
    canvas.text((x + pad - begin_x, y + pad - begin_y), label, font=font, fill=_contrast(colour))


def _legible(name: str, font: Font) -> str:
    """The name in letters that the font has, as far as it has them."""
    letters = "".join(letter if letter.isprintable() else " " for letter in name)[:LONGEST_NAME]
    return "".join(letter if _has(font, letter) else _replacement(font, letter) for letter in letters)


def _replacement(font: Font, letter: str) -> str:
    plain = "".join(c for c in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(c))
    return plain if plain and all(_has(font, c) for c in plain) else "?"


def _has(font: Font, letter: str) -> bool:
    return letter.isascii() or _glyph(font, letter) != _glyph(font, NO_LETTER)


def _glyph(font: Font, letter: str) -> bytes:
    """Its pixels; a font draws one and the same for every letter that it lacks."""
    image = Image.new("L", (2 * LARGEST_TEXT, 2 * LARGEST_TEXT))
    ImageDraw.Draw(image).text((0, 0), letter, font=font, fill=255)
    return image.tobytes()


def _colour(name: str) -> Colour:
    """A strong colour that is always the same for a name."""
    hue = int.from_bytes(hashlib.sha256(name.encode()).digest()[:2], "big") / 65536
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.9, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)


def _contrast(colour: Colour) -> Colour:
    """Black on a light colour, white on a dark one."""
    red, green, blue = colour
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)
