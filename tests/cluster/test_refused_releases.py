"""Versions that must not serve: each is refused with its own reason, in time, and the old one serves throughout."""

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from clients import Clients, asking
from deployer import Deployer
from installation import Installation, Object
from leftovers import expect_none

pytestmark = pytest.mark.cluster
MODEL = "refused"
MEMORY = "2Ti"
IDLE = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit()); time.sleep(600)"
ABSENT = "localhost/nightshift/absent:none"


@dataclass(frozen=True)
class Case:
    """A fault and how it is told.

    Attributes:
        name: of the fault.
        told: what the refusal says, each of it.
        seconds: that it may take.
        candidate: what is released.
        fault: of releasing.py.
        container: how the server's container is changed.
        annotations: how the namespace's settings are changed.
        quota: how the namespace's quota is changed.
    """

    name: str
    told: tuple[str, ...]
    seconds: float
    candidate: str = "times-2"
    fault: tuple[str, ...] = ()
    container: Object = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    quota: dict[str, str] = field(default_factory=dict)


CASES = (
    Case("truncated shard", ("could not load it", "variables.data-00000-of-00001"), 45, fault=("truncate",)),
    Case("wrong answers", ("golden batch are off by 3",), 45, candidate="wrong"),
    Case(
        "crash loop",
        ("crash loop", "exit code 1", "these are my last words"),
        60,
        container={"command": ["python3", "-c", "import sys; sys.exit('these are my last words')"]},
    ),
    Case(
        "impossible memory",
        ("unschedulable", "Insufficient memory"),
        45,
        container={"resources": {"requests": {"memory": MEMORY}, "limits": {"memory": MEMORY}}},
        quota={"requests.memory": "4Ti", "limits.memory": "4Ti"},
    ),
    Case(
        "more memory than the quota",
        ("quota", "requests.memory"),
        45,
        container={"resources": {"requests": {"memory": MEMORY}, "limits": {"memory": MEMORY}}},
    ),
    Case("missing image", ("image", ABSENT), 60, container={"image": ABSENT}),
    Case(
        "never ready",
        ("not ready within 12 s", "runs and is not ready"),
        45,
        container={"command": ["python3", "-c", IDLE]},
        annotations={"ready_seconds": "12"},
    ),
)


@pytest.fixture(scope="module")
def clients(installation: Installation, releaser: Deployer) -> Iterator[Clients]:
    """Of a model that serves."""
    with installation.model(MODEL):
        assert not releaser.release(MODEL, "times-1").error
        with asking(installation, MODEL, retries=0, count=2) as found:
            yield found
        expect_none(installation, releaser, MODEL)


@contextlib.contextmanager
def quota(installation: Installation, hard: dict[str, str]) -> Iterator[None]:
    """Another quota for the length of the block."""
    kubectl = installation.serving
    before = kubectl.get("resourcequota", "serving")["spec"]["hard"]
    kubectl("patch", "resourcequota", "serving", "--type=merge", "-p", json.dumps({"spec": {"hard": hard}}))
    try:
        yield
    finally:
        kubectl("patch", "resourcequota", "serving", "--type=merge", "-p", json.dumps({"spec": {"hard": before}}))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_a_version_is_refused_with_its_own_reason_while_the_old_one_serves(
    installation: Installation, releaser: Deployer, clients: Clients, measured: Callable[[str], None], case: Case
):
    serving = installation.selected(MODEL)
    with quota(installation, case.quota), installation.server(case.container, **case.annotations):
        refused = releaser.release(MODEL, case.candidate, *case.fault)
    assert refused.error.startswith("ReleaseError"), refused.said
    for words in (*case.told, f"version {serving} still serves"):
        assert words in refused.error
    assert refused.seconds <= case.seconds
    assert installation.selected(MODEL) == serving
    assert len(installation.made("deployments", MODEL)) == 1
    answers = clients.answers().since(refused.began)
    assert not answers.failures, answers.summary()
    assert answers.versions.keys() == {serving}
    reasons = releaser.state(MODEL)["refused"].values()
    assert any(all(words in reason for words in case.told) for reason in reasons), "the ledger says why"
    measured(f"refused after {refused.seconds:.1f} s: {answers.summary()}: {' '.join(refused.error.split())[:200]}")
