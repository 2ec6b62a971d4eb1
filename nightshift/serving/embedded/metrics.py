"""Counters of the server for Prometheus, those of TensorFlow Serving under its names.

Which series there are is never a client's to choose: names of models that are not served count as '', and no metric has
more than MAX_SERIES series, the longest unused ones being dropped first.
"""

import bisect
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

MAX_SERIES = 1000
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

MICROSECONDS = tuple(10.0 * 1.8**power for power in range(33))
"""Upper bounds of TensorFlow Serving's buckets of latency: 10 microseconds to 20 minutes."""

_T = TypeVar("_T")
Labels = tuple[str, ...]


class _Metric(ABC, Generic[_T]):
    """Values by the values of some labels."""

    kind = ""

    def __init__(self, name: str, help: str, labels: Labels = ()) -> None:
        self.name = name
        self._help = help
        self._labels = labels
        self._series: OrderedDict[Labels, _T] = OrderedDict()
        self._lock = threading.Lock()

    def _of(self, values: Labels, new: Callable[[], _T]) -> _T:
        """The value of a series, which is the one used last now; the lock is held."""
        if values not in self._series:
            if len(self._series) >= MAX_SERIES:
                self._series.popitem(last=False)
            self._series[values] = new()
        self._series.move_to_end(values)
        return self._series[values]

    def lines(self) -> Iterator[str]:
        """The metric in Prometheus' text form."""
        yield f"# HELP {self.name} {self._help}"
        yield f"# TYPE {self.name} {self.kind}"
        with self._lock:
            series = sorted(self._series.items())
            texts = [line for values, value in series for line in self._samples(self._pairs(values), value)]
        yield from texts

    def _pairs(self, values: Labels) -> list[str]:
        return [f'{label}="{_escaped(value)}"' for label, value in zip(self._labels, values, strict=True)]

    @abstractmethod
    def _samples(self, pairs: list[str], value: _T) -> Iterable[str]:
        """The lines of one series."""


class Counter(_Metric[float]):
    """Only grows."""

    kind = "counter"

    def add(self, *values: str, by: float = 1.0) -> None:
        """Count, under these values of its labels."""
        with self._lock:
            self._series[values] = self._of(values, float) + by

    def _samples(self, pairs: list[str], value: float) -> Iterable[str]:
        return [_line(self.name, pairs, value)]


class Gauge(_Metric[float]):
    """Is what a function says when it is looked at: values of the labels to value."""

    kind = "gauge"

    def __init__(self, name: str, help: str, labels: Labels, look: Callable[[], Mapping[Labels, float]]) -> None:
        super().__init__(name, help, labels)
        self._look = look

    def lines(self) -> Iterator[str]:
        """The metric in Prometheus' text form."""
        found = sorted(self._look().items())[:MAX_SERIES]
        with self._lock:
            self._series = OrderedDict(found)
        yield from super().lines()

    def _samples(self, pairs: list[str], value: float) -> Iterable[str]:
        return [_line(self.name, pairs, value)]


class _Buckets:
    def __init__(self, count: int) -> None:
        self.counts = [0] * (count + 1)
        self.sum = 0.0


class Histogram(_Metric[_Buckets]):
    """How often which values came, in buckets."""

    kind = "histogram"

    def __init__(self, name: str, help: str, labels: Labels, bounds: tuple[float, ...] = MICROSECONDS) -> None:
        super().__init__(name, help, labels)
        self._bounds = bounds

    def observe(self, value: float, *values: str) -> None:
        """Count a value, under these values of its labels."""
        with self._lock:
            buckets = self._of(values, lambda: _Buckets(len(self._bounds)))
            buckets.counts[bisect.bisect_left(self._bounds, value)] += 1
            buckets.sum += value

    def _samples(self, pairs: list[str], value: _Buckets) -> Iterator[str]:
        count = 0
        for bound, own in zip([*(f"{bound:g}" for bound in self._bounds), "+Inf"], value.counts, strict=True):
            count += own
            yield _line(f"{self.name}_bucket", [*pairs, f'le="{bound}"'], count)
        yield _line(f"{self.name}_sum", pairs, value.sum)
        yield _line(f"{self.name}_count", pairs, count)


def _line(name: str, pairs: list[str], value: float) -> str:
    number = int(value) if float(value).is_integer() else value
    return f"{name}{{{','.join(pairs)}}} {number}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def page(metrics: Iterable[Counter | Gauge | Histogram]) -> bytes:
    """The metrics as Prometheus reads them."""
    return "".join(f"{line}\n" for metric in metrics for line in metric.lines()).encode(errors="replace")
