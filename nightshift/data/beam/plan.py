"""What follows from the counts of the first pipeline alone: labels, what is held out, sizes of splits and shards."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from nightshift.data.beam.tally import Label, Tally
from nightshift.data.cut import held_out, judged_by_validation, shares_of
from nightshift.data.labels import classes_of
from nightshift.data.lanes import shard_sizes
from nightshift.data.publish import check_splits
from nightshift.tasks.base import Task

UNLABELLED = -1


@dataclass(frozen=True)
class Plan:
    """How the second pipeline makes a dataset of what was spooled.

    Attributes:
        image_shape: (height, width, channels).
        seed: of the order.
        classes: names in the order of their labels.
        labels: a label as the source has it -> its number; empty: unlabelled.
        renamed: a split as the source has it -> its name, where that is another.
        train_sizes: a label -> how many images `train` has of it before anything is held out.
        held_out: a label -> the splits that are taken out of `train`, in this order, and how many images each.
        class_counts: a split -> its images a class.
        shard_sizes: a split -> the images of its shards.
    """

    image_shape: tuple[int, int, int]
    seed: int
    classes: list[str]
    labels: Mapping[Label, int]
    renamed: Mapping[str, str]
    train_sizes: Mapping[int, int]
    held_out: Mapping[int, list[tuple[str, int]]]
    class_counts: Mapping[str, list[int]]
    shard_sizes: Mapping[str, list[int]]

    @property
    def images(self) -> int:
        """Of all splits."""
        return sum(map(sum, self.shard_sizes.values()))

    @property
    def image_bytes(self) -> int:
        """Of one image."""
        height, width, channels = self.image_shape
        return height * width * channels


def plan_of(tally: Tally, task: Task, test_share: float, seed: int, uri: str) -> Plan:
    """Make the plan.

    Args:
        tally: of all images.
        task: shape, classes and share of `validation`.
        test_share: of the source.
        seed: of the order.
        uri: the source's name, for errors.

    Raises:
        DataError: as `labels.set_labels` and `publish.check_splits` do.
    """
    classes: list[str] = []
    labels: dict[Label, int] = {}
    if task.labelled:
        found = {label for _, label in tally.counts if label is not None}
        classes = classes_of(found, task, uri)
        named = any(isinstance(label, str) for label in found)
        labels = {(name if named else number): number for number, name in enumerate(classes)}
    splits = {split for split, _ in tally.counts}
    renamed = {"validation": "test"} if judged_by_validation(splits) else {}
    sizes: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for (split, label), count in tally.counts.items():
        sizes[renamed.get(split, split)][labels.get(label, UNLABELLED)] += count
    train_sizes = dict(sizes["train"])
    shares = shares_of({renamed.get(split, split) for split in splits}, test_share, task.validation_share)
    taken = {label: _taken(size, shares) for label, size in train_sizes.items()} if shares else {}
    for label, parts in taken.items():
        for split, count in parts:
            sizes[split][label] += count
            sizes["train"][label] -= count
    totals = {split: sum(counts.values()) for split, counts in sizes.items()}
    class_counts = {
        split: [counts.get(number, 0) for number in range(len(classes))]
        for split, counts in sizes.items()
        if totals[split]
    }
    check_splits(class_counts, classes, uri)
    height, width, channels = task.image_shape
    return Plan(
        image_shape=task.image_shape,
        seed=seed,
        classes=classes,
        labels=labels,
        renamed=renamed,
        train_sizes=train_sizes,
        held_out=taken,
        class_counts=class_counts,
        shard_sizes={split: shard_sizes(totals[split], height * width * channels) for split in class_counts},
    )


def _taken(size: int, shares: Mapping[str, float]) -> list[tuple[str, int]]:
    """How many of the images of a class each split gets: at most all."""
    taken: list[tuple[str, int]] = []
    for split, share in shares.items():
        count = min(size, held_out(sum(n for _, n in taken) + size, share))
        taken.append((split, count))
        size -= count
    return taken
