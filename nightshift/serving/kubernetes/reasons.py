"""Why Pods of a version do not become ready, from what the cluster says of them: pure functions of API objects."""

from collections.abc import Iterable
from dataclasses import dataclass

from nightshift.serving.kubernetes.names import Object, name_of
from nightshift.serving.kubernetes.objects import CONTAINER

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


def deployment_trouble(deployment: Object, unschedulable_seconds: int) -> Trouble | None:
    """Why its Pods are not made, None if they are."""
    failure = condition(deployment, "ReplicaFailure")
    if failure is None or failure["status"] != "True":
        return None
    said = str(failure.get("message", ""))
    if "exceeded quota" in said:  # another version's Pods may be ending
        return Trouble("quota", f"the namespace's quota leaves no room for its Pods: {said}", unschedulable_seconds)
    return Trouble("admission", f"the API server refuses its Pods: {said}", 0)


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


def server_status(pod: Object) -> Object:
    """The status of the model server's container; empty before there is one."""
    found: list[Object] = [one for one in container_statuses(pod) if one["name"] == CONTAINER]
    return found[0] if found else {}


def restarts(pod: Object) -> int:
    """How often containers of it have been started again."""
    return sum(status.get("restartCount", 0) for status in container_statuses(pod))


def condition(item: Object, kind: str) -> Object | None:
    """A condition of an object's status, None if it has none of that type."""
    conditions: list[Object] = (item.get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one["type"] == kind), None)


def is_ready(pod: Object) -> bool:
    """Whether a Pod is ready and stays."""
    ready = condition(pod, "Ready")
    return ready is not None and ready["status"] == "True" and not is_ending(pod)


def is_ending(pod: Object) -> bool:
    """Whether a Pod was told to end."""
    return "deletionTimestamp" in pod["metadata"]


def is_running(pod: Object) -> bool:
    """Whether the model server's process runs."""
    return "running" in server_status(pod).get("state", {})


def as_it_is(pod: Object) -> str:
    """A Pod that is not ready, in words."""
    state = server_status(pod).get("state", {})
    waiting = state.get("waiting") or {}
    if waiting:
        return f"Pod {name_of(pod)}: waits: {waiting.get('reason', '')} {waiting.get('message', '')}".rstrip()
    ready = condition(pod, "Ready") or {}
    running = "runs and is not ready" if state else f"is {pod['status'].get('phase', 'new')}"
    return f"Pod {name_of(pod)}: {running} {ready.get('message', '')}".rstrip()
