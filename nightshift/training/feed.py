"""A strategy's batches: each worker reads its own part of every global batch, each device takes its own of that."""

from collections.abc import Iterable, Iterator
from typing import Any

import tensorflow as tf

from nightshift.data.input import Batch, evaluation_batches, training_batches
from nightshift.data.manifest import Dataset
from nightshift.models.dropout import draws_of
from nightshift.problems.base import Problem
from nightshift.tasks.base import Preset
from nightshift.training.checkpoints import Progress
from nightshift.training.place import Place

EVALUATION_BATCH = 500
"""Images a device."""


def training_feed(
    strategy: tf.distribute.Strategy,
    place: Place,
    problem: Problem,
    preset: Preset,
    dataset: Dataset,
    seed: int,
    done: Progress,
) -> Iterator[Any]:
    """The global batches (inputs, targets, draws of dropout) that are still to come, of all epochs."""

    def changed(batch: Batch, epoch: tf.Tensor) -> tuple[tf.Tensor, ...]:
        inputs, targets = problem.training_batch(batch, preset.augmentation, seed, epoch + 1)
        return inputs, targets, draws_of(batch["id"], seed, epoch + 1)

    def read(_: tf.distribute.InputContext) -> tf.data.Dataset:
        return training_batches(
            dataset,
            batch_size=preset.batch_size,
            epochs=range(done.epoch, preset.epochs),
            seed=seed,
            transform=changed,
            part=place.part,
            replicas=_devices(strategy, place),
            first_step=done.step,
        )

    return iter(strategy.distribute_datasets_from_function(read))


def validation_feed(
    strategy: tf.distribute.Strategy, place: Place, problem: Problem, dataset: Dataset, seed: int
) -> Iterable[Any]:
    """The batches (inputs, targets) of the validation split, equally many at every worker."""

    def read(_: tf.distribute.InputContext) -> tf.data.Dataset:
        batches = evaluation_batches(dataset, "validation", EVALUATION_BATCH, place.part, _devices(strategy, place))
        return batches.map(lambda batch: problem.evaluation_batch(batch, seed))

    return strategy.distribute_datasets_from_function(read)


def _devices(strategy: tf.distribute.Strategy, place: Place) -> int:
    """Of this worker."""
    return int(strategy.num_replicas_in_sync) // place.count
