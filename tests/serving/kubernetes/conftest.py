import contextlib
import time
from pathlib import Path

import numpy as np
import pytest
from candidates import write_candidate
from fake_cluster import FakeCluster, KilledError

from nightshift.errors import ReleaseError, ServingError
from nightshift.serving.kubernetes import KubernetesServing, proof, releasing
from nightshift.serving.ledger import Ledger
from nightshift.serving.store import Store


@pytest.fixture(scope="session")
def candidate(tmp_path_factory):
    """The SavedModel of a number."""
    root, made = tmp_path_factory.mktemp("candidates"), {}

    def make(number) -> Path:
        if number not in made:
            made[number] = write_candidate(root / str(number), number)
        return made[number]

    return make


@pytest.fixture
def cluster():
    return FakeCluster({"nightshift/bake-seconds": "0", "nightshift/unschedulable-seconds": "0"})


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


class Answers(set):
    """See answers."""

    def __init__(self):
        super().__init__()
        self.asked = []


@pytest.fixture
def answers(store, monkeypatch):
    """Model servers that answer as they should, but for the words in this set: `pod`, `service`, `failing` (what is
    asked of a candidate beside what serves), `slow` (the same), `failing while it serves`, `slow while it serves`.

    Its attribute `asked` has each request: the version that a Pod was asked for, or 0 of the Service.
    """
    wrong = Answers()

    def of_pod(self, pod):
        if "pod" in wrong:
            raise ReleaseError(f"Pod {pod['metadata']['name']}: the answers are off")
        return 0.001

    def of_service(self, address):
        if "service" in wrong:
            raise ReleaseError(f"Service {self.names.slug}: the answers are off")

    def answer(version, served):
        wrong.asked.append(version)
        when = " while it serves" if served else ""
        newest = version in (0, max(store.state("m").published))
        if newest and f"failing{when}" in wrong:
            raise ServingError("the request was refused")
        if newest and f"slow{when}" in wrong:
            # What is watched is held against one look at its predecessor, which a busy machine may have held up.
            time.sleep(0.5 if served else 0.15)
        return {"class_id": np.array([version if "others" in wrong else 1])}

    @contextlib.contextmanager
    def asking_pod(pod, model, version):
        yield lambda probe: answer(version, served=False)

    @contextlib.contextmanager
    def asking_service(address, model, version):
        yield lambda probe: answer(0, served=True)

    monkeypatch.setattr(releasing, "asking_pod", asking_pod)
    monkeypatch.setattr(proof, "asking_service", asking_service)
    monkeypatch.setattr(proof.Proof, "of_pod", of_pod)
    monkeypatch.setattr(proof.Proof, "of_service", of_service)
    monkeypatch.setattr(releasing, "wait_moved", lambda address, names, version: None)
    return wrong


@pytest.fixture
def serving(cluster, store, answers, monkeypatch):
    """A KubernetesServing on the fake; events in the ledger are steps that it can be killed at."""
    append = Ledger.append

    def killable(self, event):
        cluster.alive()
        append(self, event)
        cluster.step(f"ledger {event.kind}")

    monkeypatch.setattr(Ledger, "append", killable)
    return KubernetesServing(cluster, store)


@pytest.fixture
def told():
    """What a release told; call `told.append` as its tell."""
    return []


@pytest.fixture
def release_all(serving, candidate):
    """Release these, in order; gives their versions."""
    return lambda *numbers: [serving.release("m", candidate(number), lambda text: None).version for number in numbers]


@pytest.fixture
def killed(serving, cluster):
    """Do something until it is killed after its NUMBERth change, if it comes that far."""

    def run(action, number):
        cluster.revive()
        cluster.die_after = number
        with contextlib.suppress(KilledError):
            action()
        cluster.revive()

    return run
