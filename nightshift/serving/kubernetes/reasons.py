"""A version's Deployment and its Pods, from what the cluster says of them: pure functions of API objects."""

from nightshift.kubernetes.objects import Object, condition, is_ending, name_of
from nightshift.kubernetes.pods import Trouble, container_statuses
from nightshift.serving.kubernetes.objects import CONTAINER


def deployment_trouble(deployment: Object, unschedulable_seconds: int) -> Trouble | None:
    """Why its Pods are not made, None if they are."""
    failure = condition(deployment, "ReplicaFailure")
    if failure is None or failure["status"] != "True":
        return None
    said = str(failure.get("message", ""))
    if "exceeded quota" in said:  # another version's Pods may be ending
        return Trouble("quota", f"the namespace's quota leaves no room for its Pods: {said}", unschedulable_seconds)
    return Trouble("admission", f"the API server refuses its Pods: {said}", 0)


def server_status(pod: Object) -> Object:
    """The status of the model server's container; empty before there is one."""
    found: list[Object] = [one for one in container_statuses(pod) if one["name"] == CONTAINER]
    return found[0] if found else {}


def restarts(pod: Object) -> int:
    """How often containers of it have been started again."""
    return sum(status.get("restartCount", 0) for status in container_statuses(pod))


def is_ready(pod: Object) -> bool:
    """Whether a Pod is ready and stays."""
    ready = condition(pod, "Ready")
    return ready is not None and ready["status"] == "True" and not is_ending(pod)


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
