"""`nightshift worker`: who it is among the workers, what it is told, how it ends."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from nightshift.cli import main
from nightshift.errors import ConfigurationError, DataError, WorkspaceError
from nightshift.training.lines import progress_line
from nightshift.training.preemption import Preempted

NAME = "nightshift-0123456789abcdef0123"


@pytest.fixture
def environment(monkeypatch):
    """Of worker 1 of 3."""
    values = {"NIGHTSHIFT_TRAINJOB": NAME, "NIGHTSHIFT_NODES": "3", "JOB_COMPLETION_INDEX": "1"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TF_CONFIG", "")
    return monkeypatch


@pytest.fixture
def training(environment):
    """What the training is called with; and what it does."""
    called = {"does": lambda: None}

    def train(task, preset_name, preset, dataset, workspace, *, seed, progress):
        called.update(task=task.name, preset=preset_name, epochs=preset.epochs, seed=seed, dataset=dataset.path)
        called.update(workspace=workspace.root, config=json.loads(os.environ["TF_CONFIG"]))
        progress(0.25, "epoch 1 of 4: loss 0.5")
        called["does"]()

    environment.setattr("nightshift.training.train.train", train)
    return called


def run(corners, *changes):
    options = {
        "--task": "digits",
        "--preset": "default",
        "--settings": '{"epochs": 4.0}',
        "--seed": "7",
        "--dataset": str(corners.path),
        "--workspace": "/w",
        "--run": "run-1",
    }
    options |= dict(zip(changes[::2], changes[1::2], strict=True))
    return CliRunner().invoke(main, ["worker", *(word for pair in options.items() for word in pair)])


def test_it_trains_as_one_of_the_workers_that_the_environment_names(training, corners):
    result = run(corners)
    assert result.exit_code == 0, result.output
    workers = [f"{NAME}-node-0-{index}.{NAME}:2222" for index in range(3)]
    assert training["config"] == {"cluster": {"worker": workers}, "task": {"type": "worker", "index": 1}}
    told = {name: training[name] for name in ("task", "preset", "epochs", "seed", "dataset", "workspace")}
    assert told == {
        "task": "digits",
        "preset": "default",
        "epochs": 4,
        "seed": 7,
        "dataset": corners.path,
        "workspace": Path("/w").resolve(),
    }
    assert result.output.splitlines() == ["run run-1: worker 1 of 3", progress_line(0.25, "epoch 1 of 4: loss 0.5")]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("the loss is nan"), 2),
        (DataError("no images"), 2),
        (WorkspaceError("the disk is full"), 1),
        (Preempted("asked to end"), 143),
    ],
)
def test_its_exit_code_says_whether_a_restart_helps(training, corners, error, code):
    def fail():
        raise error

    training["does"] = fail
    result = run(corners)
    assert result.exit_code == code
    assert str(error) in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("settings", ["{", "[]", "3"])
def test_settings_are_an_object(training, corners, settings):
    result = run(corners, "--settings", settings)
    assert result.exit_code == 2
    assert "--settings" in result.output


@pytest.mark.parametrize("name", ["NIGHTSHIFT_TRAINJOB", "NIGHTSHIFT_NODES", "JOB_COMPLETION_INDEX"])
def test_by_hand_it_says_what_it_is_for(training, corners, environment, name):
    environment.delenv(name)
    result = run(corners)
    assert result.exit_code == 2
    assert "`nightshift worker` is for its Pods" in result.output


def test_it_is_not_in_the_list_of_commands():
    assert "worker" not in CliRunner().invoke(main, ["--help"]).output
