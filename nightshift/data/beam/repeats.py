"""Images whose pixels are equal, as `nightshift.data.duplicates` finds them; what parts of the data have adds up."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Any

import apache_beam as beam

from nightshift.data.beam.ordering import Reference
from nightshift.data.duplicates import MAX_PAIRS
from nightshift.data.examples import SPLITS

Repeats = tuple[dict[str, int], int, list[tuple[str, str]]]
"""A split -> images that repeat another of it; contents in more than one split; the first pairs of those."""


def repeats(references: Any) -> Any:
    """From References to the one Repeats of all."""
    return (
        references
        | "by content" >> beam.Map(_by_content).with_output_types(tuple[bytes, tuple[int, str]])
        | "equal" >> beam.GroupByKey()
        | "repeats" >> beam.FlatMap(_repeats)
        | "all repeats" >> beam.CombineGlobally(_together)
    )


def _by_content(reference: Reference) -> tuple[bytes, tuple[int, str]]:
    key, split, _, content, *_ = reference
    return content, (split, key)


def _repeats(equal: tuple[bytes, Iterable[tuple[int, str]]]) -> Iterator[Repeats]:
    count: Counter[str] = Counter()
    first: dict[str, str] = {}
    for split, key in equal[1]:
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
