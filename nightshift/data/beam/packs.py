"""What has the same key, in packs before it is grouped: few large things where there were many small ones.

Beam's runner on this machine keeps what it groups in memory, as Python objects; a pack is one of them, in bytes. What
would have a key of its own, such as a hash, is grouped by the range that it lies in.
"""

import pickle
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindows

RANGE = 8192
"""Elements of a range, about: so many are in memory at once where they are unpacked."""

MOST = 16_384
"""Elements that wait for being packed, at most."""


def ranges_of(count: int) -> int:
    """How many ranges so many elements are divided into."""
    return max(1, count // RANGE)


def range_of(order: bytes, ranges: int) -> int:
    """Which range a hash, of 8 bytes or more, lies in: the ranges are in the order of the hashes."""
    return int.from_bytes(order[:8], "big") * ranges >> 64


def unpacked(packs: Iterable[bytes]) -> Iterator[Any]:
    """The values of a group."""
    for pack in packs:
        yield from pickle.loads(pack)


class GroupPacked(beam.PTransform):
    """As GroupByKey, from (key, value) to (key, packs): see `unpacked`."""

    def __init__(self, pack_type: Any, most: int = MOST) -> None:
        """`pack_type`: tuple[type of the key, bytes]; `most`: elements that wait for being packed."""
        super().__init__()
        self._pack_type, self._most = pack_type, most

    def expand(self, elements: Any) -> Any:
        """Add the transforms."""
        packed = elements | "pack" >> beam.ParDo(_Pack(self._most)).with_output_types(self._pack_type)
        return packed | "group" >> beam.GroupByKey()


class _Pack(beam.DoFn):
    """Gathers the values of a key, of the elements that a worker is given at once."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def start_bundle(self) -> None:
        """Nothing waits."""
        self._waiting: dict[Any, list[Any]] = defaultdict(list)
        self._count = 0

    def process(self, element: tuple[Any, Any]) -> Iterator[tuple[Any, bytes]]:
        """Take an element."""
        key, value = element
        self._waiting[key].append(value)
        self._count += 1
        if self._count >= self._most:
            yield from self._packs()

    def finish_bundle(self) -> Iterator[Any]:
        """Hand on what waits."""
        for pack in self._packs():
            yield GlobalWindows.windowed_value_at_end_of_window(pack)

    def _packs(self) -> Iterator[tuple[Any, bytes]]:
        for key, values in self._waiting.items():
            yield key, pickle.dumps(values)
        self._waiting.clear()
        self._count = 0
