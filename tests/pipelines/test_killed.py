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
from nightshift.tasks.registry import preset_of, task
from nightshift.workspace import STEPS, Workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

EPOCHS = 5
WITH_ITS_STEP, ALONE = True, False


@pytest.fixture(scope="module")
def champion(tmp_path_factory):
    """The SavedModel of a network after two steps of training, valid and weak, and test pictures."""
    from nightshift.export.export import export
    from nightshift.training.train import train

    workspace = Workspace(tmp_path_factory.mktemp("champion"))
    digits = task("digits")
    dataset = prepare(digits, "", workspace)
    preset = preset_of(digits, "blog", {"epochs": 1, "batch_size": 1500, "learning_rate": 1e-5})
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


class Watching:
    """Sees, of every run, the first epoch that its training works at, and how many were finished before."""

    def __init__(self, workspace):
        self.before, self.first = {}, {}
        self._workspace = workspace
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._done.set()
        self._thread.join()

    def _watch(self):
        while not self._done.wait(0.02):
            for path in runs(self._workspace.root):
                message = status(path, "train").get("message")
                if message is None or path.name in self.first:
                    continue
                self.before.setdefault(path.name, finished_epochs(self._workspace))
                if found := re.match(r"epoch (\d+) of", message):
                    self.first[path.name] = int(found[1])


def finished_epochs(workspace):
    """Epochs in the checkpoint of the run's training."""
    found = 0
    for file in workspace.checkpoints.glob("*/checkpoint.npz"):
        with np.load(file, allow_pickle=False) as arrays:
            found = max(found, json.loads(arrays["progress"].tobytes())["epoch"])
    return found


def in_the_middle(workspace, step, versions):
    """Whether the step has written something that has to be dealt with; `versions` were known before it."""
    if step == "prepare_data":
        return list(workspace.datasets.glob(".*.partial"))
    if step == "train":
        return finished_epochs(workspace)
    if step == "export":
        return list(workspace.checkpoints.glob("*/saved_model/.*.partial/saved_model.pb"))
    if step == "deploy":
        return Store(workspace.models).state("digits").published.keys() - versions
    return True


# The whole group first: where the step lives on, it does its work, and the next run finds that done.
KILLS = [
    ("prepare_data", WITH_ITS_STEP),
    ("prepare_data", ALONE),
    ("train", WITH_ITS_STEP),
    ("train", ALONE),
    ("evaluate", ALONE),
    ("export", WITH_ITS_STEP),
    ("export", ALONE),
    ("deploy", WITH_ITS_STEP),
    ("deploy", ALONE),
    ("report", WITH_ITS_STEP),
]


def test_a_run_killed_in_every_step_goes_on_where_it_was(champion, tmp_path):
    saved_model, images = champion
    workspace, log = Workspace(tmp_path / "workspace"), tmp_path / "log"
    store = Store(workspace.models)
    workspace.root.mkdir()
    serve = ["-m", "nightshift.cli", "serve", "--port", "0", "--workspace", str(workspace.root)]
    with server_process(serve, log=tmp_path / "server.log") as target:
        with Client(target) as client:
            old = release(store, "digits", saved_model, client, lambda line: None).version
        arguments = ["digits", "--preset", "blog", "--set", f"epochs={EPOCHS}", "--workspace", workspace.root]
        arguments += ["--server", target, "--json"]
        with Asking(target, images) as asking, Watching(workspace) as watching:
            sessions = [killed(workspace, arguments, log, step, group) for step, group in KILLS]
            process = start(*arguments, log=log)
            assert process.wait(200) == 0, log.read_text()
            for session in [*sessions, process.pid]:
                wait_until_gone(session)
    check_answers(asking, store, old)
    assert watching.first, "a training was seen"
    for run, first in watching.first.items():
        assert first > watching.before[run], f"{run} trained epoch {first} again"
    check_workspace(workspace, store)
    figures = json.loads([line for line in log.read_text().splitlines() if line.startswith("{")][-1])
    assert figures["succeeded"]
    assert figures["version"] == store.state("digits").stable != old


def killed(workspace, arguments, log, step, group):
    """Start the run and kill it in the middle of a step; gives its session."""
    known, versions = set(runs(workspace.root)), set(Store(workspace.models).state("digits").published)
    process = start(*arguments, log=log)
    (run_path,) = wait_for(lambda: set(runs(workspace.root)) - known, process)
    wait_for(lambda: status(run_path, step) and in_the_middle(workspace, step, versions), process)
    kill(process, group=group)
    for earlier in STEPS[: STEPS.index(step)]:
        # With what an orphan has released in the meantime there may have been nothing to do.
        assert status(run_path, earlier).get("state", "left out") in ("succeeded", "left out"), (step, earlier)
    return process.pid


def wait_until_gone(session):
    """Wait until no process of a session is left; the orphans of a killed run end by themselves."""
    deadline = time.monotonic() + 60
    while left := in_session(session):
        assert time.monotonic() < deadline, f"processes {left} live on"
        time.sleep(0.2)


def check_answers(asking, store, old):
    """No request failed, and every answer is a promoted version's, the newest last."""
    assert asking.failures == []
    versions = [version for version, _ in asking.answers]
    promoted = {event.version for event in store.ledger("digits").events() if event.kind == "promoted"}
    assert versions == sorted(versions), "never back to an older one"
    assert versions[0] == old
    assert versions[-1] == store.state("digits").stable
    assert set(versions) <= promoted
    for version in set(versions):
        answers = [answer for other, answer in asking.answers if other == version]
        assert all(np.allclose(answer, answers[0], atol=1e-5) for answer in answers), "a version answers one way"


def check_workspace(workspace, store):
    """Everything in it is whole, known and finished."""
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
