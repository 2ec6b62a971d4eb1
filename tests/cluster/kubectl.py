"""kubectl, as a person runs it: the tests do not ask the cluster through the library that they test."""

import json
import subprocess
import time
from dataclasses import dataclass, replace
from typing import Any


class KubectlError(AssertionError):
    """kubectl ended with an error; says what it said."""


@dataclass(frozen=True)
class Kubectl:
    """kubectl for one cluster and namespace.

    Attributes:
        program: its path.
        kubeconfig: how to reach the cluster.
        namespace: '' for the kubeconfig's own.
    """

    program: str
    kubeconfig: str
    namespace: str = ""

    def within(self, namespace: str) -> "Kubectl":
        """The same for another namespace."""
        return replace(self, namespace=namespace)

    def command(self, *arguments: str) -> list[str]:
        """What to run."""
        place = ["--namespace", self.namespace] if self.namespace else []
        return [self.program, "--kubeconfig", self.kubeconfig, *place, *arguments]

    def attempt(self, *arguments: str, stdin: str = "", timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run it, whatever comes of it."""
        return subprocess.run(
            self.command(*arguments), input=stdin, capture_output=True, text=True, timeout=timeout, check=False
        )

    def __call__(self, *arguments: str, stdin: str = "", timeout: float = 120) -> str:
        """Run it and give what it printed.

        Raises:
            KubectlError: it failed.
        """
        done = self.attempt(*arguments, stdin=stdin, timeout=timeout)
        if done.returncode:
            raise KubectlError(f"kubectl {' '.join(arguments)}: exit code {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def get(self, *arguments: str) -> Any:
        """`kubectl get ... -o json`; of a list its items."""
        found = json.loads(self("get", *arguments, "-o", "json"))
        return found["items"] if found["kind"] == "List" else found

    def apply(self, *objects: Any) -> str:
        """Apply objects."""
        content = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        return self("apply", "--server-side", "-f", "-", stdin=json.dumps(content))

    def wait_ready(self, pod: str, seconds: float = 120) -> None:
        """Wait until a Pod is ready.

        Raises:
            KubectlError: it is not, in time; says what the Pod's events and log say.
        """
        done = self.attempt(
            "wait", "--for=condition=Ready", f"pod/{pod}", f"--timeout={seconds:g}s", timeout=seconds + 30
        )
        if done.returncode:
            events = self.attempt("events", "--for", f"pod/{pod}").stdout
            log = self.attempt("logs", pod, "--tail=20").stdout
            raise KubectlError(f"Pod {pod} is not ready after {seconds:g} s: {done.stderr}\n{events}\n{log}")


def until(condition: Any, seconds: float, what: str, every: float = 0.25) -> Any:
    """Call until it gives something true, and give that.

    Raises:
        AssertionError: it did not, in that many seconds.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(every)
    return found
