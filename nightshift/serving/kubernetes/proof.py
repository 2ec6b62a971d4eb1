"""Prove that a version answers: each of its Pods the golden batch, in time; then the Service, for a while."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from nightshift.errors import NightshiftError, ReleaseError, ServingError
from nightshift.kubernetes.cluster import Cluster
from nightshift.kubernetes.objects import Object, is_ending, name_of, query
from nightshift.kubernetes.pods import last_end
from nightshift.serving.bake import Watch
from nightshift.serving.client import Client
from nightshift.serving.golden import Golden
from nightshift.serving.kubernetes.lease import Holding
from nightshift.serving.kubernetes.names import GRPC_PORT, Names
from nightshift.serving.kubernetes.readiness import TICK_SECONDS, grpc_address
from nightshift.serving.kubernetes.reasons import as_it_is, is_ready, restarts, server_status
from nightshift.serving.kubernetes.settings import ServingSettings
from nightshift.serving.probes import Ask, asking
from nightshift.serving.smoke import smoke_test
from nightshift.serving.store import STABLE

CALL_SECONDS = 60.0
WARM_REQUESTS = 5
MOVE_SECONDS = 15.0
"""For a Service's new selector to reach the node that asks."""


@dataclass(frozen=True)
class Proof:
    """What a version has to answer, and how fast."""

    names: Names
    version: int
    golden: Golden
    settings: ServingSettings

    def of_pod(self, pod: Object) -> float:
        """Ask a Pod everything; gives the seconds that a warm request takes.

        Raises:
            ReleaseError: it does not have the version, answers wrongly, for another version or too slowly.
        """
        with Client(grpc_address(pod), timeout=CALL_SECONDS, tls=None) as client:
            try:
                self._check_available(client)
                smoke_test(client, self.names.model, self.version, self.golden)
                self._check_label(client)
                seconds = self._warm_seconds(client)
            except NightshiftError as error:
                raise ReleaseError(f"Pod {name_of(pod)}: {error}") from error
        if seconds > self.settings.answer_seconds:
            raise ReleaseError(
                f"Pod {name_of(pod)}: too slow: a warm request of the golden batch takes {seconds:.3f} s, expected at "
                f"most {self.settings.answer_seconds:g} s"
            )
        return seconds

    def _check_available(self, client: Client) -> None:
        states = {status.version: status for status in client.status(self.names.model)}
        found = states.get(self.version)
        if found is None or found.state != "AVAILABLE":
            raise ServingError(f"version {self.version} is {found or 'not there'}, expected AVAILABLE")

    def _check_label(self, client: Client) -> None:
        found = client.metadata(self.names.model, label=STABLE).version
        if found != self.version:
            raise ServingError(f"label {STABLE!r} names version {found}, expected {self.version}")

    def _warm_seconds(self, client: Client) -> float:
        """The quickest of a few: what this measures is the model, not who else computes on the node."""
        signature = min(self.golden.requests, key=lambda name: name != "serving_default")
        only = Golden(
            {signature: self.golden.requests[signature]},
            {signature: self.golden.answers[signature]},
        )
        return min(_seconds(client, self.names.model, self.version, only) for _ in range(WARM_REQUESTS))

    def of_service(self, address: str) -> None:
        """Ask the Service's own address the golden batch.

        Raises:
            ReleaseError: it answers wrongly, or not.
        """
        with Client(address, timeout=CALL_SECONDS, tls=None) as client:
            try:
                smoke_test(client, self.names.model, self.version, self.golden)
            except NightshiftError as error:
                raise ReleaseError(f"Service {self.names.slug}: {error}") from error


def _seconds(client: Client, model: str, version: int, golden: Golden) -> float:
    begin = time.monotonic()
    smoke_test(client, model, version, golden)
    return time.monotonic() - begin


def service_address(service: Object) -> str:
    """The HOST:PORT of a Service inside the cluster."""
    host = str(service["spec"]["clusterIP"])
    return f"[{host}]:{GRPC_PORT}" if ":" in host else f"{host}:{GRPC_PORT}"


def wait_moved(address: str, names: Names, version: int) -> None:
    """Wait until the Service's address answers with a version.

    Raises:
        ReleaseError: it does not within MOVE_SECONDS.
    """
    deadline, said = time.monotonic() + MOVE_SECONDS, "nothing"
    while time.monotonic() < deadline:
        with Client(address, timeout=2.0, retries=0, tls=None) as client:
            try:
                found = client.metadata(names.model, label=STABLE).version
            except ServingError as error:
                said = str(error)
            else:
                if found == version:
                    return
                said = f"version {found}"
        time.sleep(0.1)
    raise ReleaseError(f"Service {names.slug}: {MOVE_SECONDS:g} s after the switch it answers {said}")


@contextmanager
def asking_pod(pod: Object, model: str, version: int) -> Iterator[Ask]:
    """Ask one Pod for a version."""
    with Client(grpc_address(pod), timeout=CALL_SECONDS, tls=None) as client:
        yield asking(client, model, version=version)


@contextmanager
def asking_service(address: str, model: str, version: int) -> Iterator[Ask]:
    """Ask a Service's address for the version that it selects: by its number, since what names the label is sampled."""
    with Client(address, timeout=CALL_SECONDS, tls=None) as client:
        yield asking(client, model, version=version)


def bake(cluster: Cluster, proof: Proof, pods: list[Object], address: str, lease: Holding, watch: Watch) -> None:
    """Watch a version that serves: its Pods stay ready and do not start again, its answers stay right and quick.

    Pods that the cluster itself ends (a node is drained, autoscaling goes down) are no fault of the version.

    Raises:
        ReleaseError: one of that fails.
        LeaseLostError: another process may be releasing.
    """
    names, deadline = proof.names, time.monotonic() + proof.settings.bake_seconds
    begun = {name_of(pod): restarts(pod) for pod in pods}
    for found in cluster.follow("pods", query(names.selector(proof.version)), tick=TICK_SECONDS):
        lease.check()
        _check_all_steady(found, begun)
        left = deadline - time.monotonic()
        try:
            proof.of_service(address)
            with asking_service(address, names.model, proof.version) as ask:
                watch.go_on(ask, min(left, TICK_SECONDS), lease.check)
        except ReleaseError:
            # What became of a Pod says more than that nothing answers.
            _check_all_steady(cluster.find("pods", query(names.selector(proof.version))), begun)
            raise
        if time.monotonic() >= deadline:
            watch.check()
            return


def _check_all_steady(pods: list[Object], begun: dict[str, int]) -> None:
    for pod in pods:
        if name_of(pod) in begun and not is_ending(pod):
            check_steady(pod, begun[name_of(pod)])


def check_steady(pod: Object, begun: int) -> None:
    """Hold a Pod that serves against how it was.

    Raises:
        ReleaseError: its containers have been started more often than `begun`, or it is not ready any more.
    """
    if restarts(pod) > begun:
        ended = last_end(server_status(pod)) or {}
        raise ReleaseError(
            f"while it served, Pod {name_of(pod)} ended: exit code {ended.get('exitCode')}, {ended.get('reason')}"
        )
    if not is_ready(pod):
        raise ReleaseError(f"while it served, {as_it_is(pod)}")
