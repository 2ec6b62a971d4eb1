"""Why Pods do not run, from what the cluster says of them: pure functions of API objects."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from nightshift.kubernetes.objects import Object, condition, name_of

PULL_SECONDS = 15
CRASHES = 2
IMAGE = {"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable"}
IMAGE_AT_ONCE = {"InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
CONTAINER_REASONS = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
ABSENT = ("not found", "manifest unknown", "repository does not exist", "pull access denied")


@dataclass(frozen=True)
class Trouble:
    """Something that keeps Pods from becoming ready.

    Attributes:
        kind: in a word or two: unschedulable, image, crash loop, container, quota, admission.
        text: what the cluster says.
        seconds: how long that is borne with; 0: not at all.
        pod: which one; empty if it was never made.
    """

    kind: str
    text: str
    seconds: int
    pod: str = ""


@dataclass
class Patience:
    """How long each trouble has been there; one that goes away is forgotten."""

    clock: Callable[[], float] = time.monotonic
    since: dict[tuple[str, str], float] = field(default_factory=dict)

    def exhausted(self, troubles: list[Trouble]) -> Trouble | None:
        """The first that has lasted as long as it is borne with."""
        now = self.clock()
        self.since = {(one.kind, one.pod): self.since.get((one.kind, one.pod), now) for one in troubles}
        return next((one for one in troubles if now - self.since[one.kind, one.pod] >= one.seconds), None)


def pod_trouble(pod: Object, unschedulable_seconds: int) -> Trouble | None:
    """What keeps a Pod from becoming ready, None if it only takes its time; without the log of a crash."""
    name = name_of(pod)
    scheduled = condition(pod, "PodScheduled")
    if scheduled and scheduled["status"] == "False":
        said = scheduled.get("message") or scheduled.get("reason", "")
        return Trouble("unschedulable", f"Pod {name}: no node takes it: {said}", unschedulable_seconds, name)
    for status in container_statuses(pod):
        found = _waiting(name, status) or _crashing(name, status)
        if found:
            return found
    if pod["status"].get("phase") == "Failed":
        said = pod["status"].get("message") or pod["status"].get("reason", "")
        return Trouble("container", f"Pod {name}: failed: {said}", 0, name)
    return None


def _waiting(pod: str, status: Object) -> Trouble | None:
    waiting = status.get("state", {}).get("waiting") or {}
    reason, said = waiting.get("reason", ""), waiting.get("message", "")
    if reason in IMAGE_AT_ONCE or (reason in IMAGE and any(words in said for words in ABSENT)):
        seconds = 0
    elif reason in IMAGE or reason in CONTAINER_REASONS:
        seconds = PULL_SECONDS
    else:
        return None
    if reason in CONTAINER_REASONS:
        return Trouble("container", f"Pod {pod}: its container cannot start: {reason}: {said}", seconds, pod)
    return Trouble("image", f"Pod {pod}: no image {status.get('image', '')!r}: {reason}: {said}", seconds, pod)


def _crashing(pod: str, status: Object) -> Trouble | None:
    ended = last_end(status)
    reason = (status.get("state", {}).get("waiting") or {}).get("reason", "")
    if ended is None or not (reason == "CrashLoopBackOff" or status.get("restartCount", 0) >= CRASHES):
        return None
    said = f"exit code {ended.get('exitCode')}, {ended.get('reason', 'no reason given')}"
    if ended.get("message"):
        said += f": {ended['message']}"
    return Trouble("crash loop", f"Pod {pod}: container {status['name']} keeps ending: {said}", 0, pod)


def last_end(status: Object) -> Object | None:
    """How a container last ended, None if it never did."""
    found: Object | None = status.get("state", {}).get("terminated") or status.get("lastState", {}).get("terminated")
    return found


def container_statuses(pod: Object) -> Iterable[Object]:
    """Of its init containers, then of its others."""
    yield from pod["status"].get("initContainerStatuses") or []
    yield from pod["status"].get("containerStatuses") or []
