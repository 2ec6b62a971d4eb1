"""A training's state on disk: one file, written whole after every epoch.

The file is NumPy's .npz: the network's and the optimizer's variables, the best weights so far and, as JSON, the rest.
"""

import json
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from nightshift.errors import WorkspaceError
from nightshift.files import write_npz

NAME = "checkpoint.npz"


@dataclass
class Progress:
    """What a training knows of itself besides its variables.

    Attributes:
        epoch: finished epochs.
        best_epoch: the one of the best score, 0 before the first.
        best_score: on the validation split.
        best_loss: of the same epoch there.
        history: a row an epoch.
        seconds: wall time of the finished epochs, interruptions left out.
        cpu_seconds: processor time of the same.
    """

    epoch: int = 0
    best_epoch: int = 0
    best_score: float = -1.0
    best_loss: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0


def save(
    directory: Path,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    best: list[np.ndarray],
    progress: Progress,
) -> None:
    """Write the state; the one before stays until this one is complete."""
    arrays = {"progress": np.frombuffer(json.dumps(asdict(progress)).encode(), np.uint8)}
    groups = {"model": model.variables, "optimizer": optimizer.variables, "best": best}
    for group, variables in groups.items():
        arrays |= {f"{group}/{index:04d}": np.asarray(variable) for index, variable in enumerate(variables)}
    write_npz(directory / NAME, arrays)


def restore(
    directory: Path, model: keras.Model, optimizer: keras.optimizers.Optimizer
) -> tuple[list[np.ndarray], Progress] | None:
    """Put the state back into the variables.

    Returns:
        the best weights and the progress, or None if there is no checkpoint.

    Raises:
        WorkspaceError: the file does not fit the network.
    """
    path = directory / NAME
    if not path.exists():
        return None
    try:
        return _restore(path, model, optimizer)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise WorkspaceError(f"{path}: cannot be read: {error}; delete it to train from the start") from error


def _restore(
    path: Path, model: keras.Model, optimizer: keras.optimizers.Optimizer
) -> tuple[list[np.ndarray], Progress]:
    with np.load(path, allow_pickle=False) as arrays:
        for group, variables in (("model", model.variables), ("optimizer", optimizer.variables)):
            stored = [arrays[name] for name in sorted(arrays.files) if name.startswith(f"{group}/")]
            if [a.shape for a in stored] != [tuple(v.shape) for v in variables]:
                raise WorkspaceError(f"{path}: {group} variables of other shapes than the network's; delete the file")
            for variable, value in zip(variables, stored, strict=True):
                variable.assign(value)
        best = [arrays[name] for name in sorted(arrays.files) if name.startswith("best/")]
        progress = Progress(**json.loads(arrays["progress"].tobytes()))
    return best, progress
