"""A dataset made of another: its training split has the validation images as well."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np

from nightshift.data.manifest import MANIFEST_NAME, Dataset, DatasetManifest, Split, SplitStatistics
from nightshift.errors import DataError
from nightshift.files import staged_directory, write_json
from nightshift.workspace import Workspace

PARTS = ("train", "validation")


def with_validation(dataset: Dataset, workspace: Workspace) -> Dataset:
    """The dataset to train on once the settings are chosen, made or found in the workspace.

    Its shards are those of the other, linked where the file system can. The validation split stays, though a network
    has seen it then: its figures are for display. The test split is the same.

    Args:
        dataset: with splits `train`, `validation` and `test`, in a folder or in a bucket.
        workspace: it is at datasets/FINGERPRINT there.

    Raises:
        DataError: a shard is not as it was written.
    """
    manifest = _manifest(dataset.manifest)
    target = workspace.datasets / manifest.fingerprint
    damaged = False
    if target.exists():
        try:
            merged = Dataset.open(target, reused=True)
            merged.verify()
            return merged
        except DataError:
            damaged = True
    dataset.verify()
    with staged_directory(target, replace=damaged) as staging:
        for split in dataset.manifest.splits:
            for shard in dataset.manifest.splits[split].shards:
                with dataset.local(shard) as file:
                    _link(file, staging / shard.name)
        write_json(staging / MANIFEST_NAME, manifest.model_dump(mode="json"))
    return Dataset.open(target)


def _link(file: Path, target: Path) -> None:
    """A second name of the file, or a copy where the file system has no such thing."""
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)


def _manifest(source: DatasetManifest) -> DatasetManifest:
    """The source's, with a training split that has the shards of both; `duplicates` stays that of the source."""
    parts = [source.splits[name] for name in PARTS]
    train = Split(
        count=sum(part.count for part in parts),
        class_counts=[sum(counts) for counts in zip(*(part.class_counts for part in parts), strict=True)],
        shards=[shard for part in parts for shard in part.shards],
    )
    statistics = _pooled([source.statistics[name] for name in PARTS], [part.count for part in parts])
    content = json.dumps(["with validation", source.fingerprint])
    changes = {
        "fingerprint": hashlib.sha256(content.encode()).hexdigest()[:16],
        "splits": source.splits | {"train": train},
        "statistics": source.statistics | {"train": statistics},
    }
    return source.model_copy(update=changes)


def _pooled(statistics: list[SplitStatistics], counts: list[int]) -> SplitStatistics:
    """The statistics of all images of several splits, which have `counts` images of the same shape."""
    shares = np.array(counts) / sum(counts)
    means = np.array([each.mean for each in statistics])
    squares = np.array([each.standard_deviation for each in statistics]) ** 2 + means**2
    mean = shares @ means
    return SplitStatistics(
        mean=mean.tolist(),
        standard_deviation=np.sqrt(np.maximum(shares @ squares - mean**2, 0)).tolist(),
        brightness=np.sum([each.brightness for each in statistics], axis=0).tolist(),
        contrast=float(shares @ np.array([each.contrast for each in statistics])),
    )
