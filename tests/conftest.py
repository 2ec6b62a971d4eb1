"""Tiny prepared datasets, shared by the whole session."""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Long enough for a few probes; by default a second release of a model would take four seconds more.
os.environ.setdefault("NIGHTSHIFT_BAKE_SECONDS", "0.1")

import numpy as np
import pytest
import synthetic
from hypothesis import settings

from nightshift.data.manifest import Dataset
from nightshift.data.prepare import prepare
from nightshift.workspace import Workspace

# A deadline would measure the machine, and what an example imports first, not the law.
settings.register_profile("nightshift", deadline=None)
settings.load_profile("nightshift")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Quick tests first."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


@pytest.fixture(scope="session")
def corners(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """540 training, 60 validation and 200 test images of `synthetic.CORNERS`."""
    folder = tmp_path_factory.mktemp("corners")
    np.savez(folder / "corners.npz", allow_pickle=False, **synthetic.corners(600, 200))
    return prepare(synthetic.CORNERS, str(folder / "corners.npz"), Workspace(folder / "workspace"))


@pytest.fixture(scope="session")
def textures(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """360 training, 40 validation and 100 test images of `synthetic.TEXTURES`."""
    folder = tmp_path_factory.mktemp("textures")
    np.savez(folder / "textures.npz", allow_pickle=False, **synthetic.textures(400, 100))
    return prepare(synthetic.TEXTURES, str(folder / "textures.npz"), Workspace(folder / "workspace"))


@pytest.fixture
def empty_workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")
