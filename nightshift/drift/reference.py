"""The reference statistics of a model: a row an image of the split it was validated on, and what it answered there.

They go with the SavedModel, covered by its manifest, so that whoever serves it can tell later whether what it is asked
still looks like that. No TensorFlow.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightshift.drift.features import Columns
from nightshift.drift.pictures import Fit
from nightshift.errors import StoreError
from nightshift.files import read_npz, write_npz

NAME = "assets.extra/reference.npz"
MAX_BYTES = 16 << 20
FACTS = "facts"
PREDICTED, LABEL, SOLVED, TILE_SOLVED = "predicted", "label", "solved", "tile_solved"
_APART = {PREDICTED: np.int64, LABEL: np.int64, SOLVED: np.bool_, TILE_SOLVED: np.bool_}
"""Arrays that are no figures."""


@dataclass(frozen=True)
class Reference:
    """What a model's images and answers were like when it was exported.

    Attributes:
        image_shape: (height, width, channels) that the network sees.
        fit: how other sizes are brought to that.
        grid: tiles a side of a puzzle; 1: it is none.
        classes: names in the order of their numbers; none for puzzles.
        columns: figures of features.features; `confidence`, the probability of the answer; for puzzles `seams`, of the
            pictures as they were solved. float32 [N].
        predicted: the answered class, int64 [N]; None for puzzles.
        label: the true class, int64 [N]; None where the data have none.
        solved: whether the picture was put in order, bool [N]; for puzzles.
        tile_solved: whether a tile of it, enlarged and shuffled by itself, was; bool [M], for puzzles.
    """

    image_shape: tuple[int, int, int]
    fit: Fit
    grid: int
    classes: Sequence[str]
    columns: Columns
    predicted: NDArray[np.int64] | None = None
    label: NDArray[np.int64] | None = None
    solved: NDArray[np.bool_] | None = None
    tile_solved: NDArray[np.bool_] | None = field(default=None)

    @property
    def count(self) -> int:
        """Its images."""
        return len(self.columns["brightness"])

    def save(self, saved_model: Path) -> None:
        """Write it into a SavedModel's folder."""
        facts = {
            "image_shape": self.image_shape,
            "fit": self.fit,
            "grid": self.grid,
            "classes": list(self.classes),
        }
        apart = {name: getattr(self, name) for name in _APART}
        arrays: dict[str, Any] = {name: column.astype(np.float32) for name, column in self.columns.items()}
        arrays |= {name: array.astype(_APART[name]) for name, array in apart.items() if array is not None}
        write_npz(saved_model / NAME, {**arrays, FACTS: np.frombuffer(json.dumps(facts).encode(), np.uint8)})

    @classmethod
    def load(cls, saved_model: Path) -> "Reference | None":
        """Read it from a SavedModel's folder; None: it has none, as imported models and old versions.

        Raises:
            StoreError: it is not readable, or larger than MAX_BYTES.
        """
        path = saved_model / NAME
        if not path.exists():
            return None
        try:
            return _of_arrays(read_npz(path, MAX_BYTES))
        except Exception as error:  # the file's content decides what is raised: ValueError, KeyError, BadZipFile, ...
            raise StoreError(f"{path}: no readable reference statistics: {type(error).__name__}: {error}") from error


def _of_arrays(arrays: Mapping[str, NDArray[Any]]) -> Reference:
    facts = json.loads(arrays[FACTS].tobytes())
    shape = tuple(int(size) for size in facts["image_shape"])
    if len(shape) != 3 or not 0 < math.prod(shape) < 1 << 28 or facts["fit"] not in ("stretch", "crop", "reduce"):
        raise ValueError(f"found image_shape {facts['image_shape']}, fit {facts['fit']!r}")
    columns = {name: array for name, array in arrays.items() if name not in _APART and name != FACTS}
    rows = {array.shape for array in columns.values()}
    if len(rows) != 1 or len(next(iter(rows))) != 1 or any(array.dtype != np.float32 for array in columns.values()):
        raise ValueError("expected columns of numbers of one length")
    for name, dtype in _APART.items():
        if name in arrays and (arrays[name].dtype != dtype or arrays[name].ndim != 1):
            raise ValueError(f"{name}: found {arrays[name].dtype} {arrays[name].shape}")
    apart: dict[str, Any] = {name: arrays[name] for name in _APART if name in arrays}
    found = Reference(shape, facts["fit"], int(facts["grid"]), tuple(map(str, facts["classes"])), columns, **apart)
    if not found.count:
        raise ValueError("expected an image at least")
    return found
