"""Releases and rollbacks killed at any moment, with the store on disk and in a bucket: what is there is whole."""

import contextlib
import itertools
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from bucket_reader import client_of
from emulator import emulated
from release_process import QUICK, RULES
from version_folder import X, write_version

from nightshift.errors import ServingError
from nightshift.serving import object_lock
from nightshift.serving.client import Client
from nightshift.serving.config import server_config
from nightshift.serving.manifest import check_manifest
from nightshift.serving.release import release, rollback, serving_version
from nightshift.serving.store import open_store

PROGRAM = Path(__file__).parent / "release_process.py"
QUIET = lambda text: None  # noqa: E731
ALL = [pytest.param(5, id="5", marks=pytest.mark.slow), pytest.param(50, id="50", marks=pytest.mark.soak)]


@pytest.fixture(scope="module")
def bucket():
    with emulated("data") as found:
        yield found


@pytest.fixture(scope="module")
def times(tmp_path_factory):
    """Gives the version folder of y = factor * x; another one each time."""
    root = tmp_path_factory.mktemp("times")
    return lambda factor: write_version(root / str(factor), factor)


@pytest.fixture(params=["disk", "bucket"])
def open_it(request, tmp_path, monkeypatch):
    """Opens the store anew, as another process would."""
    on_disk = request.param == "disk"
    if not on_disk:
        request.getfixturevalue("bucket")
        for name, value in QUICK.items():
            monkeypatch.setattr(object_lock, name, value)
    url = str(tmp_path / "store") if on_disk else f"gs://data/{request.node.callspec.id}"
    monkeypatch.setenv("NIGHTSHIFT_STORE", url)
    return lambda: open_store(tmp_path / "here")


class Deployer:
    """Releases and rolls back, in this process to the end, or in one that is killed."""

    def __init__(self, open_it, target, copies):
        self.open_it, self.target, self.copies = open_it, target, copies
        self.factors = {}

    def run(self, folder):
        """To the end; `folder` or, without one, the version before."""
        store = self.open_it()
        with client_of(store, self.target, self.copies) as client:
            if folder:
                return release(store, "m", folder, client, QUIET, RULES)
            return rollback(store, "m", client, tell=QUIET, rules=RULES)

    def kill(self, folder, moment):
        """Whether the process was killed, some seconds after it had begun; else it was done by then."""
        command = [sys.executable, str(PROGRAM), self.target, str(self.copies), "m", *([str(folder)] if folder else [])]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        said = process.stdout.readline()
        assert said == "begun\n", process.communicate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moment)
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
        # One that was done refused nothing, or had nothing to roll back to.
        assert process.returncode in (0, -signal.SIGKILL) or "cannot roll back" in errors, errors
        return process.returncode == -signal.SIGKILL


@contextlib.contextmanager
def asking(target):
    """Asks `stable` all the time; gives the answers, each (version, factor), and fails if a request fails."""
    answers, failures, done = [], [], threading.Event()

    def ask():
        with Client(target, retries=0) as client:
            while not done.is_set():
                try:
                    found = client.predict("m", {"x": X})
                    answers.append((found.version, found.outputs["y"].tolist()[0]))
                except ServingError as error:
                    failures.append(error)
                time.sleep(0.002)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        done.set()
        thread.join()
    assert failures == []


def factor_of(state, version):
    return float(state.published[version]["recipe"].removeprefix("times-"))


def whole(open_it, target):
    """The ledger can be read, and the endpoint answers with a version that it knows, proven and complete."""
    store = open_it()
    events, state = store.ledger("m").events(), store.state("m")
    with Client(target) as client:
        found = client.predict("m", {"x": X})
    assert found.outputs["y"].tolist()[0] == factor_of(state, found.version)
    assert found.version in {event.version for event in events if event.kind == "approved"}
    assert found.version in {state.stable, *(state.pending or (0,))[:1]} | set(state.serving)
    for version in {found.version, state.stable, state.predecessor} - {0}:
        check_manifest(store.version_path("m", version))
    return state


def settled(open_it, target, expected):
    """Nothing is pending; label and ledger name the same version; nothing is left by half, and no more than is kept."""
    state, store = whole(open_it, target), open_it()
    assert state.pending is None
    assert factor_of(state, state.stable) == expected
    with Client(target) as client:
        assert serving_version(client, "m") == state.stable
    there = set(store.folders("m"))
    assert not there & state.removed.keys()
    assert len(there & state.published.keys()) <= RULES.keep + 1
    for version in there & state.published.keys():
        assert store.has_version("m", version)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kills", ALL)
def test_whatever_moment_a_deployer_is_killed_at_the_next_one_finishes_the_work(
    open_it, times, launch, tmp_path, kills, record_property
):
    chance = random.Random(kills)
    server, _ = launch(server_config([]), labels_for_unavailable=True)
    target = f"127.0.0.1:{server.port}"
    deployer = Deployer(open_it, target, tmp_path / "copies")
    numbers = itertools.count(2)
    deployer.run(times(next(numbers)))
    began = time.monotonic()
    deployer.run(times(next(numbers)))
    usual = time.monotonic() - began
    moments = Counter()
    with asking(target) as answers:
        while moments.total() < kills:
            rolls_back = moments.total() % 4 == 3
            factor = 0 if rolls_back else next(numbers)
            folder = times(factor) if factor else None
            if deployer.kill(folder, chance.uniform(0, usual / 2 if rolls_back else usual)):
                last = open_it().ledger("m").events()[-1].kind
                moments[f"{'rolling back' if rolls_back else 'releasing'}, last event {last}"] += 1
            whole(open_it, target)
            if rolls_back:
                factor = next(numbers)
                folder = times(factor)
            deployer.run(folder)
            settled(open_it, target, factor)
    record_property("moments", dict(moments))
    print(f"{moments.total()} kills: {dict(moments)}; {len(answers)} answers")
    assert {factor for _, factor in answers} <= set(map(float, range(2, next(numbers))))
    assert len(set(answers)) == len({version for version, _ in answers}), "a version answers one way only"
