"""What the train step has on record: while it works, and of a model that others have trained."""

import json

import pytest
import synthetic

from nightshift.errors import ConfigurationError
from nightshift.steps import train as module
from nightshift.tasks.registry import preset_of, tasks
from nightshift.training.kubernetes import Nodes
from nightshift.training.train import train as train_recipe

WORK = {"task": "corners", "preset": "plain", "settings": {"epochs": 1}, "seed": 0}


@pytest.fixture(autouse=True)
def corners_task(monkeypatch):
    monkeypatch.setitem(tasks(), "corners", synthetic.CORNERS)


def record(run):
    return json.loads((run.path / "train" / "status.json").read_text())


def test_a_train_job_is_on_record_before_it_is_made(corners, empty_workspace, monkeypatch):
    seen = []

    class KilledError(BaseException):
        pass

    def killed(work, nodes, **_):
        seen.append((record(run)["state"], record(run)["figures"] == {"trainjob": work.name}))
        raise KilledError

    monkeypatch.setattr(module, "train_on_nodes", killed)
    run = empty_workspace.run("run-1")
    with pytest.raises(KilledError):
        module.train(run, empty_workspace, **WORK, dataset=corners, nodes=Nodes(2))
    assert seen == [("running", True)]


def test_how_many_workers_trained_a_model_is_what_the_model_says(corners, empty_workspace, monkeypatch):
    preset = preset_of(synthetic.CORNERS, "plain", WORK["settings"])
    trained = train_recipe(synthetic.CORNERS, "plain", preset, corners, empty_workspace, seed=0)
    monkeypatch.setattr(module, "train_on_nodes", lambda work, nodes, **_: trained)
    run = empty_workspace.run("run-1")
    module.train(run, empty_workspace, **WORK, dataset=corners, nodes=Nodes(2))
    figures = record(run)["figures"]
    assert figures["workers"] == 1, "it was found finished"
    assert "trainjob" not in figures


def test_a_step_that_is_to_train_alone_is_no_worker_of_others(corners, empty_workspace, monkeypatch):
    monkeypatch.setattr(module, "train_recipe", lambda *_, **__: None)
    with pytest.raises(ConfigurationError, match="TF_CONFIG: found one of several workers"):
        module.train(empty_workspace.run("run-1"), empty_workspace, **WORK, dataset=corners)
