"""Figures over the pixels of a split, summed in integers: the same on every machine, in whatever order and parts."""

import functools
import operator
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nightshift.data.manifest import SplitStatistics

BINS = 32
BATCH_BYTES = 2**21

FRACTION_BITS = 32
"""Of an image's standard deviation when it is added up: less than the error of a float, and no rounding in the sum."""


@dataclass(frozen=True)
class Sums:
    """What the figures of a number of images come from; those of two sets of images add up.

    Attributes:
        images: how many.
        pixels: of all of them.
        totals: of every channel, the sum of its values.
        squares: of every channel, the sum of their squares.
        brightness: images a bin.
        contrast: the images' standard deviations, added up in units of 2^-FRACTION_BITS.
    """

    images: int
    pixels: int
    totals: tuple[int, ...]
    squares: tuple[int, ...]
    brightness: tuple[int, ...]
    contrast: int

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.images + other.images,
            self.pixels + other.pixels,
            _added(self.totals, other.totals),
            _added(self.squares, other.squares),
            _added(self.brightness, other.brightness),
            self.contrast + other.contrast,
        )

    @classmethod
    def of_all(cls, parts: Iterable["Sums"]) -> "Sums":
        """The sum of one or more."""
        return functools.reduce(operator.add, parts)

    def result(self) -> SplitStatistics:
        """The figures; there has to be an image."""
        # Exact in integers: n * sum of squares - (sum)^2 cannot cancel.
        variances = [
            (self.pixels * squares - total * total) / self.pixels**2
            for total, squares in zip(self.totals, self.squares, strict=True)
        ]
        return SplitStatistics(
            mean=[round(total / self.pixels, 6) for total in self.totals],
            standard_deviation=[round(variance**0.5, 6) for variance in variances],
            brightness=list(self.brightness),
            contrast=round(self.contrast / (self.images << FRACTION_BITS), 6),
        )


class Statistics:
    """Takes images one by one and holds a small batch of them."""

    def __init__(self, image_shape: tuple[int, int, int]) -> None:
        self._shape = image_shape
        self._batch: list[bytes] = []
        self._sums = Sums(0, 0, (0,) * image_shape[2], (0,) * image_shape[2], (0,) * BINS, 0)

    def add(self, image: bytes) -> None:
        """Take one image: raw uint8 pixels of the shape given."""
        self._batch.append(image)
        if len(self._batch) * len(image) >= BATCH_BYTES:
            self._flush()

    def sums(self) -> Sums:
        """Of all images taken."""
        self._flush()
        return self._sums

    def _flush(self) -> None:
        if self._batch:
            self._sums += _sums_of(self._batch, self._shape)
            self._batch.clear()


def _sums_of(batch: list[bytes], shape: tuple[int, int, int]) -> Sums:
    height, width, channels = shape
    images: npt.NDArray[np.int64] = (
        np.frombuffer(b"".join(batch), np.uint8).reshape(len(batch), height * width, channels).astype(np.int64)
    )
    totals, squares = images.sum(axis=1), (images * images).sum(axis=1)
    values = height * width * channels
    of_all = totals.sum(axis=1)
    variances = (values * squares.sum(axis=1) - of_all * of_all) / values**2
    deviations = np.rint(np.sqrt(variances) * 2.0**FRACTION_BITS).astype(np.int64)
    return Sums(
        len(batch),
        len(batch) * height * width,
        tuple(totals.sum(axis=0).tolist()),
        tuple(squares.sum(axis=0).tolist()),
        tuple(np.bincount(of_all * BINS // (values * 256), minlength=BINS).tolist()),
        int(deviations.sum()),
    )


def _added(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(one + other for one, other in zip(first, second, strict=True))
