"""Small pictures and tasks to prepare."""

import dataclasses
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
from PIL import Image

from nightshift.tasks.base import Task
from nightshift.tasks.registry import task as registered_task
from nightshift.workspace import Workspace

Pictures = dict[str, bytes]


def encoded(number: int, size: tuple[int, int] = (8, 8), kind: str = "PNG") -> bytes:
    """A picture of noise, different for every number."""
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


@pytest.fixture
def picture() -> Callable[..., bytes]:
    return encoded


@pytest.fixture
def pictures() -> Pictures:
    """Two classes, 20 train and 5 test pictures each."""
    names = [
        f"{split}/{kind}/{number}.png"
        for split, count in (("train", 20), ("test", 5))
        for kind in ("cats", "dogs")
        for number in range(count)
    ]
    return {name: encoded(number) for number, name in enumerate(names)}


@pytest.fixture
def task() -> Task:
    return dataclasses.replace(registered_task("digits"), image_shape=(8, 8, 3), classes=())


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def write_tree() -> Callable[[Path, Pictures], Path]:
    def write(folder: Path, pictures: Pictures) -> Path:
        for name, content in pictures.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return folder

    return write


@pytest.fixture
def write_zip() -> Callable[[Path, Pictures], Path]:
    def write(path: Path, pictures: Pictures) -> Path:
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in pictures.items():
                archive.writestr(name, content)
        return path

    return write


@pytest.fixture
def leftovers() -> Callable[[Workspace], list[str]]:
    """What a preparation left in the datasets' folder, except locks."""

    def list_them(workspace: Workspace) -> list[str]:
        if not workspace.datasets.exists():
            return []
        return [path.name for path in workspace.datasets.iterdir() if not path.name.endswith(".lock")]

    return list_them
