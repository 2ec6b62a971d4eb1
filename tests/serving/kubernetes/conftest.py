import contextlib
from pathlib import Path

import pytest
from candidates import write_candidate
from fake_cluster import FakeCluster, KilledError

from nightshift.errors import ReleaseError
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


@pytest.fixture
def answers(monkeypatch):
    """Model servers that answer as they should, but for the versions (or the word) in this set: `pod`, `service`."""
    wrong = set()

    def of_pod(self, pod):
        if "pod" in wrong:
            raise ReleaseError(f"Pod {pod['metadata']['name']}: the answers are off")
        return 0.001

    def of_service(self, address):
        if "service" in wrong:
            raise ReleaseError(f"Service {self.names.slug}: the answers are off")

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
