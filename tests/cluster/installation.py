"""The manifests, installed a second time: in namespaces of the tests' own, taken away afterwards."""

import contextlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import images
import yaml
from kubectl import Kubectl, until

ROOT = Path(__file__).parent.parent.parent
OVERLAYS = ROOT / "manifests" / "overlays"
PROGRAMS = Path(__file__).parent / "programs"
SHARED_PROGRAMS = (ROOT / "tests" / "serving" / "version_folder.py",)
PREFIX = "nightshift-test"
MANAGED = "app.kubernetes.io/managed-by=nightshift"
KINDS = ("deployments", "replicasets", "pods", "services", "configmaps", "poddisruptionbudgets", "horizontalpodautoscalers")
UNPRIVILEGED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
"""What the Pod Security standard `restricted` asks of a container, and a root that cannot be written."""
NOBODY = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}

Object = dict[str, Any]


@dataclass(frozen=True)
class Installation:
    """The manifests in a cluster.

    Attributes:
        cluster: kubectl for all of it.
        runs: the namespace of pipeline runs.
        serving: the namespace of model servers.
        asking: a namespace for Pods that ask them.
    """

    cluster: Kubectl
    runs: str
    serving: str
    asking: str

    @property
    def kubectl(self) -> Kubectl:
        """kubectl where models are served."""
        return self.cluster.within(self.serving)

    def address(self, model: str) -> str:
        """HOST:PORT of a model's Service."""
        return f"{model}.{self.serving}.svc:8500"

    def managed(self, kind: str, model: str) -> list[Object]:
        """What releases of a model made, of a kind."""
        selector = f"{MANAGED},app.kubernetes.io/instance={model}"
        found: list[Object] = self.kubectl.get(kind, "-l", selector)
        return found

    def pods(self, model: str, version: int) -> list[Object]:
        """The Pods of a version that are not on their way out."""
        found = self.managed("pods", model)
        return [
            pod
            for pod in found
            if pod["metadata"]["labels"]["app.kubernetes.io/version"] == str(version)
            and "deletionTimestamp" not in pod["metadata"]
        ]

    def selected(self, model: str) -> int:
        """The version that a model's Service selects."""
        return int(self.kubectl.get("service", model)["spec"]["selector"]["app.kubernetes.io/version"])

    @contextlib.contextmanager
    def template(self, change: Object) -> Iterator[None]:
        """Another PodTemplate `server` for the length of the block: a strategic merge patch."""
        before = self.kubectl.get("podtemplate", "server")
        self.kubectl("patch", "podtemplate", "server", "--type=strategic", "-p", json.dumps(change))
        try:
            yield
        finally:
            now = self.kubectl.get("podtemplate", "server")
            now["template"] = before["template"]
            now["metadata"]["annotations"] = before["metadata"].get("annotations", {})
            self.kubectl("replace", "-f", "-", stdin=json.dumps(now))


def rendered(cluster: Kubectl, overlay: str) -> list[Object]:
    """What an overlay says."""
    return [item for item in yaml.safe_load_all(cluster("kustomize", str(OVERLAYS / overlay))) if item]


def namespaces(objects: list[Object]) -> tuple[str, str]:
    """Where runs happen, and where models are served."""

    def of(kind: str, name: str) -> str:
        return next(
            str(item["metadata"]["namespace"])
            for item in objects
            if (item["kind"], item["metadata"]["name"]) == (kind, name)
        )

    return of("ServiceAccount", "nightshift-runner"), of("PodTemplate", "server")


def renamed(objects: list[Object], names: dict[str, str], suffix: str) -> list[Object]:
    """The same objects in other namespaces; what belongs to none gets a name and a folder of its own."""
    wide = {item["metadata"]["name"] for item in objects if "namespace" not in item["metadata"]} - names.keys()

    def text(key: str, value: str) -> str:
        if key in ("namespace", "kubernetes.io/metadata.name"):
            return names.get(value, value)
        if key in ("name", "volumeName") and value in wide:
            return f"{value}-{suffix}"
        if key == "path" and value.startswith("/var/lib/"):
            return f"{value}-{suffix}"
        if value.startswith("kubernetes:"):
            return "kubernetes:" + names.get(value.removeprefix("kubernetes:"), "")
        return value

    def walk(key: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: walk(name, inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [walk(key, inner) for inner in value]
        return text(key, value) if isinstance(value, str) else value

    found = [walk("", item) for item in objects]
    for item in found:
        if item["kind"] == "Namespace":
            item["metadata"]["name"] = names.get(item["metadata"]["name"], item["metadata"]["name"])
    return found


@contextlib.contextmanager
def installed(cluster: Kubectl) -> Iterator[Installation]:
    """The overlay `dev` under names of its own, for the length of the block."""
    suffix = secrets.token_hex(3)
    objects = rendered(cluster, "dev")
    runs, serving = namespaces(objects)
    installation = Installation(cluster, *(f"{PREFIX}-{suffix}-{name}" for name in ("runs", "serving", "asking")))
    names = {runs: installation.runs, serving: installation.serving}
    objects = renamed(objects, names, suffix)
    present = {item["metadata"]["name"] for item in objects if item["kind"] == "Namespace"}
    missing = [namespace(name) for name in (installation.runs, installation.asking) if name not in present]
    try:
        cluster.apply(*missing, *(item for item in objects if item["kind"] == "Namespace"))
        cluster.apply(*(item for item in objects if item["kind"] != "Namespace"))
        for place in (installation.serving, installation.asking):
            cluster.within(place).apply(programs())
        yield installation
    finally:
        wide = [item for item in objects if "namespace" not in item["metadata"] and item["kind"] != "Namespace"]
        cluster("delete", "namespace", *vars_of(installation), "--ignore-not-found", timeout=300)
        for item in wide:
            cluster("delete", item["kind"], item["metadata"]["name"], "--ignore-not-found")


def vars_of(installation: Installation) -> list[str]:
    """Its namespaces."""
    return [installation.runs, installation.serving, installation.asking]


def namespace(name: str) -> Object:
    """A namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def programs() -> Object:
    """What runs in the tests' Pods, as a ConfigMap."""
    files = [*PROGRAMS.glob("*.py"), *SHARED_PROGRAMS]
    content = {file.name: file.read_text() for file in files}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "programs"}, "data": content}
