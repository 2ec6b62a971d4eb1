"""What a source gives: examples as it holds them, and what had to be left out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Example:
    """One image of a source.

    Attributes:
        key: its name in the source, the same however the source is packed, such as `train/cats/cat.1.jpg`.
        split: one of SPLITS; data without splits are all `train`, and cut later.
        label: a class's name, or its number; None if there is none.
        image: an encoded JPEG or PNG, or raw uint8 pixels [height, width, channels].
    """

    key: str
    split: str
    label: str | int | None
    image: bytes | npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Rejected:
    """One image that cannot be used, and why."""

    key: str
    reason: str


class Source(Protocol):
    """Where examples come from."""

    @property
    def test_share(self) -> float:
        """Share of the images held out for the test split when the data have none."""

    def identity(self) -> str:
        """A hash, checksum or version that changes with the content."""

    def count(self) -> int:
        """How many examples there are at most."""

    def size(self) -> int:
        """Bytes of the files that it reads; 0 if they are part of a package."""

    def examples(self) -> Iterator[Example | Rejected]:
        """All of them, in any order."""


@runtime_checkable
class Divisible(Source, Protocol):
    """A source that several processes can read at once; it can be pickled, and so can its parts."""

    def parts(self) -> Iterator[Any]:
        """What can be read apart; read one after the other, the parts give what `examples` gives."""

    def examples_of(self, part: Any) -> Iterator[Example | Rejected]:
        """The examples of one part."""
