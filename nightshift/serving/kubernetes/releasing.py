"""The course of a release: settle what was left, publish, prove, switch, bake; from any point of it back or to its end.

What is cut off leaves the ledger's last event and the Service's selector, from which the next one knows where it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nightshift.errors import ReleaseError, StoreError
from nightshift.files import sha256_of
from nightshift.kubernetes.cluster import Cluster
from nightshift.kubernetes.objects import Object
from nightshift.serving.bake import Quality, Watch, quality_before
from nightshift.serving.golden import Golden
from nightshift.serving.kubernetes.history import missing_events, remembered
from nightshift.serving.kubernetes.names import version_of
from nightshift.serving.kubernetes.proof import Proof, asking_pod, bake, service_address, wait_moved
from nightshift.serving.kubernetes.readiness import Waiting
from nightshift.serving.kubernetes.rollout import Rollout
from nightshift.serving.kubernetes.room import Room
from nightshift.serving.ledger import Event
from nightshift.serving.manifest import NAME as MANIFEST
from nightshift.serving.probes import Probe, golden_probes, live_probes
from nightshift.serving.release import Released
from nightshift.serving.retention import tidy
from nightshift.serving.rules import Rules
from nightshift.serving.shadow import shadow
from nightshift.serving.store import Store


@dataclass(frozen=True)
class Releasing:
    """A release in progress: a model's objects, the store with its ledger, and what a version is held to."""

    rollout: Rollout
    store: Store
    rules: Rules

    @property
    def model(self) -> str:
        """The model's name."""
        return self.rollout.names.model

    def settle(self) -> None:
        """Finish or undo what a killed release left, and bring the ledger to what the Service says.

        Raises:
            StoreError: the Service selects a version that the store does not have.
            ReleaseError: the Service was deleted, and the API server refuses another one.
        """
        rollout, tell = self.rollout, self.rollout.tell
        rollout.check_names()
        self._restore_service()
        history = rollout.history()
        if history.live:
            check_known(self.store, rollout.cluster, self.model, history.live)
            rollout.guard(history.live)  # a person may have switched to it
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
        self._tidy()
        Room(rollout).give_back()
        rollout.tell_drift()

    def _restore_service(self) -> None:
        """Make a Service again that somebody deleted, if what it selected by the ledger's word still stands."""
        rollout, state = self.rollout, self.store.state(self.model)
        if not state.stable or rollout.service():
            return
        history = remembered(state, [version_of(item) for item in rollout.deployments()])
        if history.live != state.stable:
            return
        name = rollout.names.slug
        rollout.tell(f"{self.model}: its Service {name} was deleted; making it again, with version {state.stable}")
        rollout.restore(history)

    def release(self, saved_model: Path) -> Released:
        """Release a SavedModel, everything earlier being settled, and tidy the store."""
        released = self._release(saved_model)
        standing = [version_of(item) for item in self.rollout.deployments()]
        tidy(self.store, self.model, self.rules.keep, self._append, self.rollout.tell, standing)
        return released

    def _release(self, saved_model: Path) -> Released:
        before, history = self.store.state(self.model), self.rollout.history()
        manifest = sha256_of(saved_model / MANIFEST)
        if history.live and before.published.get(history.live, {}).get("manifest") == manifest:
            self.rollout.tell(f"version {history.live} of {self.model} is this very model and serves already")
            return Released(history.live, history.predecessor, unchanged=True)
        self.rollout.lease.check()
        version = self.store.publish(self.model, saved_model, self.rollout.lease.check)
        self.rollout.tell(f"published {self.model} version {version}")
        self._finish(version)
        return Released(version, history.live)

    def _finish(self, version: int) -> None:
        """From wherever a release is to its end.

        Raises:
            ReleaseError: the version was refused and has left the cluster.
        """
        rollout, state, room = self.rollout, self.store.state(self.model), Room(self.rollout, version)
        try:
            proof, pods = self._prove(version, room)
            champion = self._champion(version)
            probes = self._probes(proof.golden) if champion else []
            if rollout.history().live != version:
                self._shadow(version, pods, champion, probes)
            if state.pending != (version, "approved"):
                self._append(Event("approved", version, "every Pod answered the golden batch"))
            quality = self._quality(champion, probes)
            if rollout.history().live != version:
                rollout.guard(version)
                rollout.check_ready(version)
                rollout.switch(version, lambda history: history.promoted(version, rollout.settings.keep))
                rollout.tell(f"{self.model}: its Service now selects version {version}")
            rollout.autoscale(version)
            self._bake(proof, pods, self._watch(proof, quality, probes))
        except ReleaseError as error:
            refusal = self._refused(version, error)
            room.give_back()
            raise refusal from error
        self._append(Event("promoted", version))
        rollout.tell(f"{self.model} version {version} serves")
        self._tidy()

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

    def _champion(self, version: int) -> tuple[int, Object] | None:
        """What a version is held against, with one of its Pods; None: nothing serves, or no Pod of it is ready."""
        history = self.rollout.history()
        champion = history.predecessor if history.live == version else history.live
        pods = self.rollout.ready_pods(champion) if champion else []
        return (champion, pods[0]) if pods else None

    def _probes(self, golden: Golden) -> Sequence[Probe]:
        return live_probes(self.rules.samples, self.model, self.rules.requests, golden, self.rollout.tell)

    def _shadow(
        self, version: int, pods: list[Object], champion: tuple[int, Object] | None, probes: Sequence[Probe]
    ) -> None:
        """Ask one of its Pods and one of what serves the same."""
        if champion is None:
            return
        serves, pod = champion
        with asking_pod(pods[0], self.model, version) as ours, asking_pod(pod, self.model, serves) as theirs:
            found = shadow(probes, ours, theirs, self.rules.slower, self.rollout.lease.check)
        found.check(self.rules.slower)
        self.rollout.tell(f"{self.model} version {version}: {found.in_words()}")

    def _quality(self, champion: tuple[int, Object] | None, probes: Sequence[Probe]) -> Quality | None:
        """How what serves, or did just before, answers."""
        seconds = self.rollout.settings.bake_seconds
        if champion is None or not seconds:
            return None
        serves, pod = champion
        with asking_pod(pod, self.model, serves) as theirs:
            return quality_before(probes, theirs, seconds, self.rollout.lease.check)

    def _watch(self, proof: Proof, quality: Quality | None, probes: Sequence[Probe]) -> Watch:
        asked = probes or golden_probes(proof.golden)
        return Watch(asked, quality, slower=self.rules.slower, errors=self.rules.errors)

    def _bake(self, proof: Proof, pods: list[Object], watch: Watch) -> None:
        """Watch it serve."""
        rollout = self.rollout
        found = rollout.service()
        if found is None:
            raise ReleaseError(f"its Service {rollout.names.slug} was deleted by somebody")
        address = service_address(found)
        wait_moved(address, rollout.names, proof.version)
        if rollout.settings.bake_seconds:
            rollout.tell(f"watching it serve for {rollout.settings.bake_seconds} s")
        bake(rollout.cluster, proof, pods, address, rollout.lease, watch)

    def _refused(self, version: int, error: ReleaseError) -> ReleaseError:
        """Take a version out of the cluster; gives the error to raise."""
        rollout, history = self.rollout, self.rollout.history()
        if history.live == version and history.predecessor:
            blue = history.predecessor
            self._stand_again(blue, rollout.replicas(version))
            rollout.switch(blue, lambda now: now.returned(blue, str(error)))
            rollout.tell(f"{self.model}: its Service selects version {blue} again")
            rollout.autoscale_if_allowed(blue)
        elif history.live == version:
            rollout.remove_service()
        self._tidy()
        self._append(Event("refused", version, str(error)))
        live = rollout.history().live
        kept = f"version {live} still serves" if live else "nothing serves"
        return ReleaseError(f"{self.model} version {version} was refused, {kept}: {error}")

    def _stand_again(self, blue: int, replicas: int) -> None:
        """Start what served before, should its Pods be gone; the way back is taken even if they do not come."""
        rollout = self.rollout
        if rollout.ready_pods(blue):
            return
        rollout.tell(f"{self.model}: no Pod of version {blue} is ready; starting them")
        try:
            rollout.scale(blue, max(replicas, 1))
            room = Room(rollout, blue)
            Waiting(rollout.cluster, rollout.names, blue, rollout.settings, rollout.tell, room.make).ready()
        except ReleaseError as error:
            rollout.tell(f"{self.model} version {blue}: {error}")

    def _tidy(self) -> None:
        self.rollout.tidy(self.store.state(self.model).serving)

    def _append(self, event: Event) -> None:
        self.rollout.lease.check()
        self.store.ledger(self.model).append(event)


def check_known(store: Store, cluster: Cluster, model: str, version: int) -> None:
    """Refuse a namespace that serves another store's models.

    Raises:
        StoreError: it does, by the version that serves there.
    """
    if not store.has_version(model, version):
        raise StoreError(
            f"version {version} of {model}, which serves in namespace {cluster.namespace}, is not in {store.root}; is "
            "that namespace another store's?"
        )
