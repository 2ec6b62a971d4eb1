"""Training on several nodes, as the train step does it: a TrainJob from its making to its model."""

import time
from collections.abc import Callable
from pathlib import Path

from nightshift.errors import WorkspaceError
from nightshift.kubernetes.asking import ClusterError
from nightshift.kubernetes.cluster import FORBIDDEN, Cluster, connect
from nightshift.training.kubernetes.errors import TrainJobError
from nightshift.training.kubernetes.follow import Following
from nightshift.training.kubernetes.job import Work, train_job
from nightshift.training.kubernetes.nodes import Nodes
from nightshift.training.kubernetes.own import own_namespace, own_pod
from nightshift.training.kubernetes.ownership import GONE_SECONDS, KIND, give_up, take
from nightshift.training.kubernetes.patience import Limits
from nightshift.training.model import TrainedModel
from nightshift.training.preemption import Preempted

PATIENCE_SECONDS = 5.0
"""For one request; what waits for an API server that is away looks in between whether it was asked to end."""

MODEL_SECONDS = 60.0
"""Until a shared volume shows what another node has written."""

ENDING_SECONDS = 25.0
"""Of the 30 s that a step's Pod has to end in."""


def train_on_nodes(
    work: Work,
    nodes: Nodes,
    *,
    asked: Callable[[], bool],
    progress: Callable[[float, str], None],
    say: Callable[[str], None],
    limits: Limits | None = None,
) -> TrainedModel:
    """Train by a TrainJob, go on with one that is there, or find the model that is finished.

    When this ends, in whatever way, the TrainJob and its Pods are gone, unless another step's Pod follows them too. So
    is one that a step left which was killed once the model was written.

    Args:
        work: what is trained.
        nodes: on how many nodes, and what each gets.
        asked: whether this process was asked to end; the workers then write a checkpoint and end, too.
        progress: told (share of all work, words).
        say: told what is worth a line.
        limits: of patience.

    Raises:
        ConfigurationError: this process is not in a Pod.
        TrainJobError: no model came of it; says why.
        Preempted: this process was asked to end.
        ClusterError: the API server refused something, or was away for too long.
    """
    folder = work.workspace / "checkpoints" / work.key
    with connect(own_namespace(), PATIENCE_SECONDS) as cluster:
        finished = _model(folder)
        if finished:
            progress(1, f"trained before, nothing to train: checkpoints/{work.key}")
            _give_up_left(cluster, work.name, say)
            return finished
        own = own_pod(cluster)
        take(cluster, train_job(work, nodes, own.image, own.pull_secrets, own.owner), say)
        following = Following(
            cluster, work.name, asked, lambda: _model(folder) is not None, progress, say, limits or Limits()
        )
        try:
            if not following.until_it_ends():
                raise Preempted(f"asked to end: TrainJob {work.name} ends too; the next one begins at its checkpoint")
            return _await_model(folder, work.name)
        finally:
            _give_up(cluster, work.name, own.uid, ENDING_SECONDS if asked() else GONE_SECONDS, say)


def take_away(name: str) -> str:
    """Take away the TrainJob of a step that was killed before it could, unless another one follows it; in words.

    Kubeflow's launcher ends at SIGTERM at once, and its step with it: what comes after the steps looks once more.

    Raises:
        ConfigurationError: this process is not in a Pod.
        ClusterError: the API server refused it or did not answer.
    """
    with connect(own_namespace()) as cluster:
        return give_up(cluster, name, "", seconds=GONE_SECONDS)


def _give_up_left(cluster: Cluster, name: str, say: Callable[[str], None]) -> None:
    """Whoever may not look at TrainJobs has never made one."""
    try:
        left = cluster.get(KIND, name)
    except ClusterError as error:
        if error.status != FORBIDDEN:
            say(f"TrainJob {name}: whether it is still there cannot be seen: {error}")
        return
    if left:
        _give_up(cluster, name, "", GONE_SECONDS, say)


def _give_up(cluster: Cluster, name: str, uid: str, seconds: float, say: Callable[[str], None]) -> None:
    """In words only if it cannot be done: what happened before is what matters, and our Pod's end is the TrainJob's."""
    try:
        say(f"TrainJob {name}: {give_up(cluster, name, uid, seconds=seconds)}")
    except Exception as error:
        say(f"TrainJob {name}: it could not be taken away, and goes when this Pod is deleted: {error}")


def _model(folder: Path) -> TrainedModel | None:
    try:
        return TrainedModel.open(folder)
    except WorkspaceError:
        return None


def _await_model(folder: Path, name: str) -> TrainedModel:
    deadline = time.monotonic() + MODEL_SECONDS
    while not (found := _model(folder)):
        if time.monotonic() > deadline:
            raise TrainJobError(
                f"TrainJob {name} is complete, and {folder} has no model: is it on the volume that workers write to?"
            )
        time.sleep(1)
    return found
