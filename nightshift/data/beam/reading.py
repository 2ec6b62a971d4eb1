"""The first pipeline: reads, checks and decodes the examples, spools their pixels, and counts."""

import contextlib
import pickle
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import apache_beam as beam
import tensorflow as tf
from apache_beam.metrics import Metrics

from nightshift.data.beam.lines import write_lines
from nightshift.data.beam.packs import GroupPacked, range_of, ranges_of, unpacked
from nightshift.data.beam.staging import Staging, unique
from nightshift.data.beam.tally import Tally
from nightshift.data.beam.work import read_work
from nightshift.data.examples import Divisible, Rejected
from nightshift.data.hashes import content_hash, cut_hash
from nightshift.data.ingest import Decoder, examined
from nightshift.errors import DataError
from nightshift.tasks.base import Task

TALLIES, KEYS, FAILURES = "tallies", "keys", "failures"
READ, SPOOLED = "read.jsonl", "spooled.txt"


def add_reading(
    pipeline: Any, units: int, images: int, staging: Staging, task: Task, uri: str, source: Divisible | None
) -> None:
    """Put the transforms into a pipeline. It writes READ, what was found, and SPOOLED, the names of spool files.

    Args:
        pipeline: empty.
        units: how many units of work there are.
        images: how many images are in them, about.
        staging: where they lie.
        task: gives the shape, and whether labels count.
        uri: the source's name, for errors.
        source: see `work.divided`.
    """
    examined = (
        pipeline
        | "units of work" >> beam.Create(range(units), reshuffle=False)
        | "spread" >> beam.Reshuffle()
        | "examine"
        >> beam.ParDo(Examine(staging, task, uri, source)).with_outputs(TALLIES, KEYS, FAILURES, main="spooled")
    )
    tally = (
        examined[TALLIES]
        | "add up" >> beam.CombineGlobally(Tally.of_all)
        | "tally" >> beam.Map(lambda tally: ["tally", tally.as_json()])
    )
    repeated = (
        examined[KEYS]
        | "by hash" >> beam.Map(_ranged, ranges_of(images)).with_output_types(tuple[int, str])
        | "near" >> GroupPacked(tuple[int, bytes])
        | "of the same name" >> beam.FlatMap(_repeated).with_output_types(str)
        | "first" >> beam.combiners.Top.Smallest(1)
        | "repeated" >> beam.Map(lambda first: ["repeated", first])
    )
    failures = examined[FAILURES] | "failure" >> beam.Map(lambda failure: ["failure", failure])
    write_lines((tally, repeated, failures), staging.path(READ))
    _ = examined["spooled"] | "spooled" >> beam.io.WriteToText(staging.path(SPOOLED), shard_name_template="")


class Examine(beam.DoFn):
    """From the number of a unit to the name of its spool file.

    A spool file is two: NAME.pixels, raw and one after the other, and NAME.references, a pickled list of (key, split,
    label as the source has it, hash of the pixels). Damage of the source does not end the pipeline, which would try
    again: it is an output, and no unit after that one is read.
    """

    def __init__(self, staging: Staging, task: Task, uri: str, source: Divisible | None) -> None:
        super().__init__()
        self._staging, self._task, self._uri, self._source = staging, task, uri, source
        self._images = Metrics.counter("nightshift", "images")
        self._quarantined = Metrics.counter("nightshift", "quarantined")

    def setup(self) -> None:
        """Once a process."""
        _use_one_core()
        self._decoder = Decoder(self._task)

    def process(self, number: int) -> Iterator[Any]:
        """Examine one unit."""
        if any(int(failed) < number for failed in self._staging.names("failed")):
            return
        try:
            name, references, tally = self._spool(number)
        except DataError as error:
            self._staging.create("failed", str(number)).close()
            yield beam.pvalue.TaggedOutput(FAILURES, (number, str(error)))
            return
        yield name
        yield beam.pvalue.TaggedOutput(TALLIES, tally)
        for key, *_ in references:
            yield beam.pvalue.TaggedOutput(KEYS, key)

    def _spool(self, number: int) -> tuple[str, list[tuple[str, str, str | int | None, bytes]], Tally]:
        name = unique(f"{number:08d}")
        references = []
        tally = Tally()
        with self._staging.create("spool", f"{name}.pixels") as file:
            for item in read_work(number, self._staging, self._source):
                self._images.inc()
                found = examined(item, self._task, self._decoder, self._uri)
                if isinstance(found, Rejected):
                    self._quarantined.inc()
                    tally.leave_out(found)
                    continue
                example, pixels = found
                file.write(pixels)
                tally.take(example)
                references.append((example.key, example.split, example.label, content_hash(pixels)))
        with self._staging.create("spool", f"{name}.references") as file:
            pickle.dump(references, file)
        return name, references, tally


def _use_one_core() -> None:
    """Keep TensorFlow from starting a thread a core in each of the processes: there is one of those a core."""
    with contextlib.suppress(RuntimeError):  # the runner is in this very process, and TensorFlow is at work in it
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)


def _ranged(key: str, ranges: int) -> tuple[int, str]:
    return range_of(cut_hash(key), ranges), key


def _repeated(near: tuple[int, Iterable[bytes]]) -> Iterator[str]:
    """The keys that occur twice among those whose hashes lie in one range."""
    keys = sorted(unpacked(near[1]))
    return (key for key, following in pairwise(keys) if key == following)
