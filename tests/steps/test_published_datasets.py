"""With NIGHTSHIFT_DATASETS the steps that make datasets publish them, and hand on where."""

import gc
import warnings

import numpy as np
import pytest
import synthetic
from storage_emulator import emulated

from nightshift.data.manifest import Dataset
from nightshift.errors import ConfigurationError, StoreError
from nightshift.serving.embedded import server as embedded
from nightshift.serving.store import Store
from nightshift.steps.prepare_data import prepare_data
from nightshift.steps.sweep_choice import choose_settings
from nightshift.steps.sweep_plan import plan_sweep
from nightshift.steps.sweep_trial import try_settings
from nightshift.tasks.registry import tasks
from nightshift.workspace import Step, Workspace

# The emulator's wrapper forgets to close the pipe of its process.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <_io.FileIO:pytest.PytestUnraisableExceptionWarning"
)

COMMON = {"task": "corners", "preset": "plain", "settings": {"epochs": 1}, "seed": 0}


class House:
    """A workspace, and a server that shares its store and serves nothing yet."""

    def __init__(self, folder, server):
        self.workspace, self.server = Workspace(folder / "workspace"), server
        self.where = (self.workspace, Store(self.workspace.models))
        np.savez(folder / "corners.npz", allow_pickle=False, **synthetic.corners(600, 200))
        self.given = {**COMMON, "model": "corners", "source": str(folder / "corners.npz"), "server": server}


@pytest.fixture(scope="module")
def bucket():
    with emulated("data") as found:
        yield found
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def house(tmp_path, monkeypatch):
    running = embedded.start(Store(tmp_path / "workspace" / "models").server_config())
    monkeypatch.setitem(tasks(), "corners", synthetic.CORNERS)
    yield House(tmp_path, f"127.0.0.1:{running.port}")
    running.stop()


def test_prepared_data_are_published_and_progress_only_grows(house, bucket, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_DATASETS", "gs://data/prepared")
    told = []
    monkeypatch.setattr(Step, "progress", lambda self, fraction, message: told.append((fraction, message)))
    prepared = prepare_data(house.workspace.run("r"), *house.where, **house.given)
    assert prepared.place == f"gs://data/prepared/{prepared.dataset.fingerprint}"
    assert any(message.startswith("publishing gs://data/prepared/") for _, message in told)
    assert [fraction for fraction, _ in told] == sorted(fraction for fraction, _ in told)


@pytest.mark.parametrize(
    ("place", "error", "said"),
    [
        ("gs://nothing/prepared", StoreError, "gs://nothing/prepared: no such bucket"),
        ("/somewhere", ConfigurationError, "datasets: found '/somewhere', expected a folder or gs://BUCKET/PREFIX"),
    ],
)
@pytest.mark.parametrize("step", [prepare_data, plan_sweep])
@pytest.mark.usefixtures("bucket")
def test_a_place_that_cannot_be_used_is_told_before_anything_is_prepared(house, monkeypatch, place, error, said, step):
    monkeypatch.setenv("NIGHTSHIFT_DATASETS", place)
    more = {"tried": {"learning_rate": "1e-3,1e-2"}, "samples": 0} if step is plan_sweep else {}
    with pytest.raises(error, match=said):
        step(house.workspace.run("r"), *house.where, **house.given, **more)
    assert not house.workspace.datasets.exists() or list(house.workspace.datasets.iterdir()) == []


def test_a_sweep_hands_on_published_datasets(house, bucket, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_DATASETS", "gs://data/sweep")
    run = house.workspace.run("s")
    planned = plan_sweep(run, *house.where, **house.given, tried={"learning_rate": "1e-3,1e-2"}, samples=0)
    assert planned.place == f"gs://data/sweep/{planned.dataset.fingerprint}"
    dataset = Dataset.open(planned.place, cache=house.workspace.cache)
    trial, _ = planned.plan.trials
    assert try_settings(run, house.workspace, trial=trial, dataset=dataset, **COMMON)
    choice = choose_settings(run, *house.where, **COMMON, model="corners", dataset=dataset, server=house.server)
    assert choice.place == f"gs://data/sweep/{choice.dataset.fingerprint}"
    merged = Dataset.open(choice.place, cache=house.workspace.cache)
    merged.verify()
    assert merged.manifest.splits["train"].count == 600
