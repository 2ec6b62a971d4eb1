"""One releaser a model at a time, by a Lease: who dies holding it, loses it after LEASE_SECONDS.

After client-go's leader election: a holder is dead when its Lease has not changed for that long by the watcher's own
clock, so clocks need not agree.
"""

import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from nightshift.errors import ReleaseError, ServingError
from nightshift.kubernetes.asking import ClusterError
from nightshift.kubernetes.cluster import CONFLICT, NOT_FOUND, Cluster
from nightshift.kubernetes.objects import Object
from nightshift.serving.kubernetes.names import MODEL, Names
from nightshift.serving.release import Tell

LEASE_SECONDS = 15
RENEW_SECONDS = 3.0
LOST_SECONDS = 10.0
"""Without a renewal, the holder stops: well before another one may take over."""

WAIT_SECONDS = 900.0
LOOK_SECONDS = 1.0


class LeaseLostError(ServingError):
    """Another process may be releasing the model by now; this one has stopped where it was."""


@dataclass
class Holding:
    """The right to change a model's objects, for as long as `check` does not raise.

    Attributes:
        cluster: where the Lease is.
        names: of the model.
        holder: who we are in the Lease.
        lease: as it was last read or written.
        renewed: when, by time.monotonic.
        lost: why it is not ours any more; empty while it is.
    """

    cluster: Cluster
    names: Names
    holder: str
    lease: Object
    renewed: float = field(default_factory=time.monotonic)
    lost: str = ""

    def check(self) -> None:
        """Go on only while the Lease is ours.

        Raises:
            LeaseLostError: it is not, or might not be.
        """
        if not self.lost and time.monotonic() - self.renewed > LOST_SECONDS:
            self.lost = f"it could not be renewed for {LOST_SECONDS:g} s"
        if self.lost:
            raise LeaseLostError(
                f"{self.names.model}: lost the Lease {self.names.slug} in namespace {self.cluster.namespace}: "
                f"{self.lost}; stopped here, and whoever releases or rolls back next settles what is left"
            )

    def renew(self) -> None:
        """Say that we are alive."""
        began = time.monotonic()
        self.lease["spec"]["renewTime"] = _micro_time()
        try:
            self.lease = self.cluster.replace("leases", self.names.slug, self.lease)
            self.renewed = began
        except ClusterError as error:
            if error.status == NOT_FOUND:
                self.lost = "it was deleted"
            elif error.status == CONFLICT:
                self._look_again()

    def _look_again(self) -> None:
        """A conflict is an answer that was lost on its way to us, or somebody else."""
        found = self.cluster.get("leases", self.names.slug)
        if found and found["spec"].get("holderIdentity") == self.holder:
            self.lease = found
        else:
            self.lost = f"{found['spec'].get('holderIdentity') or 'nobody'} holds it" if found else "it was deleted"

    def give_back(self) -> None:
        """Let the next one have it at once."""
        if self.lost:
            return
        self.lease["spec"] |= {"holderIdentity": "", "renewTime": _micro_time()}
        try:
            self.cluster.replace("leases", self.names.slug, self.lease)
        except ClusterError as error:
            # Somebody else's by now, or an API server that is away: it then ends by itself.
            if error.status not in (CONFLICT, NOT_FOUND) and not error.passing:
                raise


@contextmanager
def hold(cluster: Cluster, names: Names, tell: Tell, *, seconds: float = WAIT_SECONDS) -> Iterator[Holding]:
    """Hold a model's Lease during the block, renewed in a thread; waits for whoever holds it.

    Raises:
        ReleaseError: it was not to be had within that many seconds; names the holder.
    """
    us = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(3)}"
    holding = Holding(cluster, names, us, _acquire(cluster, names, us, tell, seconds))
    done = threading.Event()

    def keep() -> None:
        while not done.wait(RENEW_SECONDS) and not holding.lost:
            holding.renew()

    thread = threading.Thread(target=keep, name=f"lease {names.slug}", daemon=True)
    thread.start()
    try:
        yield holding
    finally:
        done.set()
        thread.join()
        holding.give_back()


def _acquire(cluster: Cluster, names: Names, us: str, tell: Tell, seconds: float) -> Object:
    deadline, seen, since, told = time.monotonic() + seconds, "", time.monotonic(), ""
    while True:
        found = cluster.get("leases", names.slug)
        if found is None:
            made = cluster.create("leases", new_lease(names, us))
            if made:
                return made
            continue
        holder, state = found["spec"].get("holderIdentity") or "", found["metadata"]["resourceVersion"]
        if state != seen:
            seen, since = state, time.monotonic()
        dead = time.monotonic() - since > (found["spec"].get("leaseDurationSeconds") or LEASE_SECONDS)
        if not holder or dead:
            if holder:
                tell(f"{names.model}: {holder} holds the Lease {names.slug} and is gone; taking over")
            taken = _take(cluster, names, found, us)
            if taken:
                return taken
            continue
        if time.monotonic() > deadline:
            raise ReleaseError(
                f"{names.model}: {holder} releases or rolls back (Lease {names.slug} in namespace "
                f"{cluster.namespace}, since {found['spec'].get('acquireTime')}) and was not done within {seconds:g} s"
            )
        if told != holder:
            tell(f"{names.model}: waiting for {holder}, who releases or rolls back (Lease {names.slug})")
            told = holder
        time.sleep(LOOK_SECONDS)


def _take(cluster: Cluster, names: Names, found: Object, us: str) -> Object | None:
    """The Lease, ours; None if somebody was quicker."""
    changes = int(found["spec"].get("leaseTransitions") or 0) + 1
    found["spec"] |= _spec(us) | {"leaseTransitions": changes}
    try:
        return cluster.replace("leases", names.slug, found)
    except ClusterError as error:
        if error.status in (CONFLICT, NOT_FOUND):
            return None
        raise


def new_lease(names: Names, us: str) -> Object:
    """The Lease of a model, held by `us`."""
    metadata = {"name": names.slug, "labels": names.labels(), "annotations": {MODEL: names.model}}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": _spec(us)}


def _spec(us: str) -> Object:
    time = _micro_time()
    return {"holderIdentity": us, "leaseDurationSeconds": LEASE_SECONDS, "acquireTime": time, "renewTime": time}


def _micro_time() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
