"""What serves, and which versions there are: the same for a server that shares the store and for a cluster.

No TensorFlow.
"""

from dataclasses import dataclass

from nightshift.errors import StoreError
from nightshift.serving.client import Client
from nightshift.serving.ledger import State
from nightshift.serving.release import serving_version
from nightshift.serving.store import Store


@dataclass(frozen=True)
class ModelStatus:
    """A model that is served.

    Attributes:
        model: its name.
        endpoint: HOST:PORT of gRPC; of a cluster, inside it.
        version: that serves; 0: none.
        ready: servers (Pods) of it that are ready.
        desired: servers of it that there should be.
        since: when it began to serve, UTC, ISO 8601; empty if that is not recorded.
        image: of its model server; empty where there is no image.
        predecessor: what `rollback` would let serve; 0: nothing.
        predecessor_ready: whether that needs no start of Pods and no loading.
        holder: who releases or rolls back right now; empty: nobody, or it cannot be told.
        drift: what is not as releases left it, a sentence each.
    """

    model: str
    endpoint: str
    version: int
    ready: int
    desired: int
    since: str
    image: str
    predecessor: int
    predecessor_ready: bool
    holder: str
    drift: tuple[str, ...]


@dataclass(frozen=True)
class VersionRecord:
    """A version of a model.

    Attributes:
        model: its name.
        version: its number.
        status: serving, earlier (can be rolled back to), refused, rolled back, pending, removed (its files are gone)
            or, in a cluster, retired (it served and its Deployment is gone).
        metrics: of its evaluation; empty if nobody knows them any more.
        since: when it began to serve or was taken back, UTC, ISO 8601; empty if that is not known.
        reason: why it was refused, taken back or removed.
    """

    model: str
    version: int
    status: str
    metrics: dict[str, float]
    since: str = ""
    reason: str = ""


def shared_statuses(store: Store, client: Client, model: str = "") -> list[ModelStatus]:
    """A line a model of a server that shares the store; '': all models.

    Raises:
        StoreError: nothing was released as that.
        ServingError: the server does not answer.
    """
    return [_shared_status(store, client, name) for name in _models(store, model)]


def _shared_status(store: Store, client: Client, model: str) -> ModelStatus:
    state, version = store.state(model), serving_version(client, model)
    began = [event.time for event in store.ledger(model).events() if event.version == version]
    differs = f"the server's label names version {version}, the ledger says {state.stable}"
    return ModelStatus(
        model=model,
        endpoint=client.target,
        version=version,
        ready=int(bool(version)),
        desired=int(bool(state.stable)),
        since=began[-1] if began else "",
        image="",
        predecessor=state.predecessor,
        predecessor_ready=False,
        holder="",
        drift=(differs,) if version != state.stable else (),
    )


def store_records(store: Store, model: str = "") -> list[VersionRecord]:
    """A line a version that was ever published, the newest of a model first; '': of all models.

    Raises:
        StoreError: nothing was released as that.
    """
    return [
        VersionRecord(name, version, _status(state, version), facts["metrics"], "", _reason(state, version))
        for name in _models(store, model)
        for state in [store.state(name)]
        for version, facts in sorted(state.published.items(), reverse=True)
    ]


def _models(store: Store, model: str) -> list[str]:
    names = [name for name in store.models() if model in ("", name)]
    if not names:
        raise StoreError(f"{store.root}: nothing has been released{f' as {model}' if model else ''} there")
    return names


def _status(state: State, version: int) -> str:
    if version == state.stable:
        return "serving"
    if version in state.removed:
        return "removed"
    if version in state.rolled_back:
        return "rolled back"
    if version in state.refused:
        return "refused"
    return "earlier" if version in state.serving else "pending"


def _reason(state: State, version: int) -> str:
    return removal(state, version) if version in state.removed else state.refused.get(version, "")


def removal(state: State, version: int) -> str:
    """When and why a version was removed, and what had become of it before."""
    before = state.refused.get(version)
    return state.removed[version] + (f"; refused before: {before}" if before else "")
