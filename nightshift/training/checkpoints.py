"""A training's state at any step, as one file.

It is NumPy's .npz: the network's and the optimizer's variables, the best weights so far and, as JSON, the rest.
"""

import io
import json
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import keras
import numpy as np

from nightshift.errors import WorkspaceError
from nightshift.training.kept import Kept

INTERVAL_SECONDS = 60.0
"""Between two checkpoints of one epoch, so that not more work is lost."""

SHARE = 1 / 50
"""Of the time, at most, that writing them may take."""

DAMAGES = (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile)
"""What NumPy and JSON raise of a file that is not, or no longer, a checkpoint."""


@dataclass
class Progress:
    """What a training knows of itself besides its variables.

    Attributes:
        epoch: finished epochs.
        step: finished steps of the one that is next.
        sums: of the losses and of the scores of these steps' examples, float32.
        best_epoch: the one of the best score, 0 before the first.
        best_score: on the validation split.
        best_loss: of the same epoch there.
        history: a row an epoch.
        seconds: wall time of what is finished, interruptions left out.
        cpu_seconds: processor time of the same.
    """

    epoch: int = 0
    step: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0])
    best_epoch: int = 0
    best_score: float = -1.0
    best_loss: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0


class Checkpoints:
    """Writes them, and knows when the next is due."""

    def __init__(self, kept: Kept, clock: Callable[[], float] = time.monotonic) -> None:
        self._kept = kept
        self._clock = clock
        self._written = clock()
        self._took = 0.0

    @property
    def due(self) -> bool:
        """Whether one should be written though the epoch is not done."""
        return self._clock() - self._written >= max(INTERVAL_SECONDS, self._took / SHARE)

    def save(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        best: list[np.ndarray],
        progress: Progress,
    ) -> None:
        """Write the state; the one before stays until this one is complete."""
        began = self._clock()
        arrays = {"progress": np.frombuffer(json.dumps(asdict(progress)).encode(), np.uint8)}
        groups = {"model": model.variables, "optimizer": optimizer.variables, "best": best}
        for group, variables in groups.items():
            arrays |= {f"{group}/{index:04d}": np.asarray(variable) for index, variable in enumerate(variables)}
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        self._kept.write(buffer.getvalue())
        self._written = self._clock()
        self._took = self._written - began


def restore(
    content: bytes, name: str, model: keras.Model, optimizer: keras.optimizers.Optimizer
) -> tuple[list[np.ndarray], Progress]:
    """Put a state back into the variables.

    Args:
        content: of a checkpoint.
        name: where it is, for the errors.
        model: takes over its variables.
        optimizer: too.

    Returns:
        the best weights and the progress.

    Raises:
        WorkspaceError: it cannot be read, or does not fit the network.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            found = {group: _group(arrays, group) for group in ("model", "optimizer", "best")}
            progress = Progress(**json.loads(arrays["progress"].tobytes()))
    except DAMAGES as error:
        raise WorkspaceError(f"{name}: cannot be read: {error}; delete it to train from the start") from error
    for group, variables in (("model", model.variables), ("optimizer", optimizer.variables)):
        if [array.shape for array in found[group]] != [tuple(variable.shape) for variable in variables]:
            raise WorkspaceError(f"{name}: {group} variables of other shapes than the network's; delete it")
    for group, variables in (("model", model.variables), ("optimizer", optimizer.variables)):
        for variable, value in zip(variables, found[group], strict=True):
            variable.assign(value)
    return found["best"], progress


def _group(arrays: Any, group: str) -> list[np.ndarray]:
    return [arrays[name] for name in sorted(arrays.files) if name.startswith(f"{group}/")]
