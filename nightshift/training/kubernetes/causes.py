"""What ended or holds up the workers of a TrainJob, from what the cluster says of their Pods: pure functions."""

from dataclasses import replace

from nightshift.kubernetes.objects import Object, condition, is_ending, name_of
from nightshift.kubernetes.pods import Trouble, container_statuses, last_end, pod_trouble

INDEX = "batch.kubernetes.io/job-completion-index"
ATTEMPT = "jobset.sigs.k8s.io/restart-attempt"
LAST_LINES = 12
NOT_STARTED = "not started"
"""The kind of trouble of a Pod that has a node and does not run; most often it only takes its time."""


def index_of(pod: Object) -> int:
    """Which worker it is; 0 is the chief."""
    return int(pod["metadata"]["labels"][INDEX])


def attempt_of(pod: Object) -> int:
    """How often all workers were started again before this one was."""
    return int(pod["metadata"]["labels"].get(ATTEMPT, 0))


def has_ended(pod: Object) -> bool:
    """Whether its worker's process has ended."""
    return pod["status"].get("phase") in ("Succeeded", "Failed")


def is_at_work(pod: Object) -> bool:
    """Whether its worker's process runs."""
    return pod["status"].get("phase") == "Running" and not is_ending(pod)


def is_pending(pod: Object) -> bool:
    """Whether its worker's process has not begun."""
    return pod["status"].get("phase") == "Pending"


def failure(pods: list[Object]) -> tuple[str, bool]:
    """Who was the first to fail or to be taken away, and why, in words; whether it failed by itself.

    One that was told to end counts only if none failed: when one fails, the cluster tells the others to end.
    """
    failed = [pod for pod in pods if pod["status"].get("phase") == "Failed" and not is_ending(pod)]
    if failed:
        first = min(failed, key=_ended_at)
        return _in_words(first), condition(first, "DisruptionTarget") is None and _exit_code(first) != 143
    ending = sorted((pod for pod in pods if is_ending(pod)), key=lambda pod: str(pod["metadata"]["deletionTimestamp"]))
    if ending:
        disrupted = condition(ending[0], "DisruptionTarget")
        said = f": {disrupted.get('message', '')}" if disrupted else ""
        return f"worker {index_of(ending[0])} (Pod {name_of(ending[0])}) was taken away{said}", False
    return "", False


def trouble(pod: Object, unschedulable: int, image: int, starting: int) -> Trouble | None:
    """What keeps a worker from beginning; it is the worker's, whichever Pod that has.

    Args:
        pod: of the worker.
        unschedulable: seconds that are borne with without a node.
        image: the same with an image that may yet be pulled; one that is not there is not borne with.
        starting: the same on a node, before it runs.
    """
    if has_ended(pod) or is_ending(pod):
        return None
    found = pod_trouble(pod, unschedulable) or _not_started(pod, starting)
    if found is None:
        return None
    seconds = image if found.kind == "image" and found.seconds else found.seconds
    return replace(found, seconds=seconds, pod=f"worker {index_of(pod)}")


def _not_started(pod: Object, seconds: int) -> Trouble | None:
    """A volume that cannot be mounted, for one, is said nowhere in the Pod itself."""
    scheduled = condition(pod, "PodScheduled")
    if not is_pending(pod) or scheduled is None or scheduled["status"] != "True":
        return None
    reasons = [(status.get("state", {}).get("waiting") or {}).get("reason", "") for status in container_statuses(pod)]
    said = f" ({reason})" if (reason := next(filter(None, reasons), "")) else ""
    name = name_of(pod)
    text = f"Pod {name}: it has a node and has not started{said}; kubectl describe pod {name} says why"
    return Trouble(NOT_STARTED, text, seconds, name)


def _in_words(pod: Object) -> str:
    end = _end(pod)
    reason = end.get("reason") or pod["status"].get("reason") or "failed"
    said = f"worker {index_of(pod)} (Pod {name_of(pod)}) ended with exit code {end.get('exitCode')}, {reason}"
    disrupted = condition(pod, "DisruptionTarget")
    said += f"; {disrupted.get('message', '')}" if disrupted else ""
    said += f"; {pod['status']['message']}" if pod["status"].get("message") else ""
    last = str(end.get("message") or "").strip().splitlines()[-LAST_LINES:]
    return said + ("; its last lines:\n" + "\n".join(last) if last else "")


def _end(pod: Object) -> Object:
    ends = (last_end(status) for status in container_statuses(pod))
    return next((end for end in ends if end), {})


def _exit_code(pod: Object) -> int | None:
    return _end(pod).get("exitCode")


def _ended_at(pod: Object) -> str:
    return str(_end(pod).get("finishedAt", ""))
