import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import synthetic

from nightshift.data.manifest import Dataset
from nightshift.errors import WorkspaceError
from nightshift.tasks.registry import preset_of
from nightshift.training.kept import NAME
from nightshift.training.model import DESCRIPTION, HISTORY, WEIGHTS, TrainedModel
from nightshift.training.place import Place
from nightshift.training.train import DONE, train
from nightshift.workspace import Workspace

EPOCHS = 3
PROGRAM = Path(__file__).with_name("slow_training.py")


def run(dataset: Dataset, workspace: Workspace, told: list[str] | None = None, **settings: Any) -> TrainedModel:
    preset = preset_of(synthetic.CORNERS, "plain", {"epochs": EPOCHS, **settings})
    words = [] if told is None else told
    return train(synthetic.CORNERS, "plain", preset, dataset, workspace, seed=0, progress=lambda _, w: words.append(w))


@pytest.fixture(scope="module")
def undisturbed(corners, tmp_path_factory) -> TrainedModel:
    return run(corners, Workspace(tmp_path_factory.mktemp("undisturbed")))


@pytest.fixture
def other_process(corners, empty_workspace) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Another process that trains the same recipe, slowly, and has written a checkpoint; and its folder."""
    environment = os.environ | {"PYTHONPATH": str(PROGRAM.parent.parent), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, str(PROGRAM), str(corners.path), str(empty_workspace.root), str(EPOCHS)]
    with subprocess.Popen(command, env=environment) as process:
        until = time.monotonic() + 120
        while not (found := list(empty_workspace.checkpoints.glob(f"*/{NAME}"))):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        yield process, found[0].parent
        process.kill()


def same_weights(first: TrainedModel, second: TrainedModel) -> bool:
    models = [keras.models.load_model(trained.weights) for trained in (first, second)]
    return all(np.array_equal(a, b) for a, b in zip(*(model.get_weights() for model in models), strict=True))


def test_a_finished_training_says_all_about_itself(undisturbed, corners):
    facts = undisturbed.description
    assert facts["recipe"]["dataset"] == corners.fingerprint
    assert facts["recipe"]["settings"]["epochs"] == EPOCHS
    assert facts["classes"] == list(synthetic.CORNERS.classes)
    assert facts["epochs"] == EPOCHS
    assert facts["workers"] == 1
    assert facts["stopped"] == "every epoch done"
    with open(undisturbed.history) as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert max(float(row["validation_accuracy"]) for row in rows) == facts["best_score"]
    assert undisturbed.weights.parent.name == undisturbed.path.name
    assert {WEIGHTS, HISTORY, DESCRIPTION} <= {path.name for path in undisturbed.path.iterdir()}


def test_the_same_recipe_is_not_trained_twice(undisturbed, corners):
    told: list[str] = []
    again = run(corners, Workspace(undisturbed.path.parent.parent), told)
    assert told == [f"trained before, nothing to train: checkpoints/{undisturbed.path.name}"]
    assert again.description == undisturbed.description


def test_a_worker_that_is_not_the_chief_looks_for_no_model(corners, empty_workspace, monkeypatch):
    """A volume that nodes share may not show yet what the chief has written."""
    place = Place(1, 2, ("127.0.0.1:1", "127.0.0.1:2"))
    module = "nightshift.training.train"
    monkeypatch.setattr(f"{module}.place_from_environment", lambda: place)
    monkeypatch.setattr(f"{module}.devices.strategy", lambda place: None)
    monkeypatch.setattr(f"{module}.from_chief", lambda strategy, place, content: DONE)
    monkeypatch.setattr(f"{module}.dismiss", lambda strategy, place: None)
    assert run(corners, empty_workspace) is None


def test_another_recipe_is_trained_elsewhere(undisturbed, corners):
    other = run(corners, Workspace(undisturbed.path.parent.parent), epochs=1)
    assert other.path != undisturbed.path
    assert other.description["epochs"] == 1


@pytest.mark.parametrize("name", [WEIGHTS, DESCRIPTION])
@pytest.mark.parametrize("damage", ["change", "remove"])
def test_a_damaged_model_is_refused_and_made_again_from_the_checkpoint(corners, empty_workspace, name, damage):
    first = run(corners, empty_workspace, epochs=1)
    before = first.description
    if damage == "remove":
        (first.path / name).unlink()
    else:
        (first.path / name).write_bytes(b"{")
    with pytest.raises(WorkspaceError, match=rf"{WEIGHTS}|{DESCRIPTION}"):
        TrainedModel.open(first.path)
    told: list[str] = []
    again = run(corners, empty_workspace, told, epochs=1)
    assert told[0] == "going on after epoch 1 of 1"
    assert again.description["best_score"] == before["best_score"]


def test_a_second_process_waits_and_uses_what_the_first_trained(other_process, corners, empty_workspace, undisturbed):
    process, folder = other_process
    told: list[str] = []
    trained = run(corners, empty_workspace, told)
    assert process.wait(60) == 0
    assert trained.path == folder
    assert told == [
        f"waiting for process {process.pid} on {socket.gethostname()}, which is writing {folder.name}",
        f"trained before, nothing to train: checkpoints/{folder.name}",
    ]
    assert same_weights(trained, undisturbed)


def test_a_killed_training_is_taken_over_and_ends_as_if_it_had_not_been(
    other_process, corners, empty_workspace, undisturbed
):
    process, folder = other_process
    process.send_signal(signal.SIGKILL)
    told: list[str] = []
    trained = run(corners, empty_workspace, told)
    assert process.wait(60) == -signal.SIGKILL
    assert any(words.startswith("going on after epoch") for words in told)
    assert trained.path == folder
    assert same_weights(trained, undisturbed)
    facts = json.loads((folder / DESCRIPTION).read_text())
    assert facts["best_score"] == undisturbed.description["best_score"]


def test_the_figures_are_written_for_tensorboard(undisturbed):
    (events,) = (undisturbed.path / "tensorboard").iterdir()
    content = events.read_bytes()
    for name in (b"loss", b"validation_accuracy", b"learning_rate"):
        assert name in content
