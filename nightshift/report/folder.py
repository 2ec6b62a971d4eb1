"""Reading what a step left behind, whole or not: a report has to come out of a broken run too."""

import csv
import json
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

Content = TypeVar("Content")
Described = TypeVar("Described", bound=BaseModel)
Arrays = dict[str, NDArray[Any]]

DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, csv.Error)


class StepFolder:
    """The folder of one step.

    Attributes:
        path: the folder; it need not be there.
        name: of the step.
        status: what status.json says, empty if there is none.
        notes: one line for every file that is there but cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.notes: list[str] = []
        self.status: dict[str, Any] = self._read("status.json", _json_object, {})

    @property
    def figures(self) -> dict[str, Any]:
        """What the step counted and decided."""
        figures: dict[str, Any] = self.status.get("figures") or {}
        return figures

    @property
    def state(self) -> str:
        """`running`, `succeeded`, `failed`, or empty if the step has not begun."""
        return str(self.status.get("state", ""))

    @property
    def error(self) -> str:
        """Why the step failed, empty if it did not."""
        return str(self.status.get("error", "")) if self.state == "failed" else ""

    def described(self, name: str, model: type[Described]) -> Described | None:
        """An object in a JSON file as a model, None if there is none."""
        return self._read(name, lambda path: model.model_validate_json(path.read_bytes()), None)

    def text(self, name: str) -> str:
        """A UTF-8 file, empty if there is none."""
        return self._read(name, lambda path: path.read_text(encoding="utf-8"), "")

    def rows(self, name: str) -> list[dict[str, str]]:
        """The rows of a CSV file by column, none if there is no file."""
        return self._read(name, _csv_rows, [])

    def arrays(self, name: str, *wanted: str) -> Arrays:
        """The wanted arrays of an .npz file, empty if there is no file or none of them in it."""
        return self._read(name, lambda path: _npz_arrays(path, wanted), {})

    def _read(self, name: str, read: Callable[[Path], Content], nothing: Content) -> Content:
        path = self.path / name
        if not path.is_file():
            return nothing
        try:
            return read(path)
        except DAMAGED as error:
            note = f"{self.name}/{name} cannot be read: {_in_words(error)}"
            if note not in self.notes:
                self.notes.append(note)
            return nothing


def _json_object(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"found {type(content).__name__}, expected an object")
    return content


def _csv_rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return [{name: value or "" for name, value in row.items() if name} for row in csv.DictReader(file)]


def _npz_arrays(path: Path, wanted: tuple[str, ...]) -> Arrays:
    # np.load given a path leaves it open if the content is no archive.
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as content:
        return {name: content[name] for name in wanted} if set(wanted) & set(content.files) else {}


def _in_words(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return f"{type(error).__name__}: {error}"
