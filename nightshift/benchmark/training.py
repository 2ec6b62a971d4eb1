"""What the training of a preset consumes on this machine: the real loop, for some seconds."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras

from nightshift.benchmark.rates import Rate, cpu_seconds
from nightshift.data.manifest import Dataset
from nightshift.tasks.base import Preset, Task
from nightshift.training.kept import InFolder
from nightshift.training.loop import fit

SKIPPED = 3
"""Steps that are not timed: compiling the first takes seconds."""


class EnoughError(Exception):
    """The time is over."""


class Clock(keras.callbacks.Callback):
    """Times the steps of training, their input included, and ends the training after some seconds of them."""

    def __init__(self, batch_size: int, seconds: float) -> None:
        super().__init__()
        self.batch_size, self.seconds = batch_size, seconds
        self.steps = -SKIPPED
        self.clock, self.cpu = 0.0, 0.0
        self._began = (0.0, 0.0)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Start."""
        self._began = time.monotonic(), cpu_seconds()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stop, once the device has made the step: until its result is looked at, it is only on its way."""
        float(logs["sums"][0])
        self.steps += 1
        if self.steps > 0:
            self.clock += time.monotonic() - self._began[0]
            self.cpu += cpu_seconds() - self._began[1]
            if self.clock >= self.seconds:
                raise EnoughError

    def rate(self) -> Rate:
        """Images that were trained on."""
        return Rate(self.steps * self.batch_size, self.clock, self.cpu)


def measure_training(
    dataset: Dataset, task: Task, preset: Preset, *, seconds: float, seed: int, say: Callable[[str], None]
) -> Rate:
    """Train for some seconds in a folder that is thrown away.

    Args:
        dataset: prepared for the task.
        task: what is learnt.
        preset: network and settings; as many epochs as it takes.
        seconds: of training steps; validation is not counted.
        seed: of the run.
        say: told what is being done.
    """
    say(f"training {preset.network} for {seconds:g} s")
    clock = Clock(preset.batch_size, seconds)
    endless = replace(preset, epochs=1_000_000, patience=0)
    with TemporaryDirectory() as folder, contextlib.suppress(EnoughError):
        fit(task, endless, dataset, seed=seed, kept=InFolder(Path(folder)), callbacks=[clock])
    return clock.rate()
