"""Makes a dataset of a source on Apache Beam, as `nightshift.data.build` does without."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nightshift.data.beam.job import Job
from nightshift.data.beam.lines import read_lines
from nightshift.data.beam.plan import Plan, plan_of
from nightshift.data.beam.reading import READ, add_reading
from nightshift.data.beam.run import ended_in_order, run, watched
from nightshift.data.beam.staging import Staging, staged
from nightshift.data.beam.tally import Tally
from nightshift.data.beam.work import divided, write_work
from nightshift.data.beam.writing import WRITTEN, add_writing
from nightshift.data.examples import SPLITS, Source
from nightshift.data.ingest import check_ingested
from nightshift.data.manifest import Dataset, Duplicates, Origin, Shard, Split, SplitStatistics
from nightshift.data.publish import manifest_of, publish
from nightshift.data.shards import shard_name, write_shard
from nightshift.data.statistics import Statistics, Sums
from nightshift.errors import DataError
from nightshift.files import sha256_of
from nightshift.tasks.base import Task

READ_SHARE = 0.8
"""Share of the work, for progress, that the first pipeline is."""

Progress = Callable[[float, str], None]


def build_with_beam(
    job: Job,
    say: Callable[[str], None],
    source: Source,
    task: Task,
    origin: Origin,
    seed: int,
    folder: Path,
    datasets: Path,
    progress: Progress,
) -> Dataset:
    """Prepare a dataset and publish it as datasets/FINGERPRINT.

    Args:
        job: where and how Beam runs.
        say: told of files between the stages that could not be removed.
        source: the examples.
        task: shape, fit, classes and shares.
        origin: what the manifest says of the source.
        seed: of the order of examples.
        folder: empty, on the same file system as `datasets`; left for the caller to remove.
        datasets: where the dataset goes.
        progress: told the share done and what is being done.

    Raises:
        DataError: the data cannot be used, or the runner failed; nothing is published.
        ConfigurationError: the runner's temporary location cannot be used.
    """
    shards = folder / "shards"
    with ended_in_order(), staged(job.temporary, folder, say) as staging:
        tally = _read(job, source, task, origin.uri, staging, progress)
        plan = plan_of(tally, task, source.test_share, seed, origin.uri)
        written = _write(job, plan, origin.uri, staging, progress)
        # Not before: what nothing is written to for a day, while others work, is taken for a dead process's.
        shards.mkdir(parents=True)
        splits, duplicates = _collect(written, plan, staging, shards)
    manifest = manifest_of(task, origin, seed, plan.classes, splits, tally.rejections.result(), duplicates)
    return publish(manifest, shards, datasets)


def _read(job: Job, source: Source, task: Task, uri: str, staging: Staging, progress: Progress) -> Tally:
    """The first pipeline. Raises DataError as `ingest` does."""
    expected = source.count()
    progress(0.0, "dividing the images among the workers")
    units = write_work(source, staging)
    progress(0.0, f"Apache Beam ({job}): validating {expected:,} images")
    pipeline = job.pipeline()
    add_reading(pipeline, units, expected, staging, task, uri, divided(source, staging))

    def report(files: int) -> None:
        done = min(units, files // 2)  # a unit's spool file is two
        progress(READ_SHARE * done / units, f"validating: {expected * done // units:,} of {expected:,} images")

    with watched(staging, "spool", report):
        run(job, pipeline, uri)
    lines = list(read_lines(staging, READ))
    failures = sorted(value for name, value in lines if name == "failure")
    if failures:
        raise DataError(failures[0][1])  # of the first unit that failed: where reading one by one ends, too
    results = dict(lines)
    tally = Tally.from_json(results["tally"])
    check_ingested(uri, tally.seen, tally.rejections, next(iter(results["repeated"]), None))
    return tally


def _write(job: Job, plan: Plan, uri: str, staging: Staging, progress: Progress) -> list[tuple[str, Any]]:
    """The second pipeline; returns what it hands back."""
    total = plan.images
    shards = sum(map(len, plan.shard_sizes.values()))
    progress(READ_SHARE, f"Apache Beam ({job}): ordering {total:,} images")
    pipeline = job.pipeline()
    add_writing(pipeline, staging, plan)

    def report(files: int) -> None:
        done = min(files, shards)
        progress(READ_SHARE + (1 - READ_SHARE) * done / shards, f"writing shards: {done} of {shards}")

    with watched(staging, "shards", report):
        run(job, pipeline, uri)
    progress(1.0, f"writing shards: {total:,} of {total:,} images")
    return list(read_lines(staging, WRITTEN))


def _collect(
    lines: list[tuple[str, Any]], plan: Plan, staging: Staging, folder: Path
) -> tuple[dict[str, tuple[Split, SplitStatistics]], Duplicates]:
    """Bring the shards into a folder, and what was found of them into the form of the manifest."""
    found = {(split, index): (attempt, Shard(**shard)) for split, index, attempt, shard in _all(lines, "shard")}
    sums = {SPLITS[split]: Sums(**values) for split, values in _all(lines, "statistics")}
    splits = {}
    for number, split in enumerate(SPLITS):
        sizes = plan.shard_sizes[split]
        shards = []
        for index, size in enumerate(sizes):
            name = shard_name(split, index, len(sizes))
            if size:
                attempt, shard = found[number, index]
                _fetch(staging, attempt, folder / name)
            else:  # no example ever led to it
                shard = write_shard(folder / name, name, (), Statistics(plan.image_shape))
            _check(folder / name, shard, size)
            shards.append(shard)
        count = sum(sizes)
        splits[split] = Split(count=count, class_counts=plan.class_counts[split], shards=shards), sums[split].result()
    ((within, across, pairs),) = _all(lines, "duplicates")
    within_splits = {split: within.get(split, 0) for split in sorted(SPLITS)}
    return splits, Duplicates(within_splits=within_splits, across_splits=across, pairs=pairs)


def _all(lines: list[tuple[str, Any]], name: str) -> list[Any]:
    return [value for found, value in lines if found == name]


def _fetch(staging: Staging, attempt: str, target: Path) -> None:
    if staging.local:
        shutil.move(staging.path("shards", attempt), target)
    else:
        with staging.open("shards", attempt) as file, open(target, "wb") as copy:
            shutil.copyfileobj(file, copy)


def _check(path: Path, shard: Shard, size: int) -> None:
    """What was written on another machine has to be what it counted and hashed."""
    if shard.count != size or path.stat().st_size != shard.bytes or sha256_of(path) != shard.sha256:
        raise DataError(f"{shard.name}: found another content than was written, or not {size} examples")
