"""A run that is killed, in every step, and started again; a client asks the endpoint all the time."""

import json
import re
import threading
import time

import numpy as np
import pytest
from running import in_session, kill, runs, start, status, wait_for

from nightshift.data.manifest import Dataset
from nightshift.data.prepare import prepare
from nightshift.data.sample import sample
from nightshift.errors import ServingError
from nightshift.serving.client import Client
from nightshift.serving.manifest import check_manifest
from nightshift.serving.process import server_process
from nightshift.serving.release import release
from nightshift.serving.store import Store
from nightshift.tasks.registry import task
from nightshift.workspace import STEPS, Workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

EPOCHS = 5


@pytest.fixture(scope="module")
def champion(tmp_path_factory):
    """The SavedModel of a network after two steps of training, valid and weak, and test pictures."""
    from nightshift.export.export import export
    from nightshift.training.train import train

    workspace = Workspace(tmp_path_factory.mktemp("champion"))
    digits = task("digits")
    dataset = prepare(digits, "", workspace)
    preset = digits.preset("blog", {"epochs": 1, "batch_size": 1500, "learning_rate": 1e-5})
    trained = train(digits, "blog", preset, dataset, workspace, seed=7)
    exported = export(digits, "digits", trained, dataset, {"accuracy": 0.1}, workspace.root / "saved_model", seed=7)
    return exported.path, sample(dataset, "test", 4)[0]


class Asking:
    """A client that asks `stable` without a pause and without trying again."""

    def __init__(self, target, images):
        self.answers, self.failures = [], []
        self._target, self._images = target, images
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._done.set()
        self._thread.join()

    def _ask(self):
        with Client(self._target, retries=0, timeout=30) as client:
            while not self._done.is_set():
                try:
                    prediction = client.predict("digits", {"images": self._images})
                    self.answers.append((prediction.version, prediction.outputs["probabilities"]))
                except ServingError as error:
                    self.failures.append(error)
                time.sleep(0.01)


def finished_epochs(workspace):
    """Epochs in the checkpoint of the run's training."""
    found = 0
    for file in workspace.checkpoints.glob("*/checkpoint.npz"):
        with np.load(file, allow_pickle=False) as arrays:
            found = max(found, json.loads(arrays["progress"].tobytes())["epoch"])
    return found


def reached(workspace, run_path, step):
    """Whether the run works at the step and has written something that has to be dealt with."""
    in_the_middle = {
        "prepare_data": lambda: list(workspace.datasets.glob(".*.partial")),
        "train": lambda: finished_epochs(workspace) > 0,
        "export": lambda: list(workspace.checkpoints.glob("*/saved_model/.*.partial/saved_model.pb")),
        "deploy": lambda: Store(workspace.models).state("digits").pending,
    }.get(step, lambda: True)
    return status(run_path, step) and in_the_middle()


@pytest.mark.parametrize("group", [True, False], ids=["with its steps", "its steps live on"])
def test_a_run_killed_in_every_step_goes_on_where_it_was(champion, tmp_path, group):
    saved_model, images = champion
    workspace, log = Workspace(tmp_path / "workspace"), tmp_path / "log"
    workspace.root.mkdir()
    arguments = ["digits", "--preset", "blog", "--set", f"epochs={EPOCHS}", "--workspace", workspace.root, "--json"]
    serve = ["-m", "nightshift.cli", "serve", "--port", "0", "--workspace", str(workspace.root)]
    sessions, first_epochs, store = [], [], Store(workspace.models)
    with server_process(serve, log=tmp_path / "server.log") as target:
        with Client(target) as client:
            old = release(store, "digits", saved_model, client, lambda line: None).version
        with Asking(target, images) as asking:
            for step in STEPS:
                known = runs(workspace.root)
                process = start(*arguments, "--server", target, log=log)
                sessions.append(process.pid)
                (run_path,) = wait_for(lambda known=known: set(runs(workspace.root)) - set(known), process)
                watch = Epochs(workspace, run_path)
                wait_for(lambda step=step, watch=watch: watch() and reached(workspace, watch.run, step), process)
                kill(process, group=group)
                first_epochs.append((step, watch.before, watch.first))
                for earlier in STEPS[: STEPS.index(step)]:
                    recorded = status(run_path, earlier).get("state", "left out")
                    assert recorded == "succeeded" or (not group and recorded == "left out"), (step, earlier)
                time.sleep(1)  # the names of runs are times
            process = start(*arguments, "--server", target, log=log)
            sessions.append(process.pid)
            assert process.wait(200) == 0, log.read_text()
            for session in sessions:
                deadline = time.monotonic() + 60
                while left := in_session(session):
                    assert time.monotonic() < deadline, f"processes {left} live on"
                    time.sleep(0.2)
    check_answers(asking, store, old)
    check_epochs(first_epochs)
    check_workspace(workspace, store)
    figures = json.loads(log.read_text().splitlines()[-1]) if log.read_text().endswith("}\n") else last_figures(log)
    assert figures["succeeded"]
    assert figures["version"] == store.state("digits").stable != old


def last_figures(log):
    return json.loads([line for line in log.read_text().splitlines() if line.startswith("{")][-1])


class Epochs:
    """Sees the first epoch that a run's training works at, and how many were finished before it began."""

    def __init__(self, workspace, run_path):
        self.run = run_path
        self.before = finished_epochs(workspace)
        self.first = None

    def __call__(self):
        message = status(self.run, "train").get("message", "")
        if self.first is None and (found := re.match(r"epoch (\d+) of", message)):
            self.first = int(found[1])
        return True


def check_answers(asking, store, old):
    assert asking.failures == []
    versions = [version for version, _ in asking.answers]
    promoted = [event.version for event in store.ledger("digits").events() if event.kind == "promoted"]
    assert versions == sorted(versions), "never back to an older one"
    assert versions[0] == old
    assert versions[-1] == store.state("digits").stable
    assert set(versions) <= set(promoted)
    for version in set(versions):
        answers = [answer for other, answer in asking.answers if other == version]
        assert all(np.allclose(answer, answers[0], atol=1e-5) for answer in answers), "a version answers one way"


def check_epochs(first_epochs):
    began = [(step, before, first) for step, before, first in first_epochs if first is not None]
    assert began, "a training was seen"
    for step, before, first in began:
        assert first >= before, f"killed at {step}: {before} epochs were finished, and it began with number {first}"


def check_workspace(workspace, store):
    state = store.state("digits")
    assert state.pending is None
    for path in (workspace.models / "digits").iterdir():
        if path.name.isdigit():
            check_manifest(path)
            assert int(path.name) in state.published, "no version that the ledger does not know"
    (saved_model,) = workspace.checkpoints.glob("*/saved_model/digits")
    check_manifest(saved_model)
    (history,) = workspace.checkpoints.glob("*/history.csv")
    assert [line.split(",")[0] for line in history.read_text().splitlines()[1:]] == [
        str(epoch + 1) for epoch in range(EPOCHS)
    ]
    for path in workspace.datasets.iterdir():
        if not path.name.startswith(".") and path.name != "index":
            Dataset.open(path).verify()
    assert [path for path in workspace.root.rglob("*.partial") if path.exists()] == []
