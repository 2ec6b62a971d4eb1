"""Wait until all Pods of a version are ready, or until the cluster says why they will not be."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from nightshift.errors import ReleaseError
from nightshift.kubernetes.cluster import Cluster
from nightshift.kubernetes.objects import Object, is_ending, name_of, query
from nightshift.kubernetes.pods import Patience, pod_trouble
from nightshift.serving.client import Client, ServerUnavailableError
from nightshift.serving.kubernetes.names import GRPC_PORT, Names
from nightshift.serving.kubernetes.objects import CONTAINER
from nightshift.serving.kubernetes.reasons import as_it_is, deployment_trouble, is_ready, is_running
from nightshift.serving.kubernetes.settings import ServingSettings
from nightshift.serving.release import Tell

TICK_SECONDS = 1
"""What the cluster does not tell by events, such as the model server's own word, is looked at this often."""

ASK_SECONDS = 1.0


@dataclass(frozen=True)
class Waiting:
    """The wait for one version's Pods.

    Attributes:
        cluster: where they are to be.
        names: of the model.
        version: which one.
        settings: how long.
        tell: told what happens.
        make_room: called while no node or quota has room for the Pods; may do something about it.
    """

    cluster: Cluster
    names: Names
    version: int
    settings: ServingSettings
    tell: Tell
    make_room: Callable[[], None]

    def ready(self) -> list[Object]:
        """The Pods, once as many as the Deployment asks for are ready.

        Raises:
            ReleaseError: they will not be, or not in time; says why.
        """
        deadline, patience, told = time.monotonic() + self.settings.ready_seconds, Patience(), ""
        for found in self.cluster.follow("pods", query(self.names.selector(self.version)), tick=TICK_SECONDS):
            deployment = self._deployment()
            pods = [pod for pod in found if not is_ending(pod)]
            if is_complete(deployment, pods):
                return pods
            progress = f"{sum(map(is_ready, pods))} of {deployment['spec']['replicas']} Pods ready"
            if progress != told:
                told = progress
                self.tell(f"{self.names.model} version {self.version}: {told}")
            self._refuse(patience, deployment, pods)
            if time.monotonic() > deadline:
                raise ReleaseError(f"not ready within {self.settings.ready_seconds} s: {self._as_they_are(pods)}")
        raise AssertionError("a cluster is followed without end")

    def _deployment(self) -> Object:
        name = self.names.version(self.version)
        found = self.cluster.get("deployments", name)
        if found is None:
            raise ReleaseError(f"its Deployment {name} was deleted by somebody")
        return found

    def _refuse(self, patience: Patience, deployment: Object, pods: list[Object]) -> None:
        """Give up if something keeps its Pods from becoming ready for longer than is borne with."""
        seconds = self.settings.unschedulable_seconds
        troubles = [deployment_trouble(deployment, seconds), *(pod_trouble(pod, seconds) for pod in pods)]
        found = [one for one in troubles if one]
        if any(one.kind in ("unschedulable", "quota") for one in found):
            self.make_room()
        trouble = patience.exhausted(found)
        if trouble:
            log = self._log(trouble.pod) if trouble.kind == "crash loop" else ""
            raise ReleaseError(f"{trouble.kind}: {trouble.text}{log}")
        for pod in pods:
            said = "" if is_ready(pod) or not is_running(pod) else load_error(self.names.model, self.version, pod)
            if said:
                raise ReleaseError(f"Pod {name_of(pod)}: the model server could not load it: {said}")

    def _log(self, pod: str) -> str:
        lines = self.cluster.logs(pod, CONTAINER, previous=True) or self.cluster.logs(pod, CONTAINER, previous=False)
        return f"; its last lines:\n{lines}" if lines else "; it wrote nothing"

    def _as_they_are(self, pods: list[Object]) -> str:
        """What each Pod that is not ready says of itself, the last warning about it and the last lines of its log."""
        late = [pod for pod in pods if not is_ready(pod)]
        if not late:
            return "its Deployment has made no Pods"
        words = "; ".join(map(as_it_is, late))
        warnings = self.cluster.find("events", fields=f"involvedObject.name={name_of(late[0])},type=Warning")
        last = max(warnings, key=lambda event: event.get("lastTimestamp") or "", default=None)
        words += f"; {last['reason']}: {last['message']}" if last else ""
        return words + (self._log_now(name_of(late[0])) if is_running(late[0]) else "")

    def _log_now(self, pod: str) -> str:
        lines = self.cluster.logs(pod, CONTAINER, previous=False)
        return f"; its last lines:\n{lines}" if lines else ""


def is_complete(deployment: Object, pods: list[Object]) -> bool:
    """Whether the Deployment's controller has seen its present form, and all the Pods it asks for are ready.

    One that asks for none serves nothing, and is never complete.
    """
    status, desired = deployment.get("status") or {}, deployment["spec"]["replicas"]
    observed = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    counts = {status.get("replicas", 0), status.get("updatedReplicas", 0), status.get("readyReplicas", 0), len(pods)}
    return bool(desired and observed and counts == {desired} and all(map(is_ready, pods)))


def grpc_address(pod: Object) -> str:
    """A Pod's HOST:PORT."""
    host = str(pod["status"]["podIP"])
    return f"[{host}]:{GRPC_PORT}" if ":" in host else f"{host}:{GRPC_PORT}"


def load_error(model: str, version: int, pod: Object) -> str:
    """Why a Pod's model server could not load the version, by its own word; '' if it does not say that."""
    if not pod["status"].get("podIP"):
        return ""
    with Client(grpc_address(pod), timeout=ASK_SECONDS, retries=0, tls=None) as client:
        try:
            statuses = client.status(model)
        except ServerUnavailableError:  # it opens its ports when it has loaded, or cannot be reached from here
            return ""
    return next((one.error for one in statuses if one.version == version and one.state == "END"), "")
