"""A finished training on disk: the folder of its recipe's key, complete once training.json is there. No TensorFlow."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nightshift.errors import WorkspaceError
from nightshift.files import sha256_of

DESCRIPTION = "training.json"
WEIGHTS = "model.keras"
HISTORY = "history.csv"


@dataclass(frozen=True)
class TrainedModel:
    """A trained model's folder and what training.json says.

    Attributes:
        path: the folder.
        description: recipe, classes, parameters, epochs, best_epoch, best_score, seconds, cpu_seconds, sha256.
    """

    path: Path
    description: dict[str, Any]

    @classmethod
    def open(cls, path: Path) -> "TrainedModel":
        """Read it.

        Raises:
            WorkspaceError: the training is not finished, or the model is not the one that was written.
        """
        try:
            description = json.loads((path / DESCRIPTION).read_text())
            found = sha256_of(path / WEIGHTS)
        except FileNotFoundError as error:
            raise WorkspaceError(f"{error.filename}: not there; the training has not finished") from None
        except ValueError as error:
            raise WorkspaceError(f"{path / DESCRIPTION}: cannot be read: {error}") from None
        if found != description["sha256"]:
            raise WorkspaceError(f"{path / WEIGHTS}: its SHA-256 is not the one in {DESCRIPTION}")
        return cls(path, description)

    @property
    def weights(self) -> Path:
        """The Keras model, architecture and weights."""
        return self.path / WEIGHTS

    @property
    def history(self) -> Path:
        """A CSV line an epoch."""
        return self.path / HISTORY
