"""Pods of the tests' own, with no more rights than the standard `restricted` leaves them."""

from typing import Any

import images

PROGRAMS = "/programs"


def pod(name: str, target: str, command: list[str], *, labels: dict[str, str] | None = None, **container: Any) -> Any:
    """A Pod that runs a command in an image of ours; it can write to /tmp, and the tests' programs are there.

    Args:
        name: its name.
        target: which image.
        command: what it runs.
        labels: its labels.
        container: more of its container: env, envFrom, volumeMounts.
    """
    mounts = [{"name": "programs", "mountPath": PROGRAMS}, {"name": "tmp", "mountPath": "/tmp"}]
    unprivileged = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    main = {
        "name": "main",
        "image": images.name(target),
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "securityContext": unprivileged,
        "resources": {"requests": {"cpu": "10m", "memory": "128Mi"}, "limits": {"memory": "2Gi"}},
        **container,
        "volumeMounts": mounts + container.get("volumeMounts", []),
    }
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 5,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [main],
        "volumes": [
            {"name": "programs", "configMap": {"name": "programs"}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
        ],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels or {}}, "spec": spec}
