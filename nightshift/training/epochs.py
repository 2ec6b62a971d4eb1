"""A training at work: epoch after epoch, with validation, checkpoints and words, until its end or until SIGTERM."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import keras
import numpy as np
import tensorflow as tf

from nightshift.errors import ConfigurationError
from nightshift.tasks.base import Preset, Task
from nightshift.training.checkpoints import Checkpoints, Progress
from nightshift.training.place import Place
from nightshift.training.preemption import Preempted, Preemption
from nightshift.training.steps import Step
from nightshift.training.workers import dismiss
from nightshift.workspace import cpu_seconds

TELL_SECONDS = 0.5


@dataclass(frozen=True)
class Trained:
    """A network with its best weights, and how it came about."""

    model: keras.Model
    progress: Progress
    stopped: str


def share_done(state: Progress, steps: int, preset: Preset) -> float:
    """Of all steps, `steps` of which are an epoch's; 0 to 1."""
    return (state.epoch + state.step / steps) / preset.epochs


def where(state: Progress, steps: int, preset: Preset) -> str:
    """The last finished step, or epoch, in words."""
    if state.step:
        return f"step {state.step} of {steps} in epoch {state.epoch + 1} of {preset.epochs}"
    return f"epoch {state.epoch} of {preset.epochs}"


@dataclass
class Epochs:
    """A training at work: what it works with, and `state` and `best`, which change."""

    task: Task
    preset: Preset
    steps: int
    place: Place
    strategy: tf.distribute.Strategy
    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    train: Step
    validate: Step
    checkpoints: Checkpoints
    following: keras.callbacks.CallbackList
    progress: Callable[[float, str], None]
    state: Progress
    best: list[np.ndarray]
    preemption: Preemption = field(default_factory=Preemption)
    _before: Any = None
    _asked: tuple[Any, ...] = ()
    _began: tuple[float, float] = (0.0, 0.0)

    def run(self, batches: Iterator[Any], held_out: Iterable[Any]) -> None:
        """Every epoch, or until patience is at its end."""
        self.following.on_train_begin()
        self._began = time.monotonic(), cpu_seconds()
        self._asked = tf.constant(0.0), tf.constant(1.0)
        with self.preemption:
            while self.state.epoch < self.preset.epochs and not self._out_of_patience():
                self.following.on_epoch_begin(self.state.epoch)
                loss, score = self._train_epoch(batches)
                validation_loss, validation_score = self._validate(held_out)
                self._check_finite("validation loss", validation_loss)
                self._finish_epoch(loss, score, validation_loss, validation_score)
        self.following.on_train_end()

    def trained(self) -> Trained:
        """What it has come to, with the best weights."""
        self.model.set_weights(self.best)
        every = self.state.epoch == self.preset.epochs
        return Trained(
            self.model, self.state, "every epoch done" if every else f"no better in {self.preset.patience} epochs"
        )

    def _out_of_patience(self) -> bool:
        return bool(self.preset.patience) and self.state.epoch - self.state.best_epoch >= self.preset.patience

    def _train_epoch(self, batches: Iterator[Any]) -> tuple[float, float]:
        """One epoch, or what is left of it; the mean loss and score of its training batches."""
        total, told = tf.constant([*self.state.sums, 0.0]), time.monotonic()
        for step in range(self.state.step, self.steps):
            self.following.on_train_batch_begin(step)
            sums = self.train(next(batches), self._asked[self.preemption.asked])
            total += sums
            self.state.step = step + 1
            self.following.on_train_batch_end(step, {"sums": sums})
            if self._is_to_end(sums):
                self._end(total)
            if self.place.chief and self.checkpoints.due:
                self._save(total)
            # Looking at a result waits for the device: only when there is something to say.
            if step + 1 == self.steps or time.monotonic() - told >= TELL_SECONDS:
                told = time.monotonic()
                loss, _ = self._means(total)
                words = f"epoch {self.state.epoch + 1} of {self.preset.epochs}: loss {loss:.4f}"
                self.progress(share_done(self.state, self.steps, self.preset), words)
        self._keep_sums(total)
        return self._means(total)

    def _validate(self, held_out: Iterable[Any]) -> tuple[float, float]:
        """Mean loss and score of the validation split."""
        found = []
        for batch in held_out:
            found.append(self.validate(batch, self._asked[self.preemption.asked]))
            if self._is_to_end(found[-1]):
                self._end(tf.constant([*self.state.sums, 0.0]))
        loss, score, count, _ = np.sum([np.asarray(sums, np.float64) for sums in found], axis=0).tolist()
        return loss / count, score / count

    def _finish_epoch(self, loss: float, score: float, validation_loss: float, validation_score: float) -> None:
        state = self.state
        state.epoch, state.step, state.sums = state.epoch + 1, 0, [0.0, 0.0]
        # Of equal scores, likely on a small validation split, the lower loss is the better.
        better = (validation_score, -validation_loss) > (state.best_score, -state.best_loss)
        if better or self.preset.keep == "last":
            state.best_epoch, self.best = state.epoch, self.model.get_weights()
            state.best_score, state.best_loss = validation_score, validation_loss
        self._count_time()
        name = self.task.score
        row = {
            "epoch": state.epoch,
            "loss": loss,
            name: score,
            "validation_loss": validation_loss,
            f"validation_{name}": validation_score,
            "learning_rate": float(tf.convert_to_tensor(self.optimizer.learning_rate)),
            "seconds": state.seconds,
            "cpu_seconds": state.cpu_seconds,
        }
        state.history.append(row)
        self.following.on_epoch_end(state.epoch - 1, row)
        if self.place.chief:
            self.checkpoints.save(self.model, self.optimizer, self.best, state)
        words = f"loss {loss:.4f}, {name} {score:.4f}, validation {validation_score:.4f}"
        self.progress(state.epoch / self.preset.epochs, f"epoch {state.epoch} of {self.preset.epochs}: {words}")

    def _is_to_end(self, sums: tf.Tensor) -> bool:
        """Whether any worker was asked to end; all find the same at the same step.

        Several look at the sums of the step before: those of this one the device may still be at work on.
        """
        if self.place.count == 1:
            return self.preemption.asked
        before, self._before = self._before, sums
        return before is not None and float(before[-1]) > 0

    def _end(self, total: tf.Tensor) -> NoReturn:
        """Leave the training for another process to go on with."""
        written = "the chief writes the checkpoint"
        if self.place.chief:
            began = time.monotonic()
            self._save(total)
            written = f"the checkpoint is written ({time.monotonic() - began:.1f} s)"
        dismiss(self.strategy, self.place)
        raise Preempted(
            f"ended by SIGTERM after {where(self.state, self.steps, self.preset)}; {written}, and the training goes "
            "on from it when it is started again"
        )

    def _save(self, total: tf.Tensor) -> None:
        """A checkpoint within an epoch."""
        self._means(total)
        self._keep_sums(total)
        self._count_time()
        self.checkpoints.save(self.model, self.optimizer, self.best, self.state)

    def _keep_sums(self, total: tf.Tensor) -> None:
        loss, score, _ = total.numpy().tolist()
        self.state.sums = [loss, score]

    def _count_time(self) -> None:
        now = time.monotonic(), cpu_seconds()
        self.state.seconds += now[0] - self._began[0]
        self.state.cpu_seconds += now[1] - self._began[1]
        self._began = now

    def _means(self, total: tf.Tensor) -> tuple[float, float]:
        """The epoch's loss and score so far."""
        loss, score, _ = (total / (self.state.step * self.preset.batch_size)).numpy()
        self._check_finite("loss", loss)
        return float(loss), float(score)

    def _check_finite(self, name: str, loss: float) -> None:
        if not np.isfinite(loss):
            raise ConfigurationError(
                f"the {name} is {loss} in epoch {self.state.epoch + 1}; learning_rate {self.preset.learning_rate} "
                "may be too high"
            )
