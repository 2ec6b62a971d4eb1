"""The manifests, installed a second time: in namespaces of the tests' own, taken away afterwards."""

import contextlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import images
from kubectl import Kubectl
from overlays import node_folder, write_overlay

HERE = Path(__file__).parent
PROGRAMS = (*sorted((HERE / "programs").glob("*.py")), HERE.parent / "serving" / "version_folder.py")
PREFIX = "nightshift-test"
MANAGED = "app.kubernetes.io/managed-by=nightshift,app.kubernetes.io/name=model-server"
VERSION = "app.kubernetes.io/version"
KINDS = "deployments,services,configmaps,poddisruptionbudgets,horizontalpodautoscalers,leases"
USER = 65532  # of the images, and of whoever writes the workspace

Object = dict[str, Any]


@dataclass(frozen=True)
class Installation:
    """The manifests in a cluster.

    Attributes:
        cluster: kubectl for all of it.
        name: what the names of its namespaces begin with.
        overlay: the folder with the kustomization.
        applied: what kubectl printed when it was applied.
        warned: what it said beside that.
    """

    cluster: Kubectl
    name: str
    overlay: Path
    applied: str = ""
    warned: str = ""

    @property
    def runs(self) -> Kubectl:
        """kubectl where runs happen."""
        return self.cluster.within(f"{self.name}-runs")

    @property
    def serving(self) -> Kubectl:
        """kubectl where models are served."""
        return self.cluster.within(f"{self.name}-serving")

    @property
    def asking(self) -> Kubectl:
        """kubectl for a namespace of clients."""
        return self.cluster.within(f"{self.name}-asking")

    def address(self, model: str) -> str:
        """HOST:PORT of a model's Service."""
        return f"{model}.{self.serving.namespace}.svc:8500"

    def made(self, kind: str, model: str) -> list[Object]:
        """What releases of a model made, of a kind."""
        found: list[Object] = self.serving.get(kind, "-l", f"{MANAGED},app.kubernetes.io/instance={model}")
        return found

    def pods(self, model: str, version: int) -> list[Object]:
        """A version's Pods that are not on their way out."""
        return [
            pod
            for pod in self.made("pods", model)
            if pod["metadata"]["labels"][VERSION] == str(version) and "deletionTimestamp" not in pod["metadata"]
        ]

    def selected(self, model: str) -> int:
        """The version that a model's Service selects."""
        return int(self.serving.get("service", model)["spec"]["selector"][VERSION])

    @contextlib.contextmanager
    def model(self, name: str) -> Iterator[str]:
        """A model's name for the length of the block; what releases of it made goes then, and its Pods at once."""
        labels = f"{MANAGED},app.kubernetes.io/instance={name}"
        try:
            yield name
        finally:
            self.serving("delete", KINDS, "-l", labels, "--ignore-not-found")
            # Nobody asks any more: without the seconds in which they would finish what they have begun.
            self.serving("delete", "pods", "-l", labels, "--grace-period=1", "--ignore-not-found")

    @contextlib.contextmanager
    def server(self, container: Object, **annotations: str) -> Iterator[None]:
        """Other model servers for the length of the block: a change of their container, and of the settings."""
        kubectl = self.serving
        before = kubectl.get("podtemplate", "server")
        change = {
            "metadata": {
                "annotations": {f"nightshift/{key.replace('_', '-')}": value for key, value in annotations.items()}
            },
            "template": {"spec": {"containers": [{"name": "server"} | container]}},
        }
        kubectl("patch", "podtemplate", "server", "--type=strategic", "-p", json.dumps(change))
        try:
            yield
        finally:
            now = kubectl.get("podtemplate", "server")
            now["template"], now["metadata"]["annotations"] = before["template"], before["metadata"]["annotations"]
            # As it is, without what kubectl would note of it: the overlay is to be found as it was applied.
            path = f"/api/v1/namespaces/{kubectl.namespace}/podtemplates/server"
            kubectl("replace", "--raw", path, "-f", "-", stdin=json.dumps(now))


@contextlib.contextmanager
def installed(cluster: Kubectl, folder: Path) -> Iterator[Installation]:
    """The overlay `dev` under names of its own, for the length of the block; its kustomization is in the folder."""
    found = Installation(cluster, f"{PREFIX}-{secrets.token_hex(3)}", folder)
    workspace = node_folder(found.runs.namespace)
    write_overlay(folder, "dev", found.runs.namespace, found.serving.namespace)
    try:
        cluster.apply(_namespace(found.runs), _namespace(found.asking, {"nightshift/client": "true"}))
        _as_root(found.runs, "prepare", workspace, f"mkdir -p /node/models && chown -R {USER}:{USER} /node")
        done = cluster.attempt("apply", "-k", str(folder))
        assert not done.returncode, done.stderr
        found.asking.apply(_programs())
        found.runs.apply(_programs())
        yield replace(found, applied=done.stdout, warned=done.stderr)
    finally:
        _take_away(found, folder, Path(workspace))


def _take_away(found: Installation, folder: Path, workspace: Path) -> None:
    for kubectl in (found.serving, found.asking, found.runs):
        kubectl("delete", "deployments", "--all", "--ignore-not-found")
        kubectl("delete", "pods", "--all", "--grace-period=1", "--ignore-not-found")
    _as_root(found.runs, "remove", str(workspace.parent), f"rm -rf /node/{workspace.name}")
    places = [found.serving.namespace, found.asking.namespace, found.runs.namespace]
    found.cluster("delete", "namespace", *places, "--ignore-not-found", timeout=300)
    found.cluster("delete", "-k", str(folder), "--ignore-not-found", timeout=300)


def _namespace(kubectl: Kubectl, labels: dict[str, str] | None = None) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": kubectl.namespace, "labels": labels or {}}}


def _programs() -> Object:
    """What runs in the tests' Pods."""
    content = {file.name: file.read_text() for file in PROGRAMS}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "programs"}, "data": content}


def _as_root(kubectl: Kubectl, name: str, folder: str, script: str) -> None:
    """Do on the node what whoever looks after it does by hand (docs/kubernetes.md)."""
    container = {
        "name": name,
        "image": images.name("serve"),
        "command": ["sh", "-euc", script],
        "securityContext": {"runAsUser": 0, "runAsGroup": 0},
        "volumeMounts": [{"name": "node", "mountPath": "/node"}],
    }
    volume = {"name": "node", "hostPath": {"path": folder, "type": "DirectoryOrCreate"}}
    spec = {"restartPolicy": "Never", "containers": [container], "volumes": [volume]}
    kubectl.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
    kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", f"pod/{name}", "--timeout=120s", timeout=150)
    kubectl("delete", "pod", name, "--grace-period=1")
