"""Client Pods that ask a model all the time through one open channel each, and what they were answered."""

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from installation import Installation
from kubectl import Kubectl, until
from pods import PROGRAMS, pod

COUNT = 4
SETTLED_SECONDS = 3.0
"""How long every client must have heard of one version only: longer than a connection lives, two seconds."""


@dataclass(frozen=True)
class Answers:
    """What client Pods were answered.

    Attributes:
        spans: of answers by one version to one client: client, version, factor, first, last, answers, latency, gap.
        failures: of requests: client, failed, first, last.
    """

    spans: list[dict[str, Any]]
    failures: list[dict[str, Any]]

    @property
    def count(self) -> int:
        """How many answers."""
        return sum(span["answers"] for span in self.spans)

    @property
    def versions(self) -> dict[int, int]:
        """Answers a version."""
        counter: Counter[int] = Counter()
        for span in self.spans:
            counter[span["version"]] += span["answers"]
        return dict(counter)

    @property
    def factors(self) -> dict[int, set[float]]:
        """What each version multiplied by: one number, if every answer was its own."""
        return {version: {s["factor"] for s in self.spans if s["version"] == version} for version in self.versions}

    @property
    def latency(self) -> float:
        """The longest that a client waited for an answer, in seconds."""
        return max(span["latency"] for span in self.spans)

    @property
    def gap(self) -> float:
        """The longest that a client was without an answer, in seconds."""
        return max(span["gap"] for span in self.spans)

    def since(self, moment: float) -> "Answers":
        """What ended after a moment."""
        return Answers(
            [span for span in self.spans if span["last"] >= moment],
            [failure for failure in self.failures if failure["last"] >= moment],
        )

    def seconds_until_only(self, version: int, since: float) -> float:
        """From a moment until the last answer by another version."""
        return max([span["last"] for span in self.spans if span["version"] != version] + [since]) - since

    def summary(self) -> str:
        """In a line."""
        return (
            f"{self.count} answers by {len(self.versions)} versions, {len(self.failures)} failed, "
            f"longest wait {1000 * self.latency:.0f} ms, longest gap {1000 * self.gap:.0f} ms"
        )


@dataclass(frozen=True)
class Clients:
    """Pods that ask one model."""

    kubectl: Kubectl
    label: str
    count: int

    def answers(self) -> Answers:
        """What they have been answered until now, or a second ago."""
        log = self.kubectl("logs", "-l", self.label, "--tail=-1", f"--max-log-requests={self.count}")
        lines = [json.loads(line) for line in log.splitlines()]
        return Answers([line for line in lines if "answers" in line], [line for line in lines if "failed" in line])

    def wait_until_only(self, version: int, seconds: float = 60) -> None:
        """Wait until every client has heard nothing but this version for some seconds."""

        def settled() -> bool:
            spans = self.answers().spans
            others = [span["last"] for span in spans if span["version"] != version]
            latest = {span["client"]: span["last"] for span in spans if span["version"] == version}
            if len(latest) < self.count:
                return False
            return min(latest.values()) > max(others, default=min(latest.values()) - 9) + SETTLED_SECONDS

        until(settled, seconds, f"every client is answered by version {version} alone", every=1)


@contextlib.contextmanager
def asking(installation: Installation, model: str, *, retries: int, count: int = COUNT) -> Iterator[Clients]:
    """Client Pods for the length of the block; all have been answered when it begins.

    Args:
        installation: where the model is served.
        model: which.
        retries: how often a request is repeated when no server is there; 0: every such failure counts.
        count: of Pods.
    """
    kubectl, label = installation.asking, {"asks": model}
    names = [f"asking-{model}-{number}" for number in range(count)]
    command = ["python3", f"{PROGRAMS}/asking.py", installation.address(model), model, str(retries)]
    kubectl.apply(*(pod(name, "serve", command, labels=label) for name in names))
    clients = Clients(kubectl, f"asks={model}", count)
    try:
        for name in names:
            kubectl.wait_ready(name)
        until(
            lambda: len({span["client"] for span in clients.answers().spans}) == count, 60, "every client is answered"
        )
        yield clients
    finally:
        kubectl("delete", "pod", *names, "--grace-period=1", "--ignore-not-found")
