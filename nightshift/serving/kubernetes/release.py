"""Release and roll back in a namespace of Kubernetes: blue/green, one Deployment a version.

The Service's selector is what says which version serves. Wherever a release is killed, it names one whose every Pod
answered its golden batch; the next release or rollback first finishes or undoes what an earlier one left.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nightshift.errors import ReleaseError, ServingError, StoreError
from nightshift.kubernetes.asking import ClusterError
from nightshift.kubernetes.cluster import FORBIDDEN, PATIENCE_SECONDS, Cluster, connect
from nightshift.kubernetes.objects import Object, query
from nightshift.serving.client import Client
from nightshift.serving.kubernetes import status
from nightshift.serving.kubernetes.history import missing_events, read_history, remembered
from nightshift.serving.kubernetes.lease import hold
from nightshift.serving.kubernetes.names import GRPC_PORT, Names, version_of
from nightshift.serving.kubernetes.proof import MOVE_SECONDS, service_address
from nightshift.serving.kubernetes.releasing import Releasing, check_known
from nightshift.serving.kubernetes.rollback import roll_back
from nightshift.serving.kubernetes.rollout import Rollout
from nightshift.serving.kubernetes.settings import read_template
from nightshift.serving.manifest import check_manifest
from nightshift.serving.overview import ModelStatus, VersionRecord
from nightshift.serving.release import Released, Tell
from nightshift.serving.rules import rules_of
from nightshift.serving.store import STABLE, Store


@dataclass(frozen=True)
class KubernetesServing:
    """The models of one namespace; a `nightshift.serving.target.Target`.

    Attributes:
        cluster: the namespace.
        store: of the versions; None: whoever asks cannot read it (`rollback`, `status` and `releases` need none).
    """

    cluster: Cluster
    store: Store | None

    def champion(self, model: str) -> int:
        """The version that the model's Service selects and its endpoint answers with, 0 if nothing serves.

        What was rolled back by somebody who could not write the store's ledger is recorded there now.

        Raises:
            StoreError: that version is not in the store.
            ServingError: the endpoint does not answer, or with another version; or its Service was deleted.
        """
        store, names = self._needed_store(), Names.of(model)
        history = read_history(self.cluster.get("services", names.slug))
        if not history.live:
            self._check_not_deleted(names, store)
            return 0
        if (name := self._resolved(names)) is not None:
            _check_answers(name, model, history.live)
        check_known(store, self.cluster, model, history.live)
        state = store.state(model)
        if not state.pending:  # else a release is at work, or the next one settles it
            for event in missing_events(state, history):
                store.ledger(model).append(event)
        return history.live

    def release(self, model: str, saved_model: Path, tell: Tell = print, samples: str = "") -> Released:
        """Publish, create green, prove every Pod, compare, switch the Service, bake; blue stays for rolling back.

        Raises:
            ConfigurationError: the namespace is not set up for serving, or the model's name cannot be used in it.
            StoreError: the SavedModel's files are not those of its manifest; nothing was published.
            ReleaseError: the version was refused; what served before still does. Or another one releases.
            ServingError: the cluster does not answer, or the Lease was lost: the next release settles what is left.
        """
        store = self._needed_store()
        check_manifest(saved_model)
        rules = rules_of(samples)
        with self._rollout(model, tell) as rollout:
            releasing = Releasing(rollout, store, rules)
            releasing.settle()
            return releasing.release(saved_model)

    def rollback(self, model: str, version: int = 0, tell: Tell = print) -> Released:
        """Let an earlier version serve again; 0: the one before the present. Needs the API server only.

        Raises:
            ReleaseError: there is no such version, or it does not become ready; what serves now still does.
            ServingError: as of `release`.
        """
        self._check_released(Names.of(model))
        with self._rollout(model, tell) as rollout:
            return roll_back(rollout, self.store, version)

    def address(self, model: str) -> str:
        """HOST:PORT that answers for the model: the Service's name or, where that does not resolve, its address.

        Raises:
            ServingError: nothing was ever released.
        """
        names = Names.of(model)
        if (name := self._resolved(names)) is not None:
            return name
        found = self.cluster.get("services", names.slug)
        if found is None:
            raise ServingError(f"namespace {self.cluster.namespace}: no Service {names.slug}: nothing serves {model!r}")
        return service_address(found)

    def status(self, model: str = "") -> list[ModelStatus]:
        """What serves, a model each; '': all models."""
        return status.model_statuses(self.cluster, model)

    def releases(self, model: str = "") -> list[VersionRecord]:
        """The versions that the cluster knows, the newest of a model first; '': of all models."""
        return status.version_records(self.cluster, self.store, model)

    def _check_not_deleted(self, names: Names, store: Store) -> None:
        """Tell a model that never served from one whose Service somebody deleted."""
        standing = [version_of(item) for item in self._deployments(names)]
        history = remembered(store.state(names.model), standing)
        if history.live:
            raise ServingError(
                f"namespace {self.cluster.namespace}: Service {names.slug} was deleted, so nothing serves "
                f"{names.model!r}, whose version {history.live} served last and still stands; the next release makes "
                f"the Service again, and so does `nightshift rollback {names.model} {history.live}`"
            )

    def _check_released(self, names: Names) -> None:
        """Refuse a model that nothing is there of, before a Lease is made for it."""
        if self.cluster.get("services", names.slug) is None and not self._deployments(names):
            raise ReleaseError(
                f"{names.model}: cannot roll back: nothing has been released as that in namespace "
                f"{self.cluster.namespace}"
            )

    def _deployments(self, names: Names) -> list[Object]:
        return self.cluster.find("deployments", query(names.labels()))

    def check_set_up(self) -> None:
        """Refuse a namespace that is not set up for serving, as far as whoever asks may know.

        Raises:
            ConfigurationError: it has no PodTemplate, or one whose settings cannot be used.
        """
        try:
            read_template(self.cluster)
        except ClusterError as error:
            if error.status != FORBIDDEN:
                raise

    @contextmanager
    def _rollout(self, model: str, tell: Tell) -> Iterator[Rollout]:
        names = Names.of(model)
        template, settings = read_template(self.cluster)
        with hold(self.cluster, names, tell) as lease:
            yield Rollout(self.cluster, names, template, settings, lease, tell)

    def _needed_store(self) -> Store:
        if self.store is None:
            raise StoreError("no store was given, and a release needs one")
        return self.store

    def _resolved(self, names: Names) -> str | None:
        """The Service's HOST:PORT by name, None where the cluster's names are not known."""
        host = f"{names.slug}.{self.cluster.namespace}.svc"
        try:
            socket.getaddrinfo(host, GRPC_PORT)
        except OSError:
            return None
        return f"{host}:{GRPC_PORT}"


@contextmanager
def kubernetes_serving(
    namespace: str, store: Store | None, *, patience: float = PATIENCE_SECONDS
) -> Iterator[KubernetesServing]:
    """The namespace of the cluster: of the Pod that this runs in, else of the kubeconfig.

    Args:
        namespace: which one.
        store: of the versions.
        patience: seconds that the API server may be away.

    Raises:
        ConfigurationError: no cluster is configured.
    """
    with connect(namespace, patience) as cluster:
        yield KubernetesServing(cluster, store)


def _check_answers(address: str, model: str, version: int) -> None:
    """Hold the endpoint's own word against the Service's selector; a switch takes a moment to reach every node."""
    deadline = time.monotonic() + MOVE_SECONDS
    with Client(address, tls=None) as client:
        while (found := client.metadata(model, label=STABLE).version) != version:
            if time.monotonic() > deadline:
                raise ServingError(
                    f"{address}: answers with version {found} of {model}, and its Service selects {version}"
                )
            time.sleep(0.5)
