"""The train step's own Pod: where it is, what it runs, who it is as an owner."""

import os
from dataclasses import dataclass
from pathlib import Path

from nightshift.errors import ConfigurationError
from nightshift.kubernetes.cluster import Cluster
from nightshift.kubernetes.objects import Object

NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
MAIN = "main"
"""The container of a step, in Argo's Pods; if there is none of that name, the first."""


@dataclass(frozen=True)
class OwnPod:
    """The Pod that this process runs in.

    Attributes:
        uid: tells it from an earlier one of its name.
        image: that it runs, as its template names it.
        pull_secrets: for that image.
        owner: an owner reference to it.
    """

    uid: str
    image: str
    pull_secrets: list[Object]
    owner: Object


def own_namespace() -> str:
    """The namespace of this Pod.

    Raises:
        ConfigurationError: this process is in none.
    """
    try:
        return NAMESPACE.read_text().strip()
    except FileNotFoundError:
        raise ConfigurationError(
            "nodes: training on several nodes needs a cluster, and this process is not in a Pod of one; expected 1"
        ) from None


def own_pod(cluster: Cluster) -> OwnPod:
    """Look at it.

    Raises:
        ConfigurationError: there is no Pod of the name that the environment gives.
        ClusterError: the API server refused it or did not answer.
    """
    # A host name is cut after 63 characters, a Pod's name is not.
    name = os.environ.get("KFP_POD_NAME") or os.environ.get("HOSTNAME", "")
    pod = cluster.get("pods", name) if name else None
    if pod is None:
        raise ConfigurationError(f"HOSTNAME: found {name!r}, expected the name of this Pod in {cluster.namespace}")
    containers: list[Object] = pod["spec"]["containers"]
    image = next((one["image"] for one in containers if one["name"] == MAIN), containers[0]["image"])
    uid = str(pod["metadata"]["uid"])
    owner = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid, "controller": False}
    return OwnPod(uid, image, pod["spec"].get("imagePullSecrets") or [], owner | {"blockOwnerDeletion": False})
