"""A Pod that releases: with the rights and the store of the deploy step, in which the tests run programs."""

import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from installation import Installation
from kubectl import Kubectl
from pods import PROGRAMS, pod

CANDIDATES = "/workspace/candidates"
RELEASE_SECONDS = 300.0


@dataclass(frozen=True)
class Outcome:
    """What a release or rollback came to.

    Attributes:
        version: that serves then, 0 if it was refused.
        error: why; '' if it was not.
        began: seconds since 1970, by the Pod's clock, when its process started.
        ended: when it ended.
        said: all it printed.
    """

    version: int
    error: str
    began: float
    ended: float
    said: str

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began


@dataclass(frozen=True)
class Deployer:
    """The Pod."""

    kubectl: Kubectl
    pod: str

    def command(self, *command: str) -> list[str]:
        """What runs a command in it."""
        return self.kubectl.command("exec", self.pod, "--", *command)

    def attempt(self, *command: str, timeout: float = RELEASE_SECONDS) -> subprocess.CompletedProcess[str]:
        """Run a command in it, whatever comes of it."""
        return self.kubectl.attempt("exec", self.pod, "--", *command, timeout=timeout)

    def __call__(self, *command: str, timeout: float = RELEASE_SECONDS) -> str:
        """Run a command in it and give what it printed.

        Raises:
            KubectlError: it failed.
        """
        return self.kubectl("exec", self.pod, "--", *command, timeout=timeout)

    def make(self, factors: Mapping[str, str]) -> None:
        """Make candidates: a name to FACTOR or FACTOR:GOLDEN_FACTOR."""
        wanted = [f"{name}={factor}" for name, factor in factors.items()]
        self("python", f"{PROGRAMS}/making.py", CANDIDATES, *wanted)

    def releasing(self, model: str, candidate: str, *fault: str) -> list[str]:
        """The command that releases a candidate; runs in the Pod."""
        return ["python", f"{PROGRAMS}/releasing.py", model, f"{CANDIDATES}/{candidate}", *fault]

    def release(self, model: str, candidate: str, *fault: str) -> Outcome:
        """Release a candidate; a refusal is an outcome."""
        return outcome(self(*self.releasing(model, candidate, *fault)))

    def rollback(self, model: str, version: int = 0) -> Outcome:
        """`nightshift rollback`, as a person types it."""
        wanted = [str(version)] if version else []
        script = 'date +%s.%N; nightshift rollback "$@"; code=$?; date +%s.%N; exit $code'
        said = self("sh", "-c", script, "sh", model, *wanted)
        lines = said.splitlines()
        return Outcome(self.state(model)["serving"][-1], "", float(lines[0]), float(lines[-1]), said)

    def state(self, model: str) -> dict[str, Any]:
        """What the ledger comes to: serving, pending, refused."""
        found: dict[str, Any] = json.loads(self("python", f"{PROGRAMS}/telling.py", model))
        return found


def outcome(said: str) -> Outcome:
    """What releasing.py told."""
    found = json.loads(said.splitlines()[-1])
    return Outcome(found.get("version", 0), found.get("error", ""), found["began"], found["ended"], said)


@contextlib.contextmanager
def deployer(installation: Installation, name: str = "deployer") -> Iterator[Deployer]:
    """A Pod `name` for the length of the block, with the environment, workspace and account of a run's deploy step."""
    runs = installation.runs
    body = pod(
        name,
        "train",
        ["sleep", "infinity"],
        envFrom=[{"configMapRef": {"name": "nightshift"}}],
        volumeMounts=[{"name": "workspace", "mountPath": "/workspace"}],
    )
    body["spec"]["serviceAccountName"] = "nightshift-runner"
    body["spec"]["volumes"].append(
        {"name": "workspace", "persistentVolumeClaim": {"claimName": "nightshift-workspace"}}
    )
    runs.apply(body)
    try:
        runs.wait_ready(name)
        yield Deployer(runs, name)
    finally:
        runs("delete", "pod", name, "--grace-period=1", "--ignore-not-found")
