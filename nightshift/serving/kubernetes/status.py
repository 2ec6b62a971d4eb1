"""What serves in a namespace, for people and for programs; reads only."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from nightshift.errors import ServingError
from nightshift.kubernetes.cluster import Cluster
from nightshift.kubernetes.objects import Object, annotation, name_of, query
from nightshift.serving.kubernetes.drift import edits
from nightshift.serving.kubernetes.history import History, read_history
from nightshift.serving.kubernetes.names import GRPC_PORT, INSTANCE, METRICS, MODEL, OURS, Names, version_of
from nightshift.serving.kubernetes.objects import CONTAINER
from nightshift.serving.ledger import State
from nightshift.serving.overview import ModelStatus, VersionRecord, removal
from nightshift.serving.store import Store


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
        for kind in ("ConfigMap", "PodDisruptionBudget") if version == found.history.live else ("ConfigMap",):
            if not any(item["kind"] == kind and version_of(item) == version for item in own):
                yield f"{kind} of {name}: not there"


def version_records(cluster: Cluster, store: Store | None, model: str = "") -> list[VersionRecord]:
    """A line a version, the newest of a model first; with the store at hand, also of those that left the cluster.

    Raises:
        ServingError: the model is not there.
    """
    records: list[VersionRecord] = []
    for found in _find(cluster, model):
        state = store.state(found.names.model) if store else State()
        # A store at hand that does not know what serves here is another one's.
        records += _records(found, state if found.history.live in state.published else State())
    return records


def _records(found: _Found, state: State) -> Iterable[VersionRecord]:
    history, model = found.history, found.names.model
    since = {entry.version: entry.since for entry in history.served}
    taken = {entry.version: entry for entry in history.withdrawn}
    versions = found.deployments.keys() | since.keys() | taken.keys() | state.published.keys()
    for version in sorted(versions, reverse=True):
        metrics = _metrics(found.deployments.get(version)) or state.published.get(version, {}).get("metrics", {})
        if version == history.live:
            yield VersionRecord(model, version, "serving", metrics, since[version])
        elif version in found.deployments:
            yield VersionRecord(
                model, version, "earlier" if version in since else "pending", metrics, since.get(version, "")
            )
        elif version in state.removed:
            yield VersionRecord(model, version, "removed", metrics, "", removal(state, version))
        elif version in taken:
            yield VersionRecord(model, version, "rolled back", metrics, taken[version].time, taken[version].reason)
        elif version in state.refused:
            status = "rolled back" if version in state.rolled_back else "refused"
            yield VersionRecord(model, version, status, metrics, "", state.refused[version])
        elif version in since or version in state.serving:
            yield VersionRecord(model, version, "retired", metrics, since.get(version, ""))
        else:
            yield VersionRecord(model, version, "pending", metrics)


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
