"""The second pipeline's second half: the shards, from the pixels where they were spooled."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from shutil import copyfileobj
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from nightshift.data.beam.lines import write_lines
from nightshift.data.beam.ordering import Row, Shard, in_shards, references
from nightshift.data.beam.packs import MOST, GroupPacked, unpacked
from nightshift.data.beam.plan import Plan
from nightshift.data.beam.repeats import repeats
from nightshift.data.beam.staging import Staging, unique
from nightshift.data.examples import SPLITS
from nightshift.data.hashes import place_hash
from nightshift.data.shards import shard_name, write_shard
from nightshift.data.spool import Placed
from nightshift.data.statistics import Statistics, Sums
from nightshift.errors import DataError

PACKED_BYTES = 2**20
"""Of pixels that wait for being packed, where they go along."""

SUMS = "sums"
WRITTEN = "written.jsonl"


def add_writing(pipeline: Any, staging: Staging, plan: Plan) -> None:
    """Put the transforms into a pipeline. It writes the shards and WRITTEN, what the manifest needs of them."""
    found = references(pipeline, staging, plan)
    rows, together = in_shards(found, plan), MOST
    if not staging.local:
        rows, together = rows | "with pixels" >> WithPixels(staging, plan), max(1, PACKED_BYTES // plan.image_bytes)
    written = (
        rows
        | "by shard" >> GroupPacked(tuple[Shard, bytes], together)
        | "write" >> beam.ParDo(WriteShard(staging, plan)).with_outputs(SUMS, main="shards")
    )
    statistics = (
        written[SUMS]
        | "sums of shards" >> beam.Map(lambda item: item).with_output_types(tuple[int, Sums])
        | "add up" >> beam.CombinePerKey(Sums.of_all)
    )
    write_lines(
        (
            written["shards"] | "shards" >> beam.Map(lambda shard: ["shard", shard]),
            statistics | "statistics" >> beam.Map(lambda item: ["statistics", [item[0], vars(item[1])]]),
            repeats(found, plan.images) | "duplicates" >> beam.Map(lambda item: ["duplicates", item]),
        ),
        staging.path(WRITTEN),
    )


class WithPixels(beam.PTransform):
    """From rows that say where an image lies to rows that hold it, for which every spool file is read once, in one go.

    A disk is read here and there for nothing; from a bucket it would be one request an image.
    """

    def __init__(self, staging: Staging, plan: Plan) -> None:
        super().__init__()
        self._staging, self._plan = staging, plan

    def expand(self, rows: Any) -> Any:
        """Add the transforms."""
        return (
            rows
            | "by spool file" >> beam.Map(_by_file).with_output_types(tuple[str, Any])
            | beam.GroupByKey()
            | "pixels"
            >> beam.FlatMap(_with_pixels, self._staging, self._plan.image_bytes).with_output_types(tuple[Shard, Row])
        )


def _by_file(placed: tuple[Shard, Row]) -> tuple[str, Any]:
    shard, (rank, key, label, (file, index)) = placed
    return file, (index, shard, (rank, key, label))


def _with_pixels(
    grouped: tuple[str, Iterable[tuple[int, Shard, tuple[int, str, int]]]], staging: Staging, image_bytes: int
) -> Iterator[tuple[Shard, Row]]:
    name, rows = grouped
    with staging.open("spool", f"{name}.pixels") as file:
        position = 0
        for index, shard, row in sorted(rows, key=lambda row: row[0]):
            while position <= index:
                image = _whole(file.read(image_bytes), image_bytes, f"{name}.pixels")
                position += 1
            yield shard, (*row, image)


def _whole(image: bytes, image_bytes: int, name: str) -> bytes:
    """The pixels of an image that were read.

    Raises:
        DataError: there are too few: the file was cut short.
    """
    if len(image) != image_bytes:
        raise DataError(f"the spool file {name}: found {len(image)} bytes of an image, expected {image_bytes}")
    return image


class WriteShard(beam.DoFn):
    """From all rows of a shard to (split, index, path, its description), and the sums over its pixels."""

    def __init__(self, staging: Staging, plan: Plan) -> None:
        super().__init__()
        self._staging, self._plan = staging, plan
        self._images = Metrics.counter("nightshift", "written")

    def process(self, grouped: tuple[Shard, Iterable[bytes]]) -> Iterator[Any]:
        """Write one shard."""
        (split, index), packs = grouped
        split_name = SPLITS[split]
        name = shard_name(split_name, index, len(self._plan.shard_sizes[split_name]))
        attempt = unique(name)
        statistics = Statistics(self._plan.image_shape)
        examples = self._placed(split_name, sorted(unpacked(packs), key=lambda row: row[0]))
        if self._staging.local:
            shard = write_shard(Path(self._staging.path("shards", attempt)), name, examples, statistics)
        else:
            with tempfile.TemporaryDirectory() as folder:
                shard = write_shard(Path(folder, name), name, examples, statistics)
                with open(Path(folder, name), "rb") as file, self._staging.create("shards", attempt) as copy:
                    copyfileobj(file, copy)
        self._images.inc(shard.count)
        yield split, index, attempt, shard.model_dump()
        yield beam.pvalue.TaggedOutput(SUMS, (split, statistics.sums()))

    def _placed(self, split: str, rows: Iterable[Row]) -> Iterator[Placed]:
        for _, key, label, image in rows:
            pixels = image if isinstance(image, bytes) else self._read(*image)
            yield Placed(key, label, place_hash(self._plan.seed, split, key), pixels)

    def _read(self, name: str, index: int) -> bytes:
        size = self._plan.image_bytes
        with open(self._staging.path("spool", f"{name}.pixels"), "rb", buffering=0) as file:
            return _whole(os.pread(file.fileno(), size, index * size), size, f"{name}.pixels")
