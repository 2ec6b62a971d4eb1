"""Having a TrainJob: made, or taken over from a step that was there before; given back or taken away.

The Pods of all steps that follow a TrainJob own it together: the last one's end is its end.
"""

import time
from collections.abc import Callable

from nightshift.kubernetes.asking import ClusterError
from nightshift.kubernetes.cluster import CONFLICT, NOT_FOUND, Cluster
from nightshift.kubernetes.objects import Object, condition, is_ending, name_of
from nightshift.training.kubernetes.errors import TrainJobError

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
        TrainJobError: the cluster has no TrainJobs, or the one that was there did not go.
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
            say(f"TrainJob {name}: there is one that {'is ending' if is_ending(found) else ended}; it is made anew")
            if not remove(cluster, name, seconds=GONE_SECONDS):
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
        if error.status == NOT_FOUND:
            raise TrainJobError(
                f"{error}: this cluster has no Kubeflow Trainer; install it, or train on 1 node (docs/kubernetes.md)"
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
        ours = {one["uid"] for one in owners} - {uid}
        others = [pod for pod in cluster.find("pods") if pod["metadata"]["uid"] in ours] if ours else []
        at_work = [name_of(pod) for pod in others if pod["status"].get("phase") not in ENDED_PHASES]
        if not at_work or is_ending(found):
            gone = remove(cluster, name, seconds=seconds)
            return "it is taken away" if gone else f"it was deleted, and its Pods are still ending after {seconds:g} s"
        if _set_owners(cluster, found, [one for one in owners if one["uid"] != uid]):
            return f"it goes on for {', '.join(at_work)}"


def remove(cluster: Cluster, name: str, *, seconds: float) -> bool:
    """Delete a TrainJob and what it made; whether all of that is gone within that time.

    Not in the foreground: for a TrainJob that is there still, if only marked as ending, Trainer 2.1 makes its JobSet
    anew when that is deleted.
    """
    cluster.delete(KIND, name)
    deadline, looks = (
        time.monotonic() + seconds,
        0,
    )  # in a row that found nothing: between two attempts there are no Pods
    while looks < LOOKS:
        there = cluster.get(KIND, name) or cluster.find("pods", f"{JOBSET}={name}")
        looks = 0 if there else looks + 1
        if there and time.monotonic() > deadline:
            return False
        time.sleep(LOOK_SECONDS)
    return True


def ended_as(job: Object) -> str:
    """Complete, Failed, or '' while it has not ended."""
    conditions = {kind: condition(job, kind) for kind in (COMPLETE, FAILED)}
    return next((kind for kind, one in conditions.items() if one and one["status"] == "True"), "")
