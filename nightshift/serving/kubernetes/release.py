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
from nightshift.files import sha256_of
from nightshift.serving.client import Client
from nightshift.serving.golden import Golden
from nightshift.serving.kubernetes import status
from nightshift.serving.kubernetes.cluster import Cluster, connect
from nightshift.serving.kubernetes.history import missing_events, read_history
from nightshift.serving.kubernetes.lease import hold
from nightshift.serving.kubernetes.names import GRPC_PORT, Names, Object
from nightshift.serving.kubernetes.proof import MOVE_SECONDS, Proof, bake, service_address, wait_moved
from nightshift.serving.kubernetes.readiness import Waiting
from nightshift.serving.kubernetes.rollback import roll_back
from nightshift.serving.kubernetes.rollout import Rollout
from nightshift.serving.kubernetes.room import Room
from nightshift.serving.kubernetes.settings import read_template
from nightshift.serving.ledger import Event
from nightshift.serving.manifest import NAME as MANIFEST
from nightshift.serving.manifest import check_manifest
from nightshift.serving.overview import ModelStatus, VersionRecord
from nightshift.serving.release import Released, Tell
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
            ServingError: the endpoint does not answer, or with another version.
        """
        store, names = self._needed_store(), Names.of(model)
        history = read_history(self.cluster.get("services", names.slug))
        if not history.live:
            return 0
        if (name := self._resolved(names)) is not None:
            _check_answers(name, model, history.live)
        _check_known(store, self.cluster, model, history.live)
        state = store.state(model)
        if not state.pending:  # else a release is at work, or the next one settles it
            for event in missing_events(state, history):
                store.ledger(model).append(event)
        return history.live

    def release(self, model: str, saved_model: Path, tell: Tell = print) -> Released:
        """Publish, create green, prove every Pod, switch the Service, bake; blue stays for rolling back.

        Raises:
            ConfigurationError: the namespace is not set up for serving, or the model's name cannot be used in it.
            StoreError: the SavedModel's files are not those of its manifest; nothing was published.
            ReleaseError: the version was refused; what served before still does. Or another one releases.
            ServingError: the cluster does not answer, or the Lease was lost: the next release settles what is left.
        """
        store = self._needed_store()
        check_manifest(saved_model)
        with self._rollout(model, tell) as rollout:
            releasing = Releasing(rollout, store)
            releasing.settle()
            return releasing.release(saved_model)

    def rollback(self, model: str, version: int = 0, tell: Tell = print) -> Released:
        """Let an earlier version serve again; 0: the one before the present. Needs the API server only.

        Raises:
            ReleaseError: there is no such version, or it does not become ready; what serves now still does.
            ServingError: as of `release`.
        """
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
def kubernetes_serving(namespace: str, store: Store | None) -> Iterator[KubernetesServing]:
    """The namespace of the cluster: of the Pod that this runs in, else of the kubeconfig.

    Raises:
        ConfigurationError: no cluster is configured.
    """
    with connect(namespace) as cluster:
        yield KubernetesServing(cluster, store)


@dataclass(frozen=True)
class Releasing:
    """A release in progress: a model's objects, and the store with its ledger."""

    rollout: Rollout
    store: Store

    @property
    def model(self) -> str:
        """The model's name."""
        return self.rollout.names.model

    def settle(self) -> None:
        """Finish or undo what a killed release left, and bring the ledger to what the Service says.

        Raises:
            StoreError: the Service selects a version that the store does not have.
        """
        rollout, tell = self.rollout, self.rollout.tell
        rollout.deployments()  # refuses a name that another model has
        history = rollout.history()
        if history.live:
            _check_known(self.store, rollout.cluster, self.model, history.live)
        for event in missing_events(self.store.state(self.model), history):
            tell(f"recording that {self.model} version {event.version} was {event.kind.replace('_', ' ')}")
            self._append(event)
        pending = self.store.state(self.model).pending
        if pending and (pending[1] == "approved" or pending[0] == history.live):
            tell(f"finishing the release of {self.model} version {pending[0]}, which was interrupted")
            try:
                self._finish(pending[0])
            except ReleaseError as error:
                tell(str(error))
        elif pending:
            self._append(Event("refused", pending[0], "its release was interrupted before it was approved"))
            tell(f"gave up {self.model} version {pending[0]}, whose release was interrupted")
        rollout.tidy()
        rollout.tell_drift()

    def release(self, saved_model: Path) -> Released:
        """Release a SavedModel, everything earlier being settled."""
        before, history = self.store.state(self.model), self.rollout.history()
        manifest = sha256_of(saved_model / MANIFEST)
        if history.live and before.published.get(history.live, {}).get("manifest") == manifest:
            self.rollout.tell(f"version {history.live} of {self.model} is this very model and serves already")
            return Released(history.live, history.predecessor, unchanged=True)
        self.rollout.lease.check()
        version = self.store.publish(self.model, saved_model)
        self.rollout.tell(f"published {self.model} version {version}")
        self._finish(version)
        return Released(version, history.live)

    def _finish(self, version: int) -> None:
        """From wherever a release is to its end.

        Raises:
            ReleaseError: the version was refused and has left the cluster.
        """
        rollout, state, room = self.rollout, self.store.state(self.model), Room(self.rollout)
        try:
            proof, pods = self._prove(version, room)
            if state.pending != (version, "approved"):
                self._append(Event("approved", version, "every Pod answered the golden batch"))
            if rollout.history().live != version:
                rollout.switch(version, lambda history: history.promoted(version, rollout.settings.keep))
                rollout.tell(f"{self.model}: its Service now selects version {version}")
            rollout.autoscale(version)
            self._bake(proof, pods)
        except ReleaseError as error:
            refusal = self._refused(version, error)
            room.give_back()
            raise refusal from error
        self._append(Event("promoted", version))
        rollout.tell(f"{self.model} version {version} serves")
        rollout.tidy()

    def _prove(self, version: int, room: Room) -> tuple[Proof, list[Object]]:
        """Have its Pods, all ready, and each of them answer."""
        rollout = self.rollout
        try:
            golden = Golden.load(self.store.version_path(self.model, version))
        except StoreError as error:
            raise ReleaseError(str(error)) from error
        rollout.create(version, self.store.state(self.model).published.get(version, {}))
        pods = Waiting(rollout.cluster, rollout.names, version, rollout.settings, rollout.tell, room.make).ready()
        proof = Proof(rollout.names, version, golden, rollout.settings)
        slowest = max(proof.of_pod(pod) for pod in pods)
        rollout.tell(
            f"{self.model} version {version}: each of {len(pods)} Pods answers the golden batch as the trained network "
            f"does, warm within {1000 * slowest:.0f} ms"
        )
        return proof, pods

    def _bake(self, proof: Proof, pods: list[Object]) -> None:
        """Watch it serve."""
        rollout = self.rollout
        found = rollout.service()
        if found is None:
            raise ReleaseError(f"its Service {rollout.names.slug} was deleted by somebody")
        address = service_address(found)
        wait_moved(address, rollout.names, proof.version)
        if rollout.settings.bake_seconds:
            rollout.tell(f"watching it serve for {rollout.settings.bake_seconds} s")
        bake(rollout.cluster, proof, pods, address, rollout.lease)

    def _refused(self, version: int, error: ReleaseError) -> ReleaseError:
        """Take a version out of the cluster; gives the error to raise."""
        rollout, history = self.rollout, self.rollout.history()
        if history.live == version and history.predecessor:
            blue = history.predecessor
            rollout.switch(blue, lambda now: now.returned(blue, str(error)))
            rollout.tell(f"{self.model}: its Service selects version {blue} again")
            rollout.autoscale(blue)
        elif history.live == version:
            rollout.remove_service()
        rollout.tidy()
        self._append(Event("refused", version, str(error)))
        live = rollout.history().live
        kept = f"version {live} still serves" if live else "nothing serves"
        return ReleaseError(f"{self.model} version {version} was refused, {kept}: {error}")

    def _append(self, event: Event) -> None:
        self.rollout.lease.check()
        self.store.ledger(self.model).append(event)


def _check_known(store: Store, cluster: Cluster, model: str, version: int) -> None:
    """Refuse a namespace that serves another store's models."""
    if not store.has_version(model, version):
        raise StoreError(
            f"version {version} of {model}, which serves in namespace {cluster.namespace}, is not in {store.root}; is "
            "that namespace another store's?"
        )


def _check_answers(address: str, model: str, version: int) -> None:
    """Hold the endpoint's own word against the Service's selector; a switch takes a moment to reach every node."""
    deadline = time.monotonic() + MOVE_SECONDS
    with Client(address) as client:
        while (found := client.metadata(model, label=STABLE).version) != version:
            if time.monotonic() > deadline:
                raise ServingError(
                    f"{address}: answers with version {found} of {model}, and its Service selects {version}"
                )
            time.sleep(0.5)
