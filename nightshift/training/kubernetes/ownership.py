"""Having a TrainJob: made, or taken over from a step that was there before; given back or taken away.

The Pods of all steps that follow a TrainJob own it together: the last one's end is its end.
"""

import time
from collections.abc import Callable

from nightshift.kubernetes.asking import ClusterError
from nightshift.kubernetes.cluster import BAD_REQUEST, CONFLICT, FORBIDDEN, NOT_FOUND, Cluster
from nightshift.kubernetes.objects import Object, condition, is_ending, name_of
from nightshift.training.kubernetes.errors import TrainJobError
from nightshift.training.kubernetes.job import OVERRIDES, RUNTIME

JOBSET = "jobset.sigs.k8s.io/jobset-name"
KIND = "trainjobs"
COMPLETE, FAILED = "Complete", "Failed"
ENDED_PHASES = ("Succeeded", "Failed")
GONE_SECONDS = 90.0
"""For workers to write a checkpoint and end: they have 60 s, then they are killed."""

LOOK_SECONDS, LOOKS = 0.5, 3


def take(cluster: Cluster, wanted: Object, say: Callable[[str], None]) -> None:
    """Make a TrainJob, or take over the one of that name if it is still at work.

    One that is ending, or has ended without leaving a model, is waited for or removed, and made anew.

    Args:
        cluster: where.
        wanted: the TrainJob; its only owner is us.
        say: told what was found.

    Raises:
        TrainJobError: the cluster is not made for TrainJobs, or the one that was there did not go.
        ClusterError: the API server refused it or did not answer.
    """
    name, owner = name_of(wanted), wanted["metadata"]["ownerReferences"][0]
    while True:
        if _create(cluster, wanted):
            say(f"TrainJob {name}: made, {wanted['spec']['trainer']['numNodes']} nodes")
            return
        found = cluster.get(KIND, name)
        if found is None:
            continue
        ended = ended_as(found)
        if is_ending(found) or ended:
            if not _delete(cluster, found):
                continue
            say(f"TrainJob {name}: there is one that {'is ending' if is_ending(found) else ended}; it is made anew")
            if not _gone(cluster, found, GONE_SECONDS):
                raise TrainJobError(f"TrainJob {name}: it was deleted and is not gone after {GONE_SECONDS:g} s")
        elif _own(cluster, found, owner):
            count, asked = (one["spec"]["trainer"]["numNodes"] for one in (found, wanted))
            say(f"TrainJob {name}: there already; followed" + (f" on its {count} nodes" if count != asked else ""))
            return


def _create(cluster: Cluster, wanted: Object) -> bool:
    """Whether it was made; not if one of its name is there."""
    try:
        return cluster.create(KIND, wanted) is not None
    except ClusterError as error:
        if error.status == BAD_REQUEST and OVERRIDES in str(error):
            raise TrainJobError(
                f"{error}; training on several nodes needs Kubeflow Trainer 2.1: later ones have no {OVERRIDES}"
            ) from error
        # Whoever lacks the right is told so even where there is no such kind; that there is no runtime a webhook says.
        if error.status in (NOT_FOUND, FORBIDDEN) or RUNTIME in str(error):
            raise TrainJobError(
                f"{error}; training on several nodes needs Kubeflow Trainer and manifests/components/training "
                "(docs/kubernetes.md), or train on 1 node"
            ) from error
        raise


def _own(cluster: Cluster, found: Object, owner: Object) -> bool:
    """Add ourselves to the owners; False if the TrainJob is not as it was found any more."""
    owners = found["metadata"].get("ownerReferences") or []
    if any(one["uid"] == owner["uid"] for one in owners):
        return True
    return _set_owners(cluster, found, [*owners, owner])


def _set_owners(cluster: Cluster, found: Object, owners: list[Object]) -> bool:
    version = found["metadata"]["resourceVersion"]
    try:
        cluster.patch(KIND, name_of(found), {"metadata": {"ownerReferences": owners, "resourceVersion": version}})
    except ClusterError as error:
        if error.status in (CONFLICT, NOT_FOUND):
            return False
        raise
    return True


def give_up(cluster: Cluster, name: str, uid: str, *, seconds: float) -> str:
    """End our part in a TrainJob: take it away, unless another step's Pod that is at work follows it too.

    Args:
        cluster: where.
        name: of the TrainJob.
        uid: of our Pod.
        seconds: to wait until it and its Pods are gone.

    Returns:
        what came of it, in words.
    """
    while True:
        found = cluster.get(KIND, name)
        if found is None:
            return "it is gone"
        owners = found["metadata"].get("ownerReferences") or []
        rest = [one for one in owners if one["uid"] != uid]
        at_work = [one["name"] for one in rest if _at_work(cluster, one)]
        if at_work and not is_ending(found):
            if _set_owners(cluster, found, rest):
                return f"it goes on for {', '.join(at_work)}"
        elif _delete(cluster, found):
            gone = _gone(cluster, found, seconds)
            return "it is taken away" if gone else f"it was deleted, and its Pods are still ending after {seconds:g} s"


def _at_work(cluster: Cluster, owner: Object) -> bool:
    """Whether an owner is the Pod of a step that has not ended."""
    pod = cluster.get("pods", owner["name"]) if owner["kind"] == "Pod" else None
    if pod is None or pod["metadata"]["uid"] != owner["uid"]:
        return False
    return pod["status"].get("phase") not in ENDED_PHASES


def _delete(cluster: Cluster, found: Object) -> bool:
    """Delete a TrainJob; False if it is not as it was found any more.

    Not in the foreground: for a TrainJob that is there still, if only marked as ending, Trainer 2.1 makes its JobSet
    anew when that is deleted.
    """
    try:
        cluster.delete(KIND, name_of(found), found["metadata"]["resourceVersion"])
    except ClusterError as error:
        if error.status == CONFLICT:
            return False
        raise
    return True


def _gone(cluster: Cluster, deleted: Object, seconds: float) -> bool:
    """Whether a TrainJob that was deleted and all that it made is gone within that time."""
    name, deadline = name_of(deleted), time.monotonic() + seconds
    looks = 0  # in a row that found nothing: between two attempts there are no Pods
    while looks < LOOKS:
        job = cluster.get(KIND, name)
        if job and job["metadata"]["uid"] != deleted["metadata"]["uid"]:
            return True  # another step has made the next one, and Pods of this name are of that
        there = job or cluster.find("pods", f"{JOBSET}={name}")
        looks = 0 if there else looks + 1
        if there and time.monotonic() > deadline:
            return False
        time.sleep(LOOK_SECONDS)
    return True


def ended_as(job: Object) -> str:
    """Complete, Failed, or '' while it has not ended."""
    conditions = {kind: condition(job, kind) for kind in (COMPLETE, FAILED)}
    return next((kind for kind, one in conditions.items() if one and one["status"] == "True"), "")
