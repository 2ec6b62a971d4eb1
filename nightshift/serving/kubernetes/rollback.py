"""Let an earlier version serve again, with nothing but the API server: what served before is on the Service."""

from nightshift.errors import NightshiftError, ReleaseError
from nightshift.serving.kubernetes.history import History, missing_events
from nightshift.serving.kubernetes.names import Object, version_of
from nightshift.serving.kubernetes.objects import CONNECTION_AGE_MS
from nightshift.serving.kubernetes.readiness import Waiting
from nightshift.serving.kubernetes.rollout import Rollout
from nightshift.serving.kubernetes.room import Room
from nightshift.serving.release import Released
from nightshift.serving.store import Store

ABANDONED = "its release was interrupted, and then an earlier version was rolled back to"
ROLLED_BACK = "rolled back by a person"


def roll_back(rollout: Rollout, store: Store | None, version: int = 0) -> Released:
    """Let a version serve again; 0: the one before the present.

    The predecessor's Pods are there, so it serves at once; an older version's are started first.

    Raises:
        ReleaseError: there is no such version, or it does not become ready; what serves now still does.
    """
    names, tell = rollout.names, rollout.tell
    history, deployments = rollout.history(), {version_of(item): item for item in rollout.deployments()}
    target = _target(rollout, history, deployments, version)
    size = _size(deployments.get(history.live))
    if not _is_standing(deployments[target]):
        _start(rollout, history, target, max(size, _size(deployments[target])))
    unfinished = sorted(deployments.keys() - set(history.versions))
    rollout.switch(target, lambda found: _returned(found, target, unfinished))
    rollout.autoscale(target)
    tell(f"{names.model}: version {target} serves again; open connections follow within {CONNECTION_AGE_MS / 1000:g} s")
    if 0 < _size(deployments[target]) < size:
        rollout.scale(target, size)
    _record(rollout, store)
    rollout.tidy()
    return Released(target, history.live)


def _target(rollout: Rollout, history: History, deployments: dict[int, Object], version: int) -> int:
    """The version to go to."""
    possible = [one for one in history.earlier if one in deployments]
    target = version or history.predecessor
    if target in possible:
        return target
    known = ", ".join(map(str, reversed(possible))) or "none"
    wanted = f"version {target}" if target else "an earlier version"
    raise ReleaseError(
        f"{rollout.names.model}: cannot roll back to {wanted}; versions that served before and are kept in namespace "
        f"{rollout.cluster.namespace}: {known}"
    )


def _size(deployment: Object | None) -> int:
    return int(deployment["spec"].get("replicas") or 0) if deployment else 0


def _is_standing(deployment: Object) -> bool:
    """Whether all Pods that it is to have are there."""
    status, size = deployment.get("status") or {}, _size(deployment)
    observed = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    return bool(size and observed and status.get("readyReplicas", 0) >= size)


def _start(rollout: Rollout, history: History, target: int, replicas: int) -> None:
    room = Room(rollout)
    rollout.tell(f"{rollout.names.model}: starting {replicas} Pods of version {target}")
    try:
        rollout.scale(target, max(replicas, 1))
        Waiting(rollout.cluster, rollout.names, target, rollout.settings, rollout.tell, room.make).ready()
    except ReleaseError as error:
        rollout.tidy()
        room.give_back()
        raise ReleaseError(
            f"{rollout.names.model}: version {target} cannot serve, {history.live} still does: {error}"
        ) from error


def _returned(history: History, target: int, unfinished: list[int]) -> History:
    for version in unfinished:
        if not history.is_withdrawn(version) and version not in history.versions:
            history = history.given_up(version, ABANDONED)
    if target not in history.versions:
        raise ReleaseError(f"version {target} was taken out of the Service's history by somebody")
    return history.returned(target, ROLLED_BACK)


def _record(rollout: Rollout, store: Store | None) -> None:
    """Tell the store's ledger, if it can be reached and is of these versions; else the next release does."""
    model, history = rollout.names.model, rollout.history()
    try:
        state = store.state(model) if store else None
        if store is None or state is None or history.live not in state.published:
            rollout.tell("the store is not at hand here; the next release records this in its ledger")
            return
        for event in missing_events(state, history):
            rollout.lease.check()
            store.ledger(model).append(event)
    except (NightshiftError, OSError) as error:
        rollout.tell(f"the store's ledger could not be told, the next release will: {error}")
