"""The project's overlays under other names: kustomize overlays on top of them, written into a folder."""

import json
import os
from pathlib import Path
from typing import Any

import images

MANIFESTS = Path(__file__).parent.parent.parent / "manifests"
QUICK = {"ready-seconds": "90", "unschedulable-seconds": "10", "bake-seconds": "2"}
"""How releases go in tests; the minutes of the real ones would prove the same."""

CPU = "20m"  # a server's request: a small node has other things to do

SERVE = {"name": "localhost/nightshift/serve", "newName": images.name("serve").rpartition(":")[0], "newTag": images.TAG}


def write_overlay(folder: Path, overlay: str, runs: str, serving: str) -> Path:
    """Write an overlay on top of `manifests/overlays/OVERLAY`; gives the folder.

    Args:
        folder: where to.
        overlay: its name.
        runs: the namespace of runs.
        serving: the namespace of model servers.
    """
    base, dev = MANIFESTS / "overlays" / overlay, overlay == "dev"
    rules = {f"/metadata/annotations/nightshift~1{name}": value for name, value in QUICK.items()}
    server = _patch("PodTemplate", rules | {"/template/spec/containers/0/resources/requests/cpu": CPU})
    _write(
        folder / "runs",
        base / "runs",
        namespace=runs,
        patches=_volume("nightshift-workspace", runs, node_folder(runs)) if dev else [],
    )
    _write(
        folder / "serving",
        base / "serving",
        namespace=serving,
        patches=[server, *(_volume("nightshift-models", runs, f"{node_folder(runs)}/models") if dev else [])],
        images=[SERVE],
    )
    component = os.path.relpath(MANIFESTS / "components" / "namespaces", folder.resolve())
    content = {"kind": "Kustomization", "resources": ["runs", "serving"], "components": [component]}
    (folder / "kustomization.yaml").write_text(json.dumps(content, indent=1))
    return folder


def node_folder(runs: str) -> str:
    """The node's folder that holds the workspace of an installation."""
    return f"/var/lib/{runs}"


def _volume(name: str, suffix: str, path: str) -> list[dict[str, Any]]:
    """Another name for a PersistentVolume, which belongs to no namespace, and another folder of the node."""
    renamed = f"{name}-{suffix}"
    return [
        _patch("PersistentVolume", {"/metadata/name": renamed, "/spec/hostPath/path": path}),
        _patch("PersistentVolumeClaim", {"/spec/volumeName": renamed}),
    ]


def _patch(kind: str, values: dict[str, str]) -> dict[str, Any]:
    changes = [{"op": "add", "path": path, "value": value} for path, value in values.items()]
    return {"target": {"kind": kind}, "patch": json.dumps(changes), "options": {"allowNameChange": True}}


def _write(folder: Path, base: Path, **content: Any) -> None:
    folder.mkdir(parents=True)
    resources = {"kind": "Kustomization", "resources": [os.path.relpath(base, folder.resolve())]}
    (folder / "kustomization.yaml").write_text(json.dumps(resources | content, indent=1))
