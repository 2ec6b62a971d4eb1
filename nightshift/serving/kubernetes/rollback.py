"""Let an earlier version serve again, with nothing but the API server: what served before is on the Service."""

from nightshift.errors import NightshiftError, ReleaseError
from nightshift.kubernetes.objects import Object, annotation
from nightshift.serving.kubernetes.history import History, Served, missing_events
from nightshift.serving.kubernetes.names import TAKEN, number, version_of
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

    The predecessor's Pods are there, so it serves at once; an older version's are started first. Without the Service,
    which somebody deleted, it is made again for the version that is asked for.

    Raises:
        ReleaseError: there is no such version, or it does not become ready; what serves now still does.
    """
    names, tell = rollout.names, rollout.tell
    history, deployments = rollout.history(), {version_of(item): item for item in rollout.deployments()}
    target = _target(rollout, history, deployments, version)
    size = max(map(_size, deployments.values())) if not history.live else _size(deployments.get(history.live))
    _prepare(rollout, history, deployments, target, size)
    rollout.autoscale_if_allowed(target)
    tell(f"{names.model}: version {target} serves again; open connections follow within {CONNECTION_AGE_MS / 1000:g} s")
    if 0 < _size(deployments[target]) < size:
        rollout.scale(target, size)
    _record(rollout, store)
    rollout.tidy(deployments)
    return Released(target, history.live)


def _target(rollout: Rollout, history: History, deployments: dict[int, Object], version: int) -> int:
    """The version to go to."""
    model, namespace = rollout.names.model, rollout.cluster.namespace
    possible = [one for one in history.earlier if one in deployments] if history.live else sorted(deployments)
    target = version or history.predecessor
    if target in possible:
        return target
    known = ", ".join(map(str, reversed(possible))) or "none"
    wanted = f"version {target}" if target else "an earlier version"
    if not history.live:
        raise ReleaseError(
            f"{model}: cannot roll back to {wanted}: Service {rollout.names.slug}, which tells what served, is not "
            f"there in namespace {namespace}; versions that stand there: {known}; name the one that is to serve"
        )
    raise ReleaseError(
        f"{model}: cannot roll back to {wanted}; versions that served before and are kept in namespace {namespace}: "
        f"{known}"
    )


def _prepare(rollout: Rollout, history: History, deployments: dict[int, Object], target: int, size: int) -> None:
    """Have Pods of the target, and let the Service select them; all is as it was if that fails."""
    room, former = Room(rollout, target), deployments[target]
    unfinished = sorted(deployments.keys() - set(history.versions)) if history.live else []
    alone = History(tuple(Served(one) for one in sorted(deployments)))
    try:
        if not _is_standing(former):
            _start(rollout, target, max(size, _size(former), 1), room)
        rollout.guard(target)
        rollout.check_ready(target)
        rollout.switch(target, lambda found: _returned(found if found.live else alone, target, unfinished))
    except ReleaseError as error:
        if rollout.replicas(target) > _size(former):
            rollout.scale(target, _size(former), taken=number(annotation(former, TAKEN)))
        rollout.tidy(deployments)
        room.give_back()
        kept = f"{history.live} still does" if history.live else "nothing does"
        raise ReleaseError(f"{rollout.names.model}: version {target} cannot serve, {kept}: {error}") from error


def _size(deployment: Object | None) -> int:
    return int(deployment["spec"].get("replicas") or 0) if deployment else 0


def _is_standing(deployment: Object) -> bool:
    """Whether all Pods that it is to have are there."""
    status, size = deployment.get("status") or {}, _size(deployment)
    observed = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    return bool(size and observed and status.get("readyReplicas", 0) >= size)


def _start(rollout: Rollout, target: int, replicas: int, room: Room) -> None:
    rollout.tell(f"{rollout.names.model}: starting {replicas} Pods of version {target}")
    rollout.scale(target, replicas)
    Waiting(rollout.cluster, rollout.names, target, rollout.settings, rollout.tell, room.make).ready()


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
