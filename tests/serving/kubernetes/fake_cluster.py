"""A namespace in memory, with the parts of the API server and its controllers that releases rest on.

Objects have resource versions, generations and owners of fields; changes are merged as RFC 7396 says; a Deployment has
its Pods at once. The process that asks can be killed after any of its changes.
"""

import copy
import itertools
import time
from datetime import UTC, datetime

from nightshift.kubernetes.asking import ClusterError
from nightshift.kubernetes.cluster import CONFLICT, NOT_FOUND
from nightshift.serving.kubernetes.names import VERSION

KINDS = {
    "configmaps": "ConfigMap",
    "deployments": "Deployment",
    "horizontalpodautoscalers": "HorizontalPodAutoscaler",
    "leases": "Lease",
    "poddisruptionbudgets": "PodDisruptionBudget",
    "services": "Service",
}
READY = [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "True"}]


class KilledError(BaseException):
    """The process that asked is no more."""


class FakeCluster:
    """Stands for nightshift.kubernetes.cluster.Cluster."""

    def __init__(self, annotations=None):
        self.namespace = "serving"
        self.objects = {}
        self.pods = {}  # version -> a function of its Pod, for those that are not simply ready
        self.failures = {}  # version -> a Deployment's condition ReplicaFailure
        self.denied = {}  # kind -> message, of what may be neither made nor changed
        self.denied_to_get = {}  # kind -> message
        self.changes = []
        self.die_after = None
        self.dead = False
        self._numbers = itertools.count(1)
        container = {"name": "server", "image": "server:1"}
        template = {"metadata": {"labels": {"team": "vision"}}, "spec": {"containers": [container]}}
        self.template = {"metadata": {"name": "server", "annotations": annotations or {}}, "template": template}

    # What the cluster's client offers.

    def get(self, kind, name):
        self.alive()
        if kind in self.denied_to_get:
            raise ClusterError(self.denied_to_get[kind], 403)
        if kind == "podtemplates":
            return copy.deepcopy(self.template)
        found = self.objects.get((kind, name))
        return self._read(kind, found) if found else None

    def find(self, kind, selector="", fields=""):
        self.alive()
        if kind == "events":
            return []
        if kind == "pods":
            return self._pods(selector)
        wanted = dict(pair.split("=") for pair in selector.split(",") if pair)
        found = [item for (one, _), item in sorted(self.objects.items()) if one == kind and _matches(item, wanted)]
        return [self._read(kind, item) for item in found]

    def follow(self, kind, selector, *, tick):
        while True:
            yield self._pods(selector) if kind == "pods" else self.find(kind, selector)
            time.sleep(0.005)

    def logs(self, pod, container, *, previous):
        return f"{'the last' if previous else 'present'} words of {pod}"

    def create(self, kind, body, *, dry_run=False):
        self.alive()
        name = body["metadata"]["name"]
        if kind in self.denied:
            raise ClusterError(self.denied[kind], 403)
        if (kind, name) in self.objects:
            return None
        made = copy.deepcopy(body)
        made["metadata"] |= {"generation": 1, "managedFields": []}
        if kind == "services":
            made["spec"]["clusterIP"] = "127.0.0.1"
        self._write("create", kind, name, made)
        return self._read(kind, self.objects[kind, name])

    def patch(self, kind, name, change):
        self.alive()
        if kind in self.denied:
            raise ClusterError(self.denied[kind], 403)
        found = self._present(kind, name, change)
        merged = _merged(found, change)
        if merged.get("spec") != found.get("spec"):
            merged["metadata"]["generation"] += 1
        self._write("patch", kind, name, merged)
        return self._read(kind, self.objects[kind, name])

    def replace(self, kind, name, body):
        self._present(kind, name, body)
        self._write("replace", kind, name, copy.deepcopy(body))
        return self._read(kind, self.objects[kind, name])

    def delete(self, kind, name):
        self.alive()
        if (kind, name) in self.objects:
            self._write("delete", kind, name, None)

    # What tests do to it.

    def edit(self, kind, name, change, manager="kubectl-edit"):
        """A person changes an object by hand."""
        found = self.objects[kind, name]
        merged = _merged(found, change)
        entry = {
            "manager": manager,
            "operation": "Update",
            "time": datetime.now(UTC).isoformat(),
            "fieldsV1": _fields(change),
        }
        merged["metadata"]["managedFields"].append(entry)
        merged["metadata"]["generation"] += 1
        merged["metadata"]["resourceVersion"] = str(next(self._numbers))
        self.objects[kind, name] = merged

    def names(self, kind):
        return sorted(name for one, name in self.objects if one == kind)

    def replicas(self):
        """A version to the Pods that it is to have."""
        found = [item for (kind, _), item in self.objects.items() if kind == "deployments"]
        return {int(item["metadata"]["labels"][VERSION]): item["spec"]["replicas"] for item in found}

    def revive(self):
        """Another process comes; the Lease of the dead one has run out."""
        self.dead, self.die_after, self.changes = False, None, []
        for (kind, _), item in self.objects.items():
            if kind == "leases":
                item["spec"]["holderIdentity"] = ""

    def step(self, name):
        """Something has happened, and here the process may be killed."""
        self.changes.append(name)
        if len(self.changes) == self.die_after:
            self.dead = True
            self.alive()

    # How it works.

    def alive(self):
        if self.dead:
            raise KilledError

    def _present(self, kind, name, body):
        self.alive()
        found = self.objects.get((kind, name))
        if found is None:
            raise ClusterError(f"{kind} {name}: not found", NOT_FOUND)
        wanted = body["metadata"].get("resourceVersion") if "metadata" in body else None
        if wanted not in (None, found["metadata"]["resourceVersion"]):
            raise ClusterError(f"{kind} {name}: the object has been modified", CONFLICT)
        return copy.deepcopy(found)

    def _write(self, verb, kind, name, item):
        if item is None:
            del self.objects[kind, name]
        else:
            item["metadata"]["resourceVersion"] = str(next(self._numbers))
            self.objects[kind, name] = item
        if kind != "leases":  # they are renewed as time goes by
            self.step(f"{verb} {kind} {name}")

    def _read(self, kind, item):
        found = copy.deepcopy(item) | {"kind": KINDS[kind]}
        if kind == "deployments":
            pods = [pod for pod in self._pods_of(found) if pod["status"]["conditions"] == READY]
            count = found["spec"]["replicas"]
            found["status"] = {"observedGeneration": found["metadata"]["generation"], "readyReplicas": len(pods)}
            found["status"] |= {"replicas": count, "updatedReplicas": count}
            failure = self.failures.get(int(found["metadata"]["labels"][VERSION]))
            if failure:
                found["status"] |= {"replicas": 0, "readyReplicas": 0, "updatedReplicas": 0, "conditions": [failure]}
        return found

    def _pods(self, selector):
        wanted = dict(pair.split("=") for pair in selector.split(","))
        deployments = [item for (kind, _), item in self.objects.items() if kind == "deployments"]
        return [pod for item in deployments if _matches(item, wanted) for pod in self._pods_of(item)]

    def _pods_of(self, deployment):
        version = int(deployment["metadata"]["labels"][VERSION])
        if version in self.failures:
            return []
        name = deployment["metadata"]["name"]
        pods = [ready_pod(f"{name}-{number}") for number in range(deployment["spec"]["replicas"])]
        change = self.pods.get(version) or self.pods.get("any")
        return [change(pod) for pod in pods] if change else pods


def ready_pod(name):
    status = {"name": "server", "image": "server:1", "restartCount": 0, "state": {"running": {}}}
    return {
        "metadata": {"name": name},
        "status": {"phase": "Running", "podIP": "127.0.0.1", "conditions": READY, "containerStatuses": [status]},
    }


def _matches(item, wanted):
    return wanted.items() <= item["metadata"].get("labels", {}).items()


def _merged(item, change):
    """RFC 7396."""
    if not isinstance(change, dict):
        return change
    result = dict(item) if isinstance(item, dict) else {}
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result


def _fields(change):
    return {f"f:{key}": _fields(value) if isinstance(value, dict) else {} for key, value in change.items()}
