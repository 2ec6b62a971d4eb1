"""Images in MNIST's own IDX format: four gzip files. https://yann.lecun.com/exdb/mnist/"""

import gzip
import struct
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from nightshift.data.examples import Example
from nightshift.errors import DataError
from nightshift.files import sha256_of

FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
UNSIGNED_BYTE = 0x08
IMAGES = 70_000


class IdxFiles:
    """The four files in one folder; keys are those of the same images in an .npz file."""

    test_share = 0.0

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def identity(self) -> str:
        """SHA-256 of every file."""
        names = (name for pair in FILES.values() for name in pair)
        return "idx " + " ".join(f"sha256:{sha256_of(self._folder / name)}" for name in names)

    def count(self) -> int:
        """70,000."""
        return IMAGES

    def size(self) -> int:
        """Bytes of the four files."""
        return sum((self._folder / name).stat().st_size for pair in FILES.values() for name in pair)

    def examples(self) -> Iterator[Example]:
        """All images of both splits.

        Raises:
            DataError: a file is not as published.
        """
        for split, (images, labels) in FILES.items():
            try:
                yield from self._split(split, self._folder / images, self._folder / labels)
            except (OSError, EOFError, zlib.error) as error:
                raise DataError(f"{self._folder}: {images}: damaged ({error})") from None

    def _split(self, split: str, images: Path, labels: Path) -> Iterator[Example]:
        with ExitStack() as stack:
            pixels, numbers = (stack.enter_context(gzip.open(path)) for path in (images, labels))
            count, height, width = _dimensions(pixels.read(16), 3, images)
            (labelled,) = _dimensions(numbers.read(8), 1, labels)
            if labelled != count:
                raise DataError(f"{labels}: found {labelled} labels, expected {count}")
            for index in range(count):
                image, label = pixels.read(height * width), numbers.read(1)
                if len(image) != height * width or not label:
                    raise DataError(f"{images}: ends at image {index} of {count}")
                array = np.frombuffer(image, np.uint8).reshape(height, width, 1)
                yield Example(f"x_{split}/{index:05d}", split, label[0], array)


def _dimensions(header: bytes, rank: int, path: Path) -> tuple[int, ...]:
    if len(header) != 4 + 4 * rank or header[:4] != bytes([0, 0, UNSIGNED_BYTE, rank]):
        raise DataError(f"{path}: found the header {header[:4].hex()}, expected IDX of unsigned bytes, rank {rank}")
    return struct.unpack(f">{rank}I", header[4:])
