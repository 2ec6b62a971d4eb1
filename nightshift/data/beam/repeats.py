"""Images whose pixels are equal, as `nightshift.data.duplicates` finds them; what parts of the data have adds up."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import combinations, groupby
from operator import itemgetter
from typing import Any

import apache_beam as beam

from nightshift.data.beam.ordering import Reference
from nightshift.data.beam.packs import GroupPacked, range_of, ranges_of, unpacked
from nightshift.data.duplicates import MAX_PAIRS
from nightshift.data.examples import SPLITS

Repeats = tuple[dict[str, int], int, list[tuple[str, str]]]
"""A split -> images that repeat another of it; contents in more than one split; the first pairs of those."""


def repeats(references: Any, images: int) -> Any:
    """From References, which are of so many images, to the one Repeats of all."""
    return (
        references
        | "by content" >> beam.Map(_by_content, ranges_of(images)).with_output_types(tuple[int, tuple[bytes, int, str]])
        | "near" >> GroupPacked(tuple[int, bytes])
        | "repeats" >> beam.FlatMap(_repeats)
        | "all repeats" >> beam.CombineGlobally(_together)
    )


def _by_content(reference: Reference, ranges: int) -> tuple[int, tuple[bytes, int, str]]:
    key, split, _, content, *_ = reference
    return range_of(content, ranges), (content, split, key)


def _repeats(near: tuple[int, Iterable[bytes]]) -> Iterator[Repeats]:
    """Of those whose contents lie in one range."""
    in_order = sorted(unpacked(near[1]), key=itemgetter(0))
    for _, equal in groupby(in_order, key=itemgetter(0)):
        yield from _of_one_content((split, key) for _, split, key in equal)


def _of_one_content(equal: Iterable[tuple[int, str]]) -> Iterator[Repeats]:
    count: Counter[str] = Counter()
    first: dict[str, str] = {}
    for split, key in equal:
        name = SPLITS[split]
        count[name] += 1
        first[name] = min(key, first.get(name, key))
    if count.total() > 1:
        pairs = [(first[one], first[other]) for one, other in combinations(sorted(first), 2)]
        yield {split: number - 1 for split, number in count.items()}, int(len(first) > 1), pairs


def _together(parts: Iterable[Repeats]) -> Repeats:
    within: dict[str, int] = defaultdict(int)
    across = 0
    pairs: list[tuple[str, str]] = []
    for counts, contents, listed in parts:
        for split, count in counts.items():
            within[split] += count
        across += contents
        pairs = heapq.nsmallest(MAX_PAIRS, [*pairs, *listed])
    return dict(within), across, pairs
