"""CIFAR-10 in its binary version. The one that Keras downloads is pickled, and unpickling runs whatever is in it.

https://www.cs.toronto.edu/~kriz/cifar.html
"""

import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from nightshift.data.examples import Example
from nightshift.errors import DataError
from nightshift.files import sha256_of

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FILES = {f"data_batch_{number}": "train" for number in range(1, 6)} | {"test_batch": "test"}
PIXELS = 3 * 32 * 32
RECORD_BYTES = 1 + PIXELS
RECORDS = 10_000


class CifarArchive:
    """cifar-10-binary.tar.gz: six files of 10,000 records, each a label and the planes of red, green and blue."""

    test_share = 0.0

    def __init__(self, path: Path) -> None:
        self._path = path

    def identity(self) -> str:
        """SHA-256 of the archive."""
        return f"cifar-10-binary sha256:{sha256_of(self._path)}"

    def count(self) -> int:
        """60,000."""
        return RECORDS * len(FILES)

    def size(self) -> int:
        """Bytes of the archive."""
        return self._path.stat().st_size

    def examples(self) -> Iterator[Example]:
        """All images with the names of their classes.

        Raises:
            DataError: the archive is not as published.
        """
        found = set()
        with tarfile.open(self._path, "r|gz") as archive:
            for member in archive:
                stem = PurePosixPath(member.name).stem
                file = archive.extractfile(member) if stem in FILES else None
                if file is None:
                    continue
                content = file.read(RECORD_BYTES * RECORDS + 1)
                if len(content) != RECORD_BYTES * RECORDS:
                    raise DataError(f"{self._path}: {member.name}: not {RECORDS} records of {RECORD_BYTES} bytes")
                found.add(stem)
                yield from _records(stem, content)
        if missing := sorted(FILES.keys() - found):
            raise DataError(f"{self._path}: {', '.join(missing)} are missing")


def _records(stem: str, content: bytes) -> Iterator[Example]:
    records = np.frombuffer(content, np.uint8).reshape(RECORDS, RECORD_BYTES)
    images = records[:, 1:].reshape(RECORDS, 3, 32, 32).transpose(0, 2, 3, 1)
    for number, (label, image) in enumerate(zip(records[:, 0].tolist(), images, strict=True)):
        if label >= len(CLASSES):
            raise DataError(f"{stem}: record {number}: found the label {label}, expected 0 to 9")
        yield Example(f"{stem}/{number:05d}", FILES[stem], CLASSES[label], image)
