"""Photographs from scikit-image and scikit-learn, cropped at many scales: pictures to make puzzles of.

Whole photographs are held out, so that no test crop shows a scene that training has seen.
"""

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from nightshift.data.bundled import package_folder, package_version
from nightshift.data.examples import Example

# Left out are drawings, print and test patterns (logo, page, text, phantom, color, horse, chessboards), which are no
# photographs; moon, retina, hubble_deep_field, microaneurysms and cell, nearly all of which is smooth or black, so
# that tiles equal each other; and clock_motion, which is blurred on purpose.
PHOTOGRAPHS = {
    "train": (
        "skimage/data/astronaut.png",
        "skimage/data/brick.png",
        "skimage/data/camera.png",
        "skimage/data/coins.png",
        "skimage/data/grass.png",
        "skimage/data/gravel.png",
        "skimage/data/ihc.png",
        # Two views of one scene: they have to be in one split.
        "skimage/data/motorcycle_left.png",
        "skimage/data/motorcycle_right.png",
        "skimage/data/rocket.jpg",
        "sklearn/datasets/images/china.jpg",
    ),
    "validation": ("skimage/data/coffee.png",),
    "test": ("skimage/data/chelsea.png", "sklearn/datasets/images/flower.jpg"),
}
CROPS = {"train": 24_000, "validation": 1_000, "test": 2_000}

SMALLEST_SIDE = 32
"""Pixels of a photograph: the side of the smallest crop."""

LEAST_DEVIATION = 8.0
"""Standard deviation of the pixels (0 to 255) below which a crop is skipped: its tiles could not be told apart."""

DRAWS_A_CROP = 20
"""A photograph gives up after so many draws for every crop asked of it."""

SALT = b"photographs 1"


class BundledPhotographs:
    """Square crops; the training ones are drawn anew by seed, the others are always the same."""

    test_share = 0.0

    def __init__(self, image_shape: tuple[int, int, int], seed: int) -> None:
        self._size = image_shape[:2]
        self._seed = seed

    def identity(self) -> str:
        """The versions of both packages."""
        return f"{package_version('scikit-image')}, {package_version('scikit-learn')}"

    def count(self) -> int:
        """27,000."""
        return sum(CROPS.values())

    def size(self) -> int:
        """0: parts of packages."""
        return 0

    def examples(self) -> Iterator[Example]:
        """All crops, photograph by photograph; unlabelled."""
        for part in self.parts():
            yield from self.examples_of(part)

    def parts(self) -> Iterator[tuple[str, int]]:
        """A split and the index of a photograph in it."""
        return ((split, index) for split, names in PHOTOGRAPHS.items() for index in range(len(names)))

    def examples_of(self, part: tuple[str, int]) -> Iterator[Example]:
        """The crops of one photograph."""
        split, index = part
        names = PHOTOGRAPHS[split]
        # The first photographs take what an even share leaves over.
        crops = (CROPS[split] + len(names) - 1 - index) // len(names)
        return self._crops(split, names[index], crops)

    def _crops(self, split: str, name: str, crops: int) -> Iterator[Example]:
        package, _, file = name.partition("/")
        photograph = _read(package_folder(package) / file)
        generator = self._generator(split, name)
        height, width = self._size
        taken = 0
        for _ in range(crops * DRAWS_A_CROP):
            if taken == crops:
                return
            x, y, side = _square(generator, photograph.size)
            crop = photograph.resize(
                (width, height), Image.Resampling.BILINEAR, box=(x, y, x + side, y + side), reducing_gap=2.0
            )
            pixels = np.asarray(crop)
            if pixels.std() >= LEAST_DEVIATION:
                yield Example(f"{Path(file).stem}/{taken:05d}@{x},{y},{side}", split, None, pixels)
                taken += 1

    def _generator(self, split: str, name: str) -> np.random.Generator:
        """Random numbers of one photograph in one split."""
        seed = self._seed if split == "train" else 0
        digest = hashlib.sha256(b"\0".join([SALT, split.encode(), name.encode(), str(seed).encode()])).digest()
        return np.random.default_rng(int.from_bytes(digest, "big"))


def _read(path: Path) -> Image.Image:
    """A photograph in RGB, decoded as every other image is."""
    import tensorflow as tf

    from nightshift.data.decode import decode_pixels

    pixels: npt.NDArray[np.uint8] = decode_pixels(tf.constant(path.read_bytes()), 3).numpy()
    return Image.fromarray(pixels)


def _square(generator: np.random.Generator, size: tuple[int, int]) -> tuple[int, int, int]:
    """Left, top and side of a random square: the side log-uniform, so that every scale is as frequent."""
    width, height = size
    side = round(math.exp(generator.uniform(math.log(SMALLEST_SIDE), math.log(min(size)))))
    return int(generator.integers(width - side + 1)), int(generator.integers(height - side + 1)), side
