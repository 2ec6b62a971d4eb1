"""Makes a dataset of a source: validate, label, cut, shard, describe."""

from collections.abc import Callable
from pathlib import Path

from nightshift.data.cut import cut
from nightshift.data.duplicates import find_duplicates
from nightshift.data.examples import SPLITS, Source
from nightshift.data.ingest import ingest
from nightshift.data.labels import set_labels
from nightshift.data.manifest import Dataset, Origin, Split, SplitStatistics
from nightshift.data.publish import check_splits, manifest_of, publish
from nightshift.data.shards import write_split
from nightshift.data.spool import Spool
from nightshift.tasks.base import Task

Progress = Callable[[float, str], None]

INGEST_SHARE = 0.8
"""Share of the work, for progress, that reading and decoding is; writing is the rest."""


def build(
    source: Source, task: Task, origin: Origin, seed: int, folder: Path, datasets: Path, progress: Progress
) -> Dataset:
    """Prepare a dataset and publish it as datasets/FINGERPRINT.

    Args:
        source: the examples.
        task: shape, fit, classes and shares.
        origin: what the manifest says of the source.
        seed: of the order of examples.
        folder: empty, on the same file system as `datasets`; left for the caller to remove.
        datasets: where the dataset goes.
        progress: told the share done and what is being done.

    Raises:
        DataError: the data cannot be used; nothing is published.
    """
    shards = folder / "shards"
    shards.mkdir()
    with Spool(folder / "spool.sqlite") as spool:
        quarantined = ingest(source, task, spool, origin.uri, _ingest_progress(progress))
        progress(INGEST_SHARE, "ordering the images")
        classes = set_labels(spool, task, origin.uri)
        cut(spool, source.test_share, task.validation_share)
        spool.set_places(seed)
        class_counts = spool.class_counts(len(classes))
        check_splits(class_counts, classes, origin.uri)
        duplicates = find_duplicates(spool)
        written = _write(spool, task, shards, class_counts, progress)
    manifest = manifest_of(task, origin, seed, classes, written, quarantined, duplicates)
    return publish(manifest, shards, datasets)


def _ingest_progress(progress: Progress) -> Callable[[int, int], None]:
    def report(seen: int, total: int) -> None:
        progress(INGEST_SHARE * seen / total, f"validating and sharding: {seen:,} of {total:,} images")

    return report


def _write(
    spool: Spool, task: Task, folder: Path, class_counts: dict[str, list[int]], progress: Progress
) -> dict[str, tuple[Split, SplitStatistics]]:
    total = sum(spool.counts().values())
    done = 0

    def report(count: int) -> None:
        nonlocal done
        done += count
        progress(INGEST_SHARE + (1 - INGEST_SHARE) * done / total, f"writing shards: {done:,} of {total:,} images")

    return {split: write_split(spool, split, folder, task.image_shape, class_counts[split], report) for split in SPLITS}
