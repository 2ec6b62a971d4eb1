"""Small trained networks of each kind of problem, exported once and served by a real server process."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import synthetic

from nightshift.data.manifest import Dataset
from nightshift.serving.client import Client
from nightshift.serving.process import server_process
from nightshift.tasks.base import Task
from nightshift.tasks.registry import preset_of
from nightshift.training.model import TrainedModel
from nightshift.workspace import Workspace

METRICS = {"accuracy": 0.875, "exact": 0.5}


@dataclass(frozen=True)
class Case:
    """A task, its data, its network and what was exported of it."""

    task: Task
    dataset: Dataset
    trained: TrainedModel
    exported: Any

    @property
    def name(self) -> str:
        return self.task.name


@pytest.fixture(scope="session")
def exporter() -> Callable[[Task, str, Dataset, Path], Case]:
    """Trains a preset for an epoch in a folder and exports it."""
    return make


def make(task: Task, preset: str, dataset: Dataset, folder: Path) -> Case:
    from nightshift.export.export import export
    from nightshift.training.train import train

    trained = train(
        task, preset, preset_of(task, preset, {"epochs": 1}), dataset, Workspace(folder / "workspace"), seed=3
    )
    exported = export(task, task.name, trained, dataset, METRICS, folder / task.name / "1", seed=3)
    return Case(task, dataset, trained, exported)


@pytest.fixture(scope="session")
def classifier(corners: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return make(synthetic.CORNERS, "plain", corners, tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="session")
def solver(textures: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return make(synthetic.TEXTURES, "default", textures, tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="session", params=["classifier", "solver"])
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def client(classifier: Case, solver: Case, tmp_path_factory: pytest.TempPathFactory):
    """Of a server process with both models."""
    from nightshift.serving.config import model_config, server_config

    file = tmp_path_factory.mktemp("server") / "models.config"
    models = [model_config(case.name, case.exported.path.parent) for case in (classifier, solver)]
    file.write_text(str(server_config(models)))
    arguments = ["-m", "nightshift.serving.embedded", "--port=0", f"--model_config_file={file}"]
    with server_process(arguments) as target, Client(target, retries=0, timeout=30) as client:
        yield client
