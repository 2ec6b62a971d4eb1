"""How a namespace serves: its PodTemplate `server`, and the annotations there."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from nightshift.errors import ConfigurationError
from nightshift.kubernetes.cluster import Cluster
from nightshift.kubernetes.objects import Object

TEMPLATE = "server"
PREFIX = "nightshift/"


@dataclass(frozen=True)
class ServingSettings:
    """What a namespace says of its model servers; each field is the annotation `nightshift/` with `-` for `_`.

    Attributes:
        store: the root of the store as the servers see it, an absolute path or gs://BUCKET/PREFIX.
        replicas: Pods of a model's first version, and the least that autoscaling leaves.
        max_replicas: the most that autoscaling makes; no more than `replicas`: no autoscaling.
        keep: Deployments that are kept, of the versions that served last, the present one included.
        ready_seconds: that a version may take until all its Pods are ready.
        unschedulable_seconds: that a Pod may wait for a node, or for room in the namespace's quota.
        bake_seconds: that a version is watched once it serves.
        answer_seconds: that a request of the golden batch may take, the model warm.
    """

    store: str = "/models"
    replicas: int = 1
    max_replicas: int = 0
    keep: int = 3
    ready_seconds: int = 300
    unschedulable_seconds: int = 60
    bake_seconds: int = 30
    answer_seconds: float = 1.0

    @classmethod
    def of(cls, annotations: Mapping[str, str]) -> "ServingSettings":
        """Read them.

        Raises:
            ConfigurationError: an annotation of ours is none of the fields, or its value cannot be used.
        """
        least = {"replicas": 1, "max-replicas": 0, "keep": 2, "ready-seconds": 1, "unschedulable-seconds": 0}
        least |= {"bake-seconds": 0}
        found: dict[str, str | int | float] = {}
        for key, text in annotations.items():
            name = key.removeprefix(PREFIX)
            if name == key:
                continue
            if name in least:
                value: str | int | float = _whole(key, text, least[name])
            elif name == "answer-seconds":
                value = _seconds(key, text)
            elif name == "store":
                value = _root(key, text)
            else:
                known = ", ".join(PREFIX + field.replace("_", "-") for field in cls.__dataclass_fields__)
                raise _wrong(key, text, f"one of {known}")
            found[name.replace("-", "_")] = value
        return cls(**found)  # type: ignore[arg-type]


def read_template(cluster: Cluster) -> tuple[Object, ServingSettings]:
    """The Pod template that a version's Pods are made from, and the settings beside it.

    Raises:
        ConfigurationError: there is none, or a setting cannot be used.
    """
    found = cluster.get("podtemplates", TEMPLATE)
    if found is None:
        raise ConfigurationError(
            f"namespace {cluster.namespace}: no PodTemplate {TEMPLATE!r}, which says how models are served there; "
            "apply the manifests first"
        )
    return found["template"], ServingSettings.of(found["metadata"].get("annotations") or {})


def _whole(key: str, text: str, least: int) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text) or int(text) < least:
        raise _wrong(key, text, f"a whole number of at least {least}")
    return int(text)


def _seconds(key: str, text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) or not float(text):
        raise _wrong(key, text, "a number of seconds")
    return float(text)


def _root(key: str, text: str) -> str:
    if not re.fullmatch(r"(/|gs://)[^\s]+", text):
        raise _wrong(key, text, "an absolute path or gs://BUCKET/PREFIX")
    return text.rstrip("/")


def _wrong(key: str, text: str, expected: str) -> ConfigurationError:
    return ConfigurationError(f"PodTemplate {TEMPLATE}: annotation {key}: found {text!r}, expected {expected}")
