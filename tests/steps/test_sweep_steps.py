"""The steps of a sweep, on a tiny task: plan, trials of which some fail, choice."""

import errno
import os

import numpy as np
import pytest
import synthetic

from nightshift.data.manifest import Dataset
from nightshift.errors import ConfigurationError
from nightshift.serving.embedded import server as embedded
from nightshift.serving.store import Store
from nightshift.steps.sweep_choice import choose_settings
from nightshift.steps.sweep_plan import plan_sweep
from nightshift.steps.sweep_trial import try_settings
from nightshift.sweep.trials import SweepRun
from nightshift.tasks.registry import tasks
from nightshift.workspace import Run, Workspace

TOO_LARGE = 10_000
"""A batch of more images than there are."""


class Sweep:
    """A sweep of `synthetic.CORNERS`, step by step."""

    def __init__(self, folder, server):
        self.workspace, self.server = Workspace(folder / "workspace"), server
        self.store = Store(self.workspace.models)
        self.data = folder / "corners.npz"
        np.savez(self.data, allow_pickle=False, **synthetic.corners(600, 200))

    def run(self, name, settings, **tried):
        """Plan and try; the run's folder, the dataset, and the names of the trials that were trained."""
        run = self.workspace.run(name)
        common = {"task": "corners", "preset": "plain", "settings": settings, "seed": 0}
        planned = plan_sweep(
            run,
            self.workspace,
            self.store,
            model="corners",
            source=str(self.data),
            tried=tried,
            samples=0,
            server=self.server,
            **common,
        )
        trained = [
            trial
            for trial in planned.plan.trials
            if try_settings(run, self.workspace, trial=trial, dataset=planned.dataset, **common)
        ]
        return run, planned.dataset, trained

    def choose(self, run, dataset, settings):
        return choose_settings(
            run,
            self.workspace,
            self.store,
            task="corners",
            model="corners",
            preset="plain",
            settings=settings,
            seed=0,
            dataset=dataset,
            server=self.server,
        )


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    running = embedded.start(Store(folder / "workspace" / "models").server_config())
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tasks(), "corners", synthetic.CORNERS)
        yield Sweep(folder, f"127.0.0.1:{running.port}")
    running.stop()


@pytest.fixture(scope="module")
def swept(sweep):
    """Two trials that can be trained, with two learning rates, and two that cannot."""
    return sweep.run("good", {"epochs": 1}, batch_size=f"36,{TOO_LARGE}", learning_rate="1e-5,1e-2")


@pytest.fixture(scope="module")
def choice(sweep, swept):
    run, dataset, _ = swept
    return sweep.choose(run, dataset, {"epochs": 1})


def test_a_trial_that_fails_is_on_record_and_the_others_go_on(swept, choice):
    run, _, trained = swept
    statuses = SweepRun(run.path).statuses()
    failed = [trial for trial in choice.trials if not trial.trained]
    assert len(trained) == len(failed) == 2
    assert {trial.settings["batch_size"] for trial in failed} == {TOO_LARGE}
    assert all(statuses[trial.name]["state"] == "failed" for trial in failed)
    assert all("540 training images are less than one batch of 10000" in trial.error for trial in failed)


def test_the_best_by_the_validation_split_is_trained_on_both_splits(swept, choice):
    _, dataset, _ = swept
    best, second = choice.trials[:2]
    assert (best.settings["learning_rate"], second.settings["learning_rate"]) == (1e-2, 1e-5)
    assert (best.score, -best.loss) > (second.score, -second.loss)
    assert choice.settings["learning_rate"] == 1e-2
    assert (choice.settings["epochs"], choice.settings["keep"]) == (1, "last")
    assert choice.dataset.manifest.splits["train"].count == 600
    assert choice.dataset.manifest.splits["test"] == dataset.manifest.splits["test"]
    assert (choice.train, choice.reason) == (True, "nothing serves as corners yet")


def test_the_plan_is_recorded_with_the_data(swept):
    run, dataset, _ = swept
    figures = run.statuses()["prepare_data"]["figures"]
    assert figures["reason"] == "4 trials of batch_size, learning_rate"
    assert Dataset.open(dataset.path).fingerprint == figures["dataset"]
    assert figures["tried"] == {"batch_size": f"36,{TOO_LARGE}", "learning_rate": "1e-5,1e-2"}


def test_a_trial_that_was_trained_before_is_found(sweep, swept):
    run, _, _ = sweep.run("again", {"epochs": 1}, learning_rate="1e-2,1e-5", batch_size="36")
    messages = [status["message"] for name, status in SweepRun(run.path).statuses().items() if "trial" in name]
    assert len(messages) == 2
    assert len(list(sweep.workspace.checkpoints.glob("*/training.json"))) == 2


def test_a_sweep_with_no_trial_left_fails_in_words(sweep):
    run, dataset, trained = sweep.run("bad", {"epochs": 1, "batch_size": TOO_LARGE}, learning_rate="1e-3,1e-2")
    assert trained == []
    with pytest.raises(
        ConfigurationError, match=r"none of the 2 trials came to a score; trial-1 \(learning_rate=0.001\)"
    ):
        sweep.choose(run, dataset, {"epochs": 1, "batch_size": TOO_LARGE})
    status = SweepRun(run.path).statuses()["choose_settings"]
    assert status["state"] == "failed"
    assert status["figures"] == {"trials": 2, "failed": 2}


def test_a_defect_in_one_trial_is_on_record_with_its_traceback(sweep, monkeypatch):
    def defect(*_, **__):
        raise RuntimeError("out of memory")

    monkeypatch.setattr("nightshift.steps.train.train_recipe", defect)
    run, _, trained = sweep.run("defect", {"epochs": 1}, learning_rate="1e-3,1e-2")
    assert trained == []
    errors = [status["error"] for name, status in SweepRun(run.path).statuses().items() if "trial" in name]
    assert len(errors) == 2
    assert all(error.startswith("Traceback") and "RuntimeError: out of memory" in error for error in errors)


def test_a_full_disk_is_no_fault_of_the_settings(sweep, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "checkpoint.npz")

    monkeypatch.setattr("nightshift.steps.train.train_recipe", full)
    with pytest.raises(OSError, match="No space left"):
        sweep.run("disk", {"epochs": 1}, learning_rate="1e-3,1e-2")


@pytest.mark.parametrize(
    ("tried", "message"), [({"nonsense": "1,2"}, "--try nonsense: no such setting"), ({}, "nothing to try")]
)
def test_a_mistake_is_told_before_the_data_are_read(sweep, tmp_path, tried, message):
    with pytest.raises(ConfigurationError, match=message):
        plan_sweep(
            Run(tmp_path / "run"),
            Workspace(tmp_path / "w"),
            sweep.store,
            task="corners",
            model="corners",
            source="/nowhere.npz",
            preset="plain",
            settings={},
            tried=tried,
            samples=0,
            seed=0,
            server=sweep.server,
        )
    assert not (tmp_path / "w").exists()
