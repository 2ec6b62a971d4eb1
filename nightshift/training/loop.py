"""The training loop: one for a laptop and for several devices, resumed after every finished epoch.

Keras 3's own `fit` stops at one host; this one is built around `strategy.run` and drives Keras callbacks.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from nightshift.data.input import evaluation_batches, training_batches
from nightshift.data.lanes import usable
from nightshift.data.manifest import Dataset
from nightshift.errors import ConfigurationError, DataError
from nightshift.models import networks
from nightshift.problems.base import Problem
from nightshift.problems.registry import problem_of
from nightshift.tasks.base import Preset, Task
from nightshift.training import checkpoints, devices
from nightshift.training.optimizers import optimizer as optimizer_of
from nightshift.training.steps import Step, training_step, validation_step
from nightshift.workspace import cpu_seconds

EVALUATION_BATCH = 500
TELL_SECONDS = 0.5


@dataclass(frozen=True)
class Trained:
    """A network with its best weights, and how it came about."""

    model: keras.Model
    progress: checkpoints.Progress
    stopped: str


def fit(
    task: Task,
    preset: Preset,
    dataset: Dataset,
    *,
    seed: int,
    directory: Path,
    progress: Callable[[float, str], None] = lambda fraction, message: None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    strategy: tf.distribute.Strategy | None = None,
) -> Trained:
    """Train, or go on from the checkpoint in `directory`.

    Args:
        task: what is learnt; its `score` on the validation split chooses the best epoch (see `Preset.keep`).
        preset: network and settings.
        dataset: prepared data.
        seed: weights, order and random changes follow from it.
        directory: where the checkpoint is; one process at a time.
        progress: told (share of all steps, words).
        callbacks: Keras callbacks; they see the model, epochs, batches and logs.
        strategy: where to run; None: what this machine has.

    Raises:
        DataError: the training split has less than one batch.
        ConfigurationError: the batch cannot be shared by the devices, or the loss is no longer a number.
    """
    strategy = strategy or devices.strategy()
    steps = _steps_an_epoch(preset, dataset, strategy)
    keras.utils.set_random_seed(seed)
    problem = problem_of(task, tuple(dataset.manifest.classes))
    with strategy.scope(), _precision(preset.precision):
        model = networks.build(preset.network, task.image_shape, problem.outputs, preset.network_options)
        optimizer = optimizer_of(preset, steps * preset.epochs)
        optimizer.build(model.trainable_variables)
    restored = checkpoints.restore(directory, model, optimizer)
    best, state = restored or (model.get_weights(), checkpoints.Progress())
    if restored:
        progress(state.epoch / preset.epochs, f"going on after epoch {state.epoch} of {preset.epochs}")
    train = training_step(strategy, model, optimizer, problem, preset)
    validate = validation_step(strategy, model, problem)
    batches = iter(
        strategy.experimental_distribute_dataset(
            training_batches(
                dataset,
                batch_size=preset.batch_size,
                epochs=range(state.epoch, preset.epochs),
                seed=seed,
                transform=lambda batch, epoch: problem.training_batch(batch, preset.augmentation, seed, epoch + 1),
            )
        )
    )
    held_out = _validation_batches(strategy, problem, dataset, seed)
    following = keras.callbacks.CallbackList(list(callbacks), model=model)
    following.on_train_begin()
    while state.epoch < preset.epochs and not _out_of_patience(preset, state):
        began, cpu_began = time.monotonic(), cpu_seconds()
        following.on_epoch_begin(state.epoch)
        loss, score = _train_epoch(train, batches, steps, preset, state.epoch, progress, following)
        validation_loss, validation_score = _validate(validate, held_out)
        _check_finite("validation loss", validation_loss, preset, state.epoch)
        state.epoch += 1
        # Of equal scores, likely on a small validation split, the lower loss is the better.
        better = (validation_score, -validation_loss) > (state.best_score, -state.best_loss)
        if better or preset.keep == "last":
            state.best_epoch, best = state.epoch, model.get_weights()
            state.best_score, state.best_loss = validation_score, validation_loss
        state.seconds += time.monotonic() - began
        state.cpu_seconds += cpu_seconds() - cpu_began
        row = _row(task, state, optimizer, loss, score, validation_loss, validation_score)
        state.history.append(row)
        following.on_epoch_end(state.epoch - 1, row)
        checkpoints.save(directory, model, optimizer, best, state)
        progress(state.epoch / preset.epochs, _in_words(task, preset, row))
    following.on_train_end()
    model.set_weights(best)
    stopped = "every epoch done" if state.epoch == preset.epochs else f"no better in {preset.patience} epochs"
    return Trained(model, state, stopped)


@contextmanager
def _precision(policy: str) -> Iterator[None]:
    """The dtype policy of the layers built in the block: Keras has one for the whole process."""
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_global_policy(policy)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def _steps_an_epoch(preset: Preset, dataset: Dataset, strategy: tf.distribute.Strategy) -> int:
    replicas = strategy.num_replicas_in_sync
    if preset.batch_size % replicas:
        raise ConfigurationError(
            f"batch_size: found {preset.batch_size}, expected a multiple of the {replicas} devices"
        )
    count = usable(dataset.manifest.splits["train"])
    if count < preset.batch_size:
        raise DataError(f"{dataset.path}: {count} training images are less than one batch of {preset.batch_size}")
    return count // preset.batch_size


def _validation_batches(
    strategy: tf.distribute.Strategy, problem: Problem, dataset: Dataset, seed: int
) -> tf.data.Dataset:
    batches = evaluation_batches(dataset, "validation", EVALUATION_BATCH)
    prepared = batches.map(lambda batch: problem.evaluation_batch(batch, seed))
    return strategy.experimental_distribute_dataset(prepared)


def _out_of_patience(preset: Preset, state: checkpoints.Progress) -> bool:
    return bool(preset.patience) and state.epoch - state.best_epoch >= preset.patience


def _train_epoch(
    train: Step,
    batches: Any,
    steps: int,
    preset: Preset,
    epoch: int,
    progress: Callable[[float, str], None],
    following: keras.callbacks.CallbackList,
) -> tuple[float, float]:
    """One epoch; returns the mean loss and score of its training batches."""
    total, told = tf.zeros(2), time.monotonic()
    for step in range(steps):
        following.on_train_batch_begin(step)
        total += train(next(batches))
        following.on_train_batch_end(step)
        # Looking at a result waits for the device: only when there is something to say.
        if step + 1 < steps and time.monotonic() - told < TELL_SECONDS:
            continue
        told, seen = time.monotonic(), (step + 1) * preset.batch_size
        loss, score = (total / seen).numpy()
        _check_finite("loss", loss, preset, epoch)
        progress(
            (epoch + (step + 1) / steps) / preset.epochs,
            f"epoch {epoch + 1} of {preset.epochs}: loss {loss:.4f}",
        )
    return float(loss), float(score)


def _check_finite(name: str, loss: float, preset: Preset, epoch: int) -> None:
    if not np.isfinite(loss):
        raise ConfigurationError(
            f"the {name} is {loss} in epoch {epoch + 1}; learning_rate {preset.learning_rate} may be too high"
        )


def _validate(validate: Step, batches: tf.data.Dataset) -> tuple[float, float]:
    """Mean loss and score of the validation split."""
    sums = np.array([validate(batch).numpy() for batch in batches], np.float64)
    loss, score, count = sums.sum(axis=0).tolist()
    return loss / count, score / count


def _row(
    task: Task,
    state: checkpoints.Progress,
    optimizer: keras.optimizers.Optimizer,
    loss: float,
    score: float,
    validation_loss: float,
    validation_score: float,
) -> dict[str, float]:
    """The epoch's line of history.csv."""
    return {
        "epoch": state.epoch,
        "loss": loss,
        task.score: score,
        "validation_loss": validation_loss,
        f"validation_{task.score}": validation_score,
        "learning_rate": float(tf.convert_to_tensor(optimizer.learning_rate)),
        "seconds": state.seconds,
        "cpu_seconds": state.cpu_seconds,
    }


def _in_words(task: Task, preset: Preset, row: dict[str, float]) -> str:
    return (
        f"epoch {row['epoch']} of {preset.epochs}: loss {row['loss']:.4f}, {task.score} {row[task.score]:.4f}, "
        f"validation {row[f'validation_{task.score}']:.4f}"
    )
