"""A dataset's last steps, however it was prepared: what it must have, its manifest, its place."""

import hashlib
import json
from pathlib import Path

from nightshift.data.examples import SPLITS
from nightshift.data.manifest import (
    MANIFEST_NAME,
    SCHEMA_VERSION,
    Dataset,
    DatasetManifest,
    Duplicates,
    Origin,
    Quarantine,
    Split,
    SplitStatistics,
)
from nightshift.errors import DataError
from nightshift.files import staged_directory, write_json
from nightshift.tasks.base import Task


def check_splits(class_counts: dict[str, list[int]], classes: list[str], uri: str) -> None:
    """Refuse data that lack a split, or a class in one.

    Raises:
        DataError: says which.
    """
    for split in SPLITS:
        if split not in class_counts:
            raise DataError(f"{uri}: the split {split!r} has no images")
        missing = [name for name, count in zip(classes, class_counts[split], strict=True) if not count]
        if missing:
            raise DataError(f"{uri}: the split {split!r} has no images of {', '.join(missing[:20])}")


def manifest_of(
    task: Task,
    origin: Origin,
    seed: int,
    classes: list[str],
    written: dict[str, tuple[Split, SplitStatistics]],
    quarantined: Quarantine,
    duplicates: Duplicates,
) -> DatasetManifest:
    """The manifest; `written` has the splits in the order of SPLITS."""
    splits = {name: split for name, (split, _) in written.items()}
    return DatasetManifest(
        schema_version=SCHEMA_VERSION,
        fingerprint=fingerprint(classes, task.image_shape, splits),
        task=task.name,
        source=origin,
        seed=seed,
        classes=classes,
        image_shape=task.image_shape,
        splits=splits,
        statistics={name: statistics for name, (_, statistics) in written.items()},
        quarantined=quarantined,
        duplicates=duplicates,
    )


def fingerprint(classes: list[str], image_shape: tuple[int, int, int], splits: dict[str, Split]) -> str:
    """16 hex digits that name the content: schema, classes, shape and the hashes of all shards."""
    hashes = {name: [shard.sha256 for shard in splits[name].shards] for name in SPLITS}
    content = json.dumps([SCHEMA_VERSION, classes, list(image_shape), hashes])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def publish(manifest: DatasetManifest, shards: Path, datasets: Path) -> Dataset:
    """Move the shards from a folder into the dataset's own, which appears complete; one that is whole stays."""
    target = datasets / manifest.fingerprint
    damaged = False
    if target.exists():
        try:
            dataset = Dataset.open(target)
            dataset.verify()
            return dataset
        except DataError:
            damaged = True  # and the same content is at hand
    with staged_directory(target, replace=damaged) as staging:
        for file in shards.iterdir():
            file.rename(staging / file.name)
        write_json(staging / MANIFEST_NAME, manifest.model_dump(mode="json"))
    return Dataset.open(target)
