"""The second pipeline's first half: every example gets its split, its shard and its place there."""

import pickle
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any

import apache_beam as beam

from nightshift.data.beam.plan import UNLABELLED, Plan
from nightshift.data.beam.ranks import Element, Rank
from nightshift.data.beam.reading import SPOOLED
from nightshift.data.beam.staging import Staging
from nightshift.data.examples import SPLITS
from nightshift.data.hashes import cut_hash, place_hash

TRAIN = SPLITS.index("train")

Reference = tuple[str, int, int, bytes, str, int]
"""Key; index of the split in SPLITS; label; hash of the pixels; spool file; which image of that file."""

Row = tuple[int, str, int, Any]
"""Rank in the split; key; label; where the image lies (spool file, index), or its pixels."""

Shard = tuple[int, int]
"""Index of the split in SPLITS; of the shard in the split."""


def references(pipeline: Any, staging: Staging, plan: Plan) -> Any:
    """All examples that were spooled, as References with their final splits and labels."""
    spooled = (
        pipeline
        | "spool files" >> beam.io.ReadFromText(staging.path(SPOOLED))
        | "spread" >> beam.Reshuffle()
        | "references" >> beam.FlatMap(_references, staging, plan).with_output_types(Reference)
    )
    if not plan.held_out:
        return spooled
    train = spooled | "train" >> beam.Filter(lambda reference: reference[1] == TRAIN)
    others = spooled | "other splits" >> beam.Filter(lambda reference: reference[1] != TRAIN)
    cut = (
        train
        | "by class" >> beam.Map(_in_class)
        | "rank in class" >> Rank(plan.train_sizes)
        | "hold out" >> beam.Map(_held_out, plan.held_out).with_output_types(Reference)
    )
    return (cut, others) | "all splits" >> beam.Flatten()


def in_shards(references: Any, plan: Plan) -> Any:
    """From References to (Shard, Row)."""
    sizes = {SPLITS.index(split): sum(shards) for split, shards in plan.shard_sizes.items()}
    ends = {SPLITS.index(split): list(accumulate(shards)) for split, shards in plan.shard_sizes.items()}
    return (
        references
        | "by split" >> beam.Map(_in_split, plan.seed)
        | "rank in split" >> Rank(sizes)
        | "shard" >> beam.Map(_in_shard, ends).with_output_types(tuple[Shard, Row])
    )


def _references(name: str, staging: Staging, plan: Plan) -> Iterator[Reference]:
    with staging.open("spool", f"{name}.references") as file:
        listed = pickle.load(file)
    for index, (key, split, label, content) in enumerate(listed):
        final = SPLITS.index(plan.renamed.get(split, split))
        yield key, final, plan.labels.get(label, UNLABELLED), content, name, index


def _in_class(reference: Reference) -> Element:
    key, _, label, *_ = reference
    return label, cut_hash(key), key, reference


def _held_out(ranked: tuple[int, int, Reference], taken: Mapping[int, list[tuple[str, int]]]) -> Reference:
    label, rank, (key, split, _, content, file, index) = ranked
    for name, count in taken[label]:
        if rank < count:
            split = SPLITS.index(name)
            break
        rank -= count
    return key, split, label, content, file, index


def _in_split(reference: Reference, seed: int) -> Element:
    key, split, label, _, file, index = reference
    return split, place_hash(seed, SPLITS[split], key), key, (key, label, (file, index))


def _in_shard(ranked: tuple[int, int, Any], ends: Mapping[int, list[int]]) -> tuple[Shard, Row]:
    split, rank, (key, label, where) = ranked
    return (split, bisect_right(ends[split], rank)), (rank, key, label, where)
