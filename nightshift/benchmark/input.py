"""The input pipeline alone, stage by stage: each measured together with those before it, as batches are taken."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import tensorflow as tf

from nightshift.benchmark.figures import InputFigures, Stage
from nightshift.benchmark.rates import Rate, cpu_seconds, measure, peak_bytes, resident_bytes
from nightshift.data.input import Transform, drawn_from_memory, drawn_from_shards, finished, in_memory, order_of
from nightshift.data.lanes import LANES
from nightshift.data.manifest import Dataset
from nightshift.data.reading import AHEAD, READ_BUFFER, Batch, in_words, records, shard_files
from nightshift.problems.registry import problem_of
from nightshift.tasks.base import Preset, Task

EPOCHS = range(1 << 20)

Say = Callable[[str], None]


def measure_input(
    dataset: Dataset, task: Task, preset: Preset, *, seconds: float, streamed: bool, seed: int, say: Say
) -> InputFigures:
    """Measure the training input of a preset on this machine.

    Args:
        dataset: prepared for the task; if it is in a bucket, shards of every lane are fetched first, and that is a
            stage; the others are measured on these.
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
    measured = dataset
    with in_words(dataset):
        if dataset.bucket:
            measured, rate = _fetched(dataset, seconds, say)
            rates.append(("fetch", "from the bucket to this node's cache, checksums", rate))
        made = _in_memory if kept else _streamed
        for name, words, elements, each in made(measured, task, preset, seed):
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


def _fetched(dataset: Dataset, seconds: float, say: Say) -> tuple[Dataset, Rate]:
    """Fetch shards for some seconds, the same number of every lane, one at least, and no more than the cache holds.

    Returns:
        the dataset with a training split of these alone, and how fast they came.
    """
    assert dataset.bucket is not None
    split = dataset.manifest.splits["train"]
    began, cpu_began = time.monotonic(), cpu_seconds()
    count = size = 0
    while count < len(split.shards):
        following = split.shards[count : count + LANES]
        size += sum(shard.bytes for shard in following)
        if count and (time.monotonic() - began >= seconds or size > dataset.bucket.limit):
            break
        say(f"fetch: shards from the bucket to the cache, {count} of {len(split.shards)}")
        for _ in dataset.bucket.in_order(following, AHEAD):
            pass
        count += len(following)
    images = sum(shard.count for shard in split.shards[:count])
    rate = Rate(images, time.monotonic() - began, cpu_seconds() - cpu_began)
    part = split.model_copy(update={"count": images, "shards": split.shards[:count]})
    manifest = dataset.manifest.model_copy(update={"splits": dataset.manifest.splits | {"train": part}})
    return replace(dataset, manifest=manifest), rate


def _streamed(dataset: Dataset, task: Task, preset: Preset, seed: int) -> list[Measured]:
    each = preset.batch_size
    drawn, examples = drawn_from_shards(dataset, order_of(dataset, each, EPOCHS, seed))

    def read() -> Iterator[Any]:
        shards = dataset.manifest.splits["train"].shards
        files = shard_files(dataset, shards, tf.range(len(shards)))
        whole = tf.data.TFRecordDataset(files, buffer_size=READ_BUFFER).batch(each, drop_remainder=True)
        return iter(whole.repeat().prefetch(tf.data.AUTOTUNE))

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
