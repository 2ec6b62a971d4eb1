"""What serves in a namespace, for people and for programs; reads only."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from nightshift.errors import ServingError
from nightshift.serving.kubernetes.cluster import Cluster
from nightshift.serving.kubernetes.drift import edits
from nightshift.serving.kubernetes.history import History, read_history
from nightshift.serving.kubernetes.names import (
    GRPC_PORT,
    INSTANCE,
    METRICS,
    MODEL,
    OURS,
    Names,
    Object,
    annotation,
    name_of,
    query,
    version_of,
)
from nightshift.serving.kubernetes.objects import CONTAINER


@dataclass(frozen=True)
class ModelStatus:
    """A model in a namespace.

    Attributes:
        model: its name.
        endpoint: HOST:PORT of gRPC, inside the cluster.
        version: that the Service selects; 0: nothing serves.
        ready: Pods of it that are ready.
        desired: Pods of it that there should be.
        since: when it began to serve, UTC, ISO 8601; empty if that is not recorded.
        image: of its model server.
        predecessor: what `rollback` would let serve; 0: nothing.
        predecessor_ready: whether that needs no start of Pods.
        holder: who releases or rolls back right now; empty: nobody.
        drift: what others than Nightshift and the cluster's controllers changed, a sentence each.
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
    """A version that the cluster knows.

    Attributes:
        model: its name.
        version: its number.
        status: serving, earlier, rolled back or pending.
        since: when it began to serve, or was taken back, UTC, ISO 8601; empty if it never did.
        metrics: of its evaluation; empty once its Deployment is gone.
        reason: why it was taken back.
    """

    model: str
    version: int
    status: str
    since: str
    metrics: dict[str, float]
    reason: str


@dataclass(frozen=True)
class _Found:
    """A model's objects."""

    names: Names
    service: Object | None
    deployments: dict[int, Object]
    history: History
    trouble: tuple[str, ...]


def model_statuses(cluster: Cluster, model: str = "") -> list[ModelStatus]:
    """A line a model.

    Raises:
        ServingError: the model is not there.
    """
    holders = {
        name_of(lease): str(lease["spec"].get("holderIdentity") or "") for lease in _list(cluster, "leases", model)
    }
    others = [
        item
        for kind in ("configmaps", "poddisruptionbudgets", "horizontalpodautoscalers")
        for item in _list(cluster, kind, model)
    ]
    return [_status(cluster, found, holders.get(found.names.slug, ""), others) for found in _find(cluster, model)]


def _status(cluster: Cluster, found: _Found, holder: str, others: list[Object]) -> ModelStatus:
    names, history = found.names, found.history
    live, before = found.deployments.get(history.live), found.deployments.get(history.predecessor)
    own = [item for item in others if (item["metadata"].get("labels") or {}).get(INSTANCE) == names.slug]
    objects = [*filter(None, [found.service]), *found.deployments.values(), *own]
    ready, desired = _counts(live)
    before_ready, before_desired = _counts(before)
    return ModelStatus(
        model=names.model,
        endpoint=f"{names.slug}.{cluster.namespace}.svc:{GRPC_PORT}",
        version=history.live,
        ready=ready,
        desired=desired,
        since=history.served[-1].since if history.served else "",
        image=_image(live),
        predecessor=history.predecessor if before else 0,
        predecessor_ready=0 < before_desired <= before_ready,
        holder=holder,
        drift=(*found.trouble, *_missing(found, own), *(edit for item in objects for edit in edits(item))),
    )


def _missing(found: _Found, own: list[Object]) -> Iterable[str]:
    """What a release made and is not there any more."""
    if found.service is None:
        yield f"Service {found.names.slug}: not there, so nothing serves"
    for version in filter(None, (found.history.live, found.history.predecessor)):
        name = found.names.version(version)
        if version not in found.deployments:
            yield f"Deployment {name}: not there"
        for kind in ("ConfigMap", "PodDisruptionBudget"):
            if not any(item["kind"] == kind and version_of(item) == version for item in own):
                yield f"{kind} of {name}: not there"


def version_records(cluster: Cluster, model: str = "") -> list[VersionRecord]:
    """A line a version, the newest of a model first.

    Raises:
        ServingError: the model is not there.
    """
    return [record for found in _find(cluster, model) for record in _records(found)]


def _records(found: _Found) -> Iterable[VersionRecord]:
    history, model = found.history, found.names.model
    since = {entry.version: entry.since for entry in history.served}
    taken = {entry.version: entry for entry in history.withdrawn if entry.version not in since}
    for version in sorted(found.deployments.keys() | since.keys() | taken.keys(), reverse=True):
        metrics = _metrics(found.deployments.get(version))
        if version in taken:
            yield VersionRecord(model, version, "rolled back", taken[version].time, metrics, taken[version].reason)
        elif version == history.live:
            yield VersionRecord(model, version, "serving", since[version], metrics, "")
        elif version in found.deployments:
            status = "earlier" if version in since else "pending"
            yield VersionRecord(model, version, status, since.get(version, ""), metrics, "")


def _find(cluster: Cluster, model: str) -> list[_Found]:
    """Every model that has a Service or a Deployment."""
    services = {_model(item): item for item in _list(cluster, "services", model)}
    deployments: dict[str, dict[int, Object]] = {}
    for item in _list(cluster, "deployments", model):
        deployments.setdefault(_model(item), {})[version_of(item)] = item
    names = sorted(name for name in services.keys() | deployments.keys() if model in ("", name))
    if model and not names:
        raise ServingError(f"namespace {cluster.namespace}: nothing has been released as {model} there")
    return [_found(Names.of(name), services.get(name), deployments.get(name, {})) for name in names]


def _found(names: Names, service: Object | None, deployments: dict[int, Object]) -> _Found:
    try:
        return _Found(names, service, deployments, read_history(service), ())
    except ServingError as error:
        return _Found(names, service, deployments, History(), (str(error),))


def _model(item: Object) -> str:
    return annotation(item, MODEL) or (item["metadata"].get("labels") or {}).get(INSTANCE, "")


def _list(cluster: Cluster, kind: str, model: str) -> list[Object]:
    return cluster.find(kind, query(Names.of(model).labels() if model else OURS))


def _counts(deployment: Object | None) -> tuple[int, int]:
    if deployment is None:
        return 0, 0
    return int((deployment.get("status") or {}).get("readyReplicas", 0)), int(deployment["spec"].get("replicas") or 0)


def _image(deployment: Object | None) -> str:
    containers = deployment["spec"]["template"]["spec"]["containers"] if deployment else []
    return next((str(one["image"]) for one in containers if one["name"] == CONTAINER), "")


def _metrics(deployment: Object | None) -> dict[str, float]:
    try:
        found = json.loads(annotation(deployment, METRICS)) if deployment else {}
    except ValueError:  # changed by hand; it is shown to people only
        return {}
    return dict(found) if isinstance(found, dict) else {}
