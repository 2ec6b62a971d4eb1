"""How fast something is taken, in seconds of the clock and of the processor. No TensorFlow."""

import os
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WARM_UP = 0.2
"""Share of the measured time that goes by before it, so that what was made ready ahead is gone."""


@dataclass(frozen=True)
class Rate:
    """Images that were taken, and what that took.

    Attributes:
        images: how many.
        seconds: of the clock.
        cpu_seconds: of all cores.
        first_seconds: until the first of them, before the others were timed.
    """

    images: int
    seconds: float
    cpu_seconds: float
    first_seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """Images a second with the cores that were used."""
        return self.images / self.seconds

    @property
    def cpu_microseconds(self) -> float:
        """Of one core, an image."""
        return 1e6 * self.cpu_seconds / self.images


def measure(elements: Iterator[Any], images: int, seconds: float) -> Rate:
    """Take elements for some time.

    Args:
        elements: without end.
        images: an element.
        seconds: to take them for, after a warm-up.
    """
    began = time.monotonic()
    next(elements)
    first = time.monotonic() - began
    _take(elements, WARM_UP * seconds)
    began, cpu_began = time.monotonic(), cpu_seconds()
    count = _take(elements, seconds)
    return Rate(count * images, time.monotonic() - began, cpu_seconds() - cpu_began, first)


def _take(elements: Iterator[Any], seconds: float) -> int:
    """How many elements came until the time was over, one at least."""
    end = time.monotonic() + seconds
    count = 0
    while True:
        next(elements)
        count += 1
        if time.monotonic() >= end:
            return count


def cpu_seconds() -> float:
    """User and system seconds of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def resident_bytes() -> int:
    """Memory of this process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_bytes() -> int:
    """Memory of this process at its highest."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
