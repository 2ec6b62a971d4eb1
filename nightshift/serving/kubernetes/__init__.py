"""Models served by a Kubernetes namespace: releases, rollbacks and status, blue/green, one Deployment a version.

`kubernetes_serving(namespace, store)` is where to begin; it gives a `KubernetesServing`.
"""

from nightshift.kubernetes.cluster import LOOK_SECONDS
from nightshift.serving.kubernetes.release import KubernetesServing, kubernetes_serving

__all__ = ["LOOK_SECONDS", "KubernetesServing", "kubernetes_serving"]
