"""The rank of every element of a group by a hash, without bringing a group together in one place."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam

from nightshift.data.beam.packs import GroupPacked, range_of, ranges_of, unpacked

Element = tuple[int, bytes, str, Any]
"""Group; hash of 8 bytes or more and key, the order; value."""


class Rank(beam.PTransform):
    """From elements to (group, rank, value), ranks from 0.

    The hashes, which are even, are divided into ranges; an element's rank is the number of those in lower ranges and
    its place in its own.
    """

    def __init__(self, sizes: Mapping[int, int]) -> None:
        """`sizes`: of the groups, more or less."""
        super().__init__()
        self._ranges = {group: ranges_of(size) for group, size in sizes.items()}

    def expand(self, elements: Any) -> Any:
        """Add the transforms."""
        ranged = elements | "range" >> beam.Map(_ranged, self._ranges).with_output_types(tuple[tuple[int, int], Any])
        counts = ranged | beam.Keys() | beam.combiners.Count.PerElement()
        return (
            ranged
            | GroupPacked(tuple[tuple[int, int], bytes])
            | "rank" >> beam.FlatMap(_ranked, beam.pvalue.AsDict(counts)).with_output_types(tuple[int, int, Any])
        )


def _ranged(element: Element, ranges: Mapping[int, int]) -> tuple[tuple[int, int], Any]:
    group, order, key, value = element
    return (group, range_of(order, ranges[group])), (order, key, value)


def _ranked(
    grouped: tuple[tuple[int, int], Iterable[bytes]], counts: Mapping[tuple[int, int], int]
) -> Iterator[tuple[int, int, Any]]:
    (group, index), packs = grouped
    first = sum(counts.get((group, lower), 0) for lower in range(index))
    in_order = sorted(unpacked(packs), key=lambda element: element[:2])
    return ((group, rank, value) for rank, (_, _, value) in enumerate(in_order, first))
