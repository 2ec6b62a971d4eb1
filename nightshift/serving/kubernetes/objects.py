"""The objects that a release makes, as JSON: pure functions of the model, the version and the namespace's settings."""

import copy
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from google.protobuf import text_format

from nightshift.errors import ConfigurationError
from nightshift.kubernetes.objects import Object, annotation
from nightshift.serving.config import model_config, server_config
from nightshift.serving.kubernetes.history import History
from nightshift.serving.kubernetes.names import (
    CODE_VERSION,
    DATASET,
    GRPC_PORT,
    INSTANCE,
    METRICS,
    MODEL,
    RECIPE,
    REPLICAS,
    REST_PORT,
    Names,
)
from nightshift.serving.kubernetes.settings import TEMPLATE, ServingSettings
from nightshift.serving.store import STABLE

CONTAINER = "server"
CONFIG_FILE = "models.config"
CONFIG_FOLDER = "/etc/nightshift"
CONFIG_VOLUME = "nightshift-models"
CONNECTION_AGE_MS, CONNECTION_GRACE_MS = 2000, 60_000
DRAIN_SECONDS = 8
"""That a Pod goes on serving after it was told to end: kube-proxy hears of it, and open connections age out."""

GRACE_SECONDS = 40
"""That a Pod has to end, draining included: TensorFlow Serving ignores SIGTERM and takes all of it."""

START_MARGIN_SECONDS = 60
"""The release gives a version up before its Pods' startup probes do, so that its reason is the one told."""

CPU_UTILIZATION = 70
"""Percent of the requested CPU that autoscaling aims at."""


def flags() -> list[str]:
    """The model server's flags, the same for TensorFlow Serving and the embedded server."""
    age = f"grpc.max_connection_age_ms={CONNECTION_AGE_MS},grpc.max_connection_age_grace_ms={CONNECTION_GRACE_MS}"
    return [
        f"--port={GRPC_PORT}",
        f"--rest_api_port={REST_PORT}",
        f"--model_config_file={CONFIG_FOLDER}/{CONFIG_FILE}",
        # The Pod serves one version for as long as it lives.
        "--model_config_file_poll_wait_seconds=0",
        "--file_system_poll_wait_seconds=0",
        "--max_num_load_retries=1",
        "--load_retry_interval_micros=1000000",
        # At its start a server learns of a version and its label at once.
        "--allow_version_labels_for_unavailable_models=true",
        "--enable_grpc_healthcheck_service=true",
        # Open connections stay on the Pods they were made to; these make clients connect again, to what serves now.
        f"--grpc_channel_arguments={age}",
    ]


def models_config(model: str, version: int, store: str) -> str:
    """A ModelServerConfig in text form: this version and no other, under the label `stable`."""
    config = model_config(model, f"{store}/{model}", versions=[version], labels={STABLE: version})
    return text_format.MessageToString(server_config([config]))


def config_map(names: Names, version: int, store: str) -> Object:
    """The version's models.config; named by its content, so it can be immutable."""
    text = models_config(names.model, version, store)
    suffix = hashlib.sha256(text.encode()).hexdigest()[:10]
    metadata = _metadata(names, f"{names.version(version)}-{suffix}", version)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "immutable": True,
        "data": {CONFIG_FILE: text},
    }


def deployment(
    names: Names,
    version: int,
    template: Object,
    settings: ServingSettings,
    *,
    replicas: int,
    configuration: str,
    facts: Mapping[str, Any],
) -> Object:
    """The Deployment of a version.

    Args:
        names: of the model.
        version: which one.
        template: the namespace's Pod template.
        settings: beside it.
        replicas: Pods to begin with.
        configuration: name of its ConfigMap.
        facts: the ledger's, of when it was published.

    Raises:
        ConfigurationError: the template has no container `server`, or sets what a release sets.
    """
    metadata = _metadata(names, names.version(version), version)
    metadata["annotations"] |= {
        METRICS: json.dumps(facts.get("metrics", {})),
        RECIPE: str(facts.get("recipe", "")),
        DATASET: str(facts.get("dataset", "")),
        CODE_VERSION: str(facts.get("code_version", "")),
        REPLICAS: str(settings.replicas),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": names.selector(version)},
            "template": _pod(names, version, template, settings, configuration),
            # What serves stays whole while Pods are replaced, by a node's draining or by hand.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "progressDeadlineSeconds": settings.ready_seconds,
            "revisionHistoryLimit": 1,
        },
    }


def _pod(names: Names, version: int, template: Object, settings: ServingSettings, configuration: str) -> Object:
    pod = copy.deepcopy(template)
    metadata = pod.setdefault("metadata", {})
    metadata.pop("creationTimestamp", None)
    metadata["labels"] = (metadata.get("labels") or {}) | names.labels(version)
    spec = pod["spec"]
    _serve(_container(spec), names.model, settings)
    spec.setdefault("volumes", []).append({"name": CONFIG_VOLUME, "configMap": {"name": configuration}})
    spec["terminationGracePeriodSeconds"] = GRACE_SECONDS
    spec.setdefault("topologySpreadConstraints", [_spread(names.selector(version))])
    return pod


def _container(spec: Object) -> Object:
    """The model server's container."""
    found: list[Object] = [one for one in spec.get("containers") or [] if one["name"] == CONTAINER]
    if not found:
        raise ConfigurationError(f"PodTemplate {TEMPLATE}: spec.containers: found none of the name {CONTAINER!r}")
    return found[0]


def _serve(container: Object, model: str, settings: ServingSettings) -> None:
    """Add to the template's container what makes it serve one version."""
    arguments = container.get("args") or []
    ours = {flag.split("=")[0] for flag in flags()}
    for field in ("ports", "startupProbe", "readinessProbe", "livenessProbe", "lifecycle"):
        if container.get(field):
            raise ConfigurationError(f"PodTemplate {TEMPLATE}: container {CONTAINER}: {field}: a release sets it")
    for argument in arguments:
        if argument.split("=")[0] in ours:
            raise ConfigurationError(
                f"PodTemplate {TEMPLATE}: container {CONTAINER}: args: {argument}: a release sets it"
            )
    container["args"] = [*arguments, *flags()]
    container["ports"] = [
        {"name": "grpc", "containerPort": GRPC_PORT, "protocol": "TCP"},
        {"name": "http", "containerPort": REST_PORT, "protocol": "TCP"},
    ]
    # Of the label and not of the model alone: that answers also when no version could be loaded.
    labelled = {"httpGet": {"path": f"/v1/models/{model}/labels/{STABLE}/metadata", "port": REST_PORT}}
    patience = settings.ready_seconds + START_MARGIN_SECONDS
    container["startupProbe"] = labelled | {"periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": patience}
    container["readinessProbe"] = labelled | {"periodSeconds": 3, "timeoutSeconds": 5, "failureThreshold": 3}
    container["livenessProbe"] = {
        "grpc": {"port": GRPC_PORT},
        "periodSeconds": 10,
        "timeoutSeconds": 5,
        "failureThreshold": 6,
    }
    container["lifecycle"] = {"preStop": {"sleep": {"seconds": DRAIN_SECONDS}}}
    mount = {"name": CONFIG_VOLUME, "mountPath": CONFIG_FOLDER, "readOnly": True}
    container["volumeMounts"] = [*(container.get("volumeMounts") or []), mount]


def _spread(selector: Mapping[str, str]) -> Object:
    """Over nodes where there are several: one node's end is not the version's."""
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": dict(selector)},
    }


def disruption_budget(names: Names, version: int) -> Object:
    """Half of a version's Pods stay while nodes are drained; there is one for what serves only."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _metadata(names, names.version(version), version),
        "spec": {
            "minAvailable": "50%",
            "selector": {"matchLabels": names.selector(version)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def service(names: Names, version: int, history: History) -> Object:
    """The model's Service; its selector is what says which version serves."""
    metadata = _metadata(names, names.slug)
    metadata["annotations"] |= history.annotations()
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "selector": names.selector(version),
            "ports": [
                {"name": "grpc", "port": GRPC_PORT, "targetPort": GRPC_PORT, "protocol": "TCP"},
                {"name": "http", "port": REST_PORT, "targetPort": REST_PORT, "protocol": "TCP"},
            ],
        },
    }


def service_change(found: Object, names: Names, version: int, history: History) -> Object:
    """What makes a Service in the state that was found select a version; keys that others put there go."""
    selector: dict[str, str | None] = dict.fromkeys(found["spec"].get("selector") or {})
    return {
        "metadata": {
            "resourceVersion": found["metadata"]["resourceVersion"],
            "annotations": history.annotations(),
        },
        "spec": {"selector": selector | names.selector(version)},
    }


def autoscaler(names: Names, version: int, settings: ServingSettings) -> Object:
    """The model's HorizontalPodAutoscaler, of the version that serves."""
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": _metadata(names, names.slug),
        "spec": {
            "scaleTargetRef": scale_target(names, version),
            "minReplicas": settings.replicas,
            "maxReplicas": settings.max_replicas,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {
                        "name": "cpu",
                        "target": {"type": "Utilization", "averageUtilization": CPU_UTILIZATION},
                    },
                }
            ],
        },
    }


def scale_target(names: Names, version: int) -> Object:
    """The Deployment that is scaled."""
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": names.version(version)}


def first_size(blue: Object | None, settings: ServingSettings) -> int:
    """How many Pods a new version begins with: as many as the one that serves has now.

    Where nobody changed that number since its release, neither a person nor autoscaling, the setting of today counts.
    """
    if blue is None:
        return settings.replicas
    count = int(blue["spec"].get("replicas", 0))
    untouched = annotation(blue, REPLICAS) == str(count)
    return settings.replicas if untouched or not count else count


def is_ours(item: Object, names: Names) -> bool:
    """Whether an object belongs to this model; another of the same slug has another name."""
    labels = item["metadata"].get("labels") or {}
    return labels.get(INSTANCE) == names.slug and annotation(item, MODEL) == names.model


def _metadata(names: Names, name: str, version: int = 0) -> Object:
    return {"name": name, "labels": names.labels(version), "annotations": {MODEL: names.model}}
