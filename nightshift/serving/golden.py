"""The golden batch: a few requests a signature and the answers that the trained model gives. No TensorFlow.

It goes with the SavedModel, so that whoever releases it can ask a server the same and compare.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nightshift.errors import StoreError
from nightshift.files import read_npz, write_npz

NAME = "assets.extra/golden.npz"
LENGTHS = ":lengths"
MAX_BYTES = 256 << 20
TOLERANCE = 1e-3  # absolute, of probabilities: another build of the same kernels may round otherwise


@dataclass(frozen=True)
class Golden:
    """Requests and answers.

    Attributes:
        requests: signature -> input name -> array.
        answers: signature -> output name -> array; strings as object arrays of bytes.
    """

    requests: Mapping[str, Mapping[str, np.ndarray]]
    answers: Mapping[str, Mapping[str, np.ndarray]]

    def save(self, saved_model: Path) -> None:
        """Write it into a SavedModel's folder."""
        arrays: dict[str, np.ndarray] = {}
        for kind, signatures in (("request", self.requests), ("answer", self.answers)):
            for signature, tensors in signatures.items():
                for name, array in tensors.items():
                    arrays |= _encoded(f"{kind}/{signature}/{name}", array)
        write_npz(saved_model / NAME, arrays)

    @classmethod
    def load(cls, saved_model: Path) -> "Golden":
        """Read it from a SavedModel's folder.

        Raises:
            StoreError: it is not there, not readable or larger than MAX_BYTES.
        """
        path = saved_model / NAME
        found: dict[str, dict[str, dict[str, np.ndarray]]] = {"request": {}, "answer": {}}
        try:
            for key, array in _read(path).items():
                kind, signature, name = key.split("/")
                found[kind].setdefault(signature, {})[name] = array
        except Exception as error:  # The file's content decides what is raised: ValueError, EOFError, BadZipFile, ...
            raise StoreError(f"{path}: no readable golden batch: {type(error).__name__}: {error}") from error
        if not found["request"] or found["request"].keys() != found["answer"].keys():
            raise StoreError(f"{path}: no readable golden batch: expected requests and answers of the same signatures")
        return cls(found["request"], found["answer"])


def _read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of the file by name, strings put together."""
    arrays = read_npz(path, MAX_BYTES)
    names = {key.removesuffix(LENGTHS) for key in arrays}
    return {name: _decoded(arrays[name], arrays.get(name + LENGTHS)) for name in names}


def _encoded(key: str, array: np.ndarray) -> dict[str, np.ndarray]:
    """Strings as one run of bytes and their lengths: NumPy would pickle object arrays."""
    if array.dtype != object:
        return {key: array}
    lengths = np.array([len(item) for item in array.flat], np.int64).reshape(array.shape)
    return {key: np.frombuffer(b"".join(array.flat), np.uint8), key + LENGTHS: lengths}


def _decoded(array: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
    # np.load gives the bytes of an entry that is no array, instead of an array.
    if not isinstance(array, np.ndarray) or array.dtype == object:
        raise ValueError("expected arrays")
    if lengths is None:
        return array
    if lengths.dtype != np.int64 or (lengths < 0).any() or lengths.sum() != array.nbytes:
        raise ValueError("the lengths of its strings are not those of their bytes")
    content, ends = array.tobytes(), np.cumsum(lengths)
    items = np.empty(lengths.size, object)
    items[:] = [content[end - length : end] for end, length in zip(ends, lengths.flat, strict=True)]
    return items.reshape(lengths.shape)


def differences(expected: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> dict[str, float]:
    """How far answers are from the golden ones: output -> the largest absolute difference.

    Where strings or pictures differ, or a shape does, or an output is missing, that is infinity.
    """
    return {name: _difference(array, found.get(name)) for name, array in expected.items()}


def _difference(expected: np.ndarray, found: np.ndarray | None) -> float:
    if found is None or expected.shape != found.shape or (expected.dtype == object) != (found.dtype == object):
        return float("inf")
    if expected.dtype.kind == "f":
        largest = float(np.abs(expected.astype(np.float64) - found.astype(np.float64)).max(initial=0.0))
        return largest if np.isfinite(largest) else float("inf")
    return 0.0 if (expected == found).all() else float("inf")
