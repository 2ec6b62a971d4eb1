"""The input pipeline alone, stage by stage: each measured together with those before it, as batches are taken."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from nightshift.benchmark.figures import InputFigures, Stage
from nightshift.benchmark.rates import Rate, cpu_seconds, measure, peak_bytes, resident_bytes
from nightshift.data.input import Transform, drawn_from_memory, drawn_from_shards, finished, in_memory, order_of
from nightshift.data.manifest import Dataset
from nightshift.data.reading import AHEAD, READ_BUFFER, Batch, in_words, records
from nightshift.problems.registry import problem_of
from nightshift.tasks.base import Preset, Task

EPOCHS = range(1 << 20)

Say = Callable[[str], None]


def measure_input(
    dataset: Dataset, task: Task, preset: Preset, *, seconds: float, streamed: bool, seed: int, say: Say
) -> InputFigures:
    """Measure the training input of a preset on this machine.

    Args:
        dataset: prepared for the task; if it is in a bucket, its shards are fetched first, and that is a stage.
        task: whose changes of images, or permutations, are made.
        preset: with which batch size and augmentation.
        seconds: to measure each stage for.
        streamed: read shards again every epoch even if all fits in memory.
        seed: of the run.
        say: told what is being measured.

    Raises:
        DataError: the training split has less than one batch, or a shard is not as it was written.
        StoreError: the bucket does not answer, or not for us.
    """
    before = resident_bytes()
    kept = in_memory(dataset) and not streamed
    rates: list[tuple[str, str, Rate]] = []
    with in_words(dataset):
        if dataset.bucket:
            say("fetch: shards from the bucket to the cache")
            rates.append(("fetch", "from the bucket to this node's cache, checksums", _fetch(dataset)))
        made = _in_memory if kept else _streamed
        for name, words, elements, each in made(dataset, task, preset, seed):
            say(f"{name}: {words}")
            rates.append((name, words, measure(elements(), each, seconds)))
    return InputFigures(
        images=dataset.manifest.splits["train"].count,
        disk_bytes=sum(shard.bytes for shard in dataset.manifest.splits["train"].shards),
        in_memory=kept,
        stages=_stages(rates),
        resident_before=before,
        resident_peak=peak_bytes(),
    )


Measured = tuple[str, str, Callable[[], Iterator[Any]], int]
"""A stage's name and words, the pipeline up to it, and images an element."""


def _fetch(dataset: Dataset) -> Rate:
    """Every shard of the training split, once."""
    assert dataset.bucket is not None
    split = dataset.manifest.splits["train"]
    began, cpu_began = time.monotonic(), cpu_seconds()
    for _ in dataset.bucket.in_order(split.shards, AHEAD):
        pass
    return Rate(split.count, time.monotonic() - began, cpu_seconds() - cpu_began)


def _streamed(dataset: Dataset, task: Task, preset: Preset, seed: int) -> list[Measured]:
    each = preset.batch_size
    drawn, examples = drawn_from_shards(dataset, order_of(dataset, each, EPOCHS, seed))

    def read() -> Iterator[Any]:
        files = [str(path) for path in _paths(dataset)]
        records = tf.data.TFRecordDataset(files, buffer_size=READ_BUFFER).batch(each, drop_remainder=True)
        return iter(records.repeat().prefetch(tf.data.AUTOTUNE))

    return [
        ("read", "records from files, checksums", read, each),
        ("draw", "shuffle, lane after lane in turn", lambda: iter(drawn.prefetch(tf.data.AUTOTUNE)), each),
        ("parse", "records to pixels", lambda: iter(finished(drawn, examples, _unchanged)), each),
        ("change", _CHANGE, lambda: iter(finished(drawn, examples, _changes(dataset, task, preset, seed))), each),
    ]


def _in_memory(dataset: Dataset, task: Task, preset: Preset, seed: int) -> list[Measured]:
    each = preset.batch_size
    drawn, examples = drawn_from_memory(dataset, order_of(dataset, each, EPOCHS, seed))

    def load() -> Iterator[Any]:
        shards = dataset.manifest.splits["train"].shards
        whole = records(dataset, shards, each).filter(lambda batch: tf.equal(tf.shape(batch["id"])[0], each))
        return iter(whole.repeat().prefetch(tf.data.AUTOTUNE))

    return [
        ("load", "records from files, checksums, to pixels; once", load, each),
        ("draw", "shuffle, take out of memory", lambda: iter(finished(drawn, examples, _unchanged)), each),
        ("change", _CHANGE, lambda: iter(finished(drawn, examples, _changes(dataset, task, preset, seed))), each),
    ]


_CHANGE = "augmentation, permutation"


def _paths(dataset: Dataset) -> Iterator[Any]:
    for shard in dataset.manifest.splits["train"].shards:
        with dataset.local(shard) as path:
            yield path


def _unchanged(batch: Batch, epoch: tf.Tensor) -> tuple[tf.Tensor, ...]:
    return batch["image"], batch["label"]


def _changes(dataset: Dataset, task: Task, preset: Preset, seed: int) -> Transform:
    problem = problem_of(task, tuple(dataset.manifest.classes))
    return lambda batch, epoch: problem.training_batch(batch, preset.augmentation, seed, epoch + 1)


def _stages(rates: list[tuple[str, str, Rate]]) -> list[Stage]:
    """Each stage's own share is what the pipeline takes longer with it; fetching and loading stand for themselves."""
    stages = []
    before = 0.0
    for name, words, rate in rates:
        alone = name in ("fetch", "load")
        stages.append(Stage(name, words, rate, max(0.0, rate.cpu_microseconds - before), once=alone))
        before = 0.0 if alone else rate.cpu_microseconds
    return stages
