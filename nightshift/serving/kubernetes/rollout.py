"""The changes that releases and rollbacks make to a model's objects; each can be cut off anywhere and done again."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from nightshift.errors import ConfigurationError, ReleaseError, ServingError
from nightshift.kubernetes.asking import ClusterError
from nightshift.kubernetes.cluster import CONFLICT, NOT_FOUND, Cluster
from nightshift.kubernetes.objects import Object, name_of, query
from nightshift.serving.kubernetes.drift import edits
from nightshift.serving.kubernetes.history import History, read_history
from nightshift.serving.kubernetes.lease import Holding
from nightshift.serving.kubernetes.names import TAKEN, Names, version_of
from nightshift.serving.kubernetes.objects import (
    autoscaler,
    config_map,
    deployment,
    disruption_budget,
    first_size,
    is_ours,
    scale_target,
    service,
    service_change,
)
from nightshift.serving.kubernetes.reasons import is_ready
from nightshift.serving.kubernetes.settings import ServingSettings
from nightshift.serving.release import Tell

SWITCHES = 10
ONCE_A_VERSION = ("poddisruptionbudgets", "configmaps", "deployments")


@dataclass(frozen=True)
class Rollout:
    """A model's objects in the hand of who holds its Lease.

    Attributes:
        cluster: where they are.
        names: of the model.
        template: the namespace's Pod template.
        settings: beside it.
        lease: held; looked at before every change.
        tell: told what happens.
    """

    cluster: Cluster
    names: Names
    template: Object
    settings: ServingSettings
    lease: Holding
    tell: Tell

    def service(self) -> Object | None:
        """The model's Service, None if there is none yet.

        Raises:
            ConfigurationError: it is somebody else's, or another model's of the same name.
        """
        found = self.cluster.get("services", self.names.slug)
        if found:
            self._check_ours("Service", found)
        return found

    def history(self) -> History:
        """What serves, and what did.

        Raises:
            ConfigurationError: as of `service`.
            ServingError: the Service was changed by hand so that this cannot be told.
        """
        return read_history(self.service())

    def deployments(self) -> list[Object]:
        """One a version.

        Raises:
            ConfigurationError: one is another model's.
        """
        found = self.cluster.find("deployments", query(self.names.labels()))
        for item in found:
            self._check_ours("Deployment", item)
        return found

    def check_names(self) -> None:
        """Refuse a model whose name another one has in the cluster.

        Raises:
            ConfigurationError: it is so.
        """
        self.service()
        self.deployments()

    def _check_ours(self, kind: str, item: Object) -> None:
        if not is_ours(item, self.names):
            raise ConfigurationError(
                f"model {self.names.model!r}: {kind} {name_of(item)} in namespace {self.cluster.namespace} is not of "
                "this model; two models whose names differ only in capitals, '-' and '_' cannot be served together"
            )

    def create(self, version: int, facts: Mapping[str, Any]) -> None:
        """Make what exists once a version, as far as it is not there.

        Raises:
            ReleaseError: the API server refuses an object.
        """
        live = self.history().live
        blue = self.deployment(live) if live else None
        replicas = first_size(blue, self.settings)
        configuration = config_map(self.names, version, self.settings.store)
        green = deployment(
            self.names,
            version,
            self.template,
            self.settings,
            replicas=replicas,
            configuration=name_of(configuration),
            facts=facts,
        )
        self._create("configmaps", configuration)
        if self._create("deployments", green):
            pods = "Pod" if replicas == 1 else "Pods"
            self.tell(f"created Deployment {name_of(green)} with {replicas} {pods}")

    def guard(self, version: int) -> None:
        """Have half of a version's Pods stay while nodes are drained: asked before it serves.

        Raises:
            ReleaseError: the API server refuses it.
        """
        # Looked for first: a quota that is used up refuses also what is there already.
        if not self.cluster.find("poddisruptionbudgets", query(self.names.labels(version))):
            self._create("poddisruptionbudgets", disruption_budget(self.names, version))

    def _create(self, kind: str, body: Object) -> bool:
        self.lease.check()
        with _refusing(f"{body['kind']} {name_of(body)}"):
            return self.cluster.create(kind, body) is not None

    def switch(self, version: int, change: Callable[[History], History]) -> History:
        """Let the Service select a version, and write its new history, in one change.

        Raises:
            LeaseLostError: somebody else may be at it.
            ReleaseError: the API server refuses the change.
            ServingError: others keep changing the Service.
        """
        for _ in range(SWITCHES):
            self.lease.check()
            found = self.service()
            history = change(read_history(found))
            if found is None:
                if self._create("services", service(self.names, version, history)):
                    return history
                continue
            try:
                with _refusing(f"Service {self.names.slug}"):
                    self.cluster.patch("services", self.names.slug, service_change(found, self.names, version, history))
            except ClusterError as error:
                if error.status not in (CONFLICT, NOT_FOUND):
                    raise
            else:
                return history
        raise ServingError(
            f"Service {self.names.slug}: somebody changes it all the time; gave up after {SWITCHES} times"
        )

    def restore(self, history: History) -> None:
        """Make the Service with that history, if there is none.

        Raises:
            ReleaseError: the API server refuses it.
        """
        self._create("services", service(self.names, history.live, history))

    def remove_service(self) -> None:
        """Let nothing serve: the way back from a first version that failed."""
        self.lease.check()
        self.cluster.delete("horizontalpodautoscalers", self.names.slug)
        self.cluster.delete("services", self.names.slug)

    def autoscale(self, version: int) -> None:
        """Point autoscaling at a version; what the one before has grown to, it keeps.

        Raises:
            ReleaseError: the API server refuses it.
        """
        self.lease.check()
        with _refusing(f"HorizontalPodAutoscaler {self.names.slug}"):
            self._autoscale(version)

    def autoscale_if_allowed(self, version: int) -> None:
        """As `autoscale`, on the way back: a refusal is told, and holds nothing up."""
        try:
            self.autoscale(version)
        except ReleaseError as error:
            self.tell(f"{self.names.model}: autoscaling does not follow to version {version}: {error}")

    def _autoscale(self, version: int) -> None:
        found = self.cluster.get("horizontalpodautoscalers", self.names.slug)
        if self.settings.max_replicas <= self.settings.replicas:
            if found:
                self.cluster.delete("horizontalpodautoscalers", self.names.slug)
        elif found is None:
            self.cluster.create("horizontalpodautoscalers", autoscaler(self.names, version, self.settings))
        else:
            change: Object = {"scaleTargetRef": scale_target(self.names, version)}
            if not edits(found):  # a person's limits stay
                change |= {"minReplicas": self.settings.replicas, "maxReplicas": self.settings.max_replicas}
            self.cluster.patch("horizontalpodautoscalers", self.names.slug, {"spec": change})

    def deployment(self, version: int) -> Object | None:
        """A version's Deployment, None if it has none."""
        return self.cluster.get("deployments", self.names.version(version))

    def replicas(self, version: int) -> int:
        """How many Pods of a version there are to be; 0 without a Deployment."""
        found = self.deployment(version)
        return int(found["spec"].get("replicas") or 0) if found else 0

    def ready_pods(self, version: int) -> list[Object]:
        """The Pods of a version that can answer."""
        found = self.cluster.find("pods", query(self.names.selector(version)))
        return [pod for pod in found if is_ready(pod)]

    def check_ready(self, version: int) -> None:
        """Refuse to let a version serve that nobody would answer for; asked right before a switch.

        Raises:
            ReleaseError: none of its Pods is ready.
        """
        if not self.ready_pods(version):
            raise ReleaseError(f"none of the Pods of Deployment {self.names.version(version)} is ready")

    def scale(self, version: int, replicas: int, *, taken: int = 0) -> None:
        """Have that many Pods of a version; `taken`: how many it had before it made room, kept on it.

        Raises:
            ReleaseError: its Deployment is gone, or the API server refuses the change.
        """
        self.lease.check()
        name = self.names.version(version)
        note = {"annotations": {TAKEN: str(taken) if taken else None}}
        try:
            with _refusing(f"Deployment {name}"):
                self.cluster.patch("deployments", name, {"metadata": note, "spec": {"replicas": replicas}})
        except ClusterError as error:
            if error.status == NOT_FOUND:
                raise ReleaseError(f"its Deployment {name} was deleted by somebody") from error
            raise

    def tidy(self, otherwise: Collection[int]) -> None:
        """Keep what served last: at full size what serves and its predecessor, at zero the rest; delete all others.

        Only what serves holds up the draining of nodes.

        Args:
            otherwise: what to keep, as it is, if the Service is not there to tell what served.
        """
        history = self.history()
        kept = set(history.versions[-self.settings.keep :] if history.live else otherwise)
        for item in self.deployments() if history.live else ():
            version = version_of(item)
            full = version in (history.live, history.predecessor)
            if version in kept and not full and item["spec"].get("replicas"):
                self.tell(f"scaling {name_of(item)} to zero; it stays for rolling back")
                self.scale(version, 0)
        for kind in ONCE_A_VERSION:
            for item in self.cluster.find(kind, query(self.names.labels())):
                idle = kind == "poddisruptionbudgets" and history.live not in (0, version_of(item))
                if idle or version_of(item) not in kept:
                    self.lease.check()
                    self.cluster.delete(kind, name_of(item))

    def tell_drift(self) -> None:
        """Say what others changed by hand."""
        for item in filter(None, [self.service(), *self.deployments()]):
            for edit in edits(item):
                self.tell(f"changed by hand, left as it is: {edit}")


@contextmanager
def _refusing(subject: str) -> Iterator[None]:
    """A change that the API server will not take later either is refused; that others were quicker is no refusal.

    Raises:
        ReleaseError: it is refused, by admission, quota, validation or for want of rights.
    """
    try:
        yield
    except ClusterError as error:
        if error.passing or error.status in (CONFLICT, NOT_FOUND):
            raise
        raise ReleaseError(f"the API server refuses {subject}: {error}") from error
