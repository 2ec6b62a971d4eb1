"""What serves in a namespace, for people and for programs; reads only."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelStatus:
    """A model in a namespace.

    Attributes:
        model: its name.
        endpoint: HOST:PORT of gRPC, inside the cluster.
        version: that the Service selects.
        ready: Pods of it that are ready.
        desired: Pods of it that there should be.
        since: when it began to serve, UTC, ISO 8601; empty if that is not recorded.
        image: of its model server.
        predecessor: what `rollback` would let serve; 0: nothing.
        predecessor_ready: whether that needs no start of Pods.
        holder: who releases or rolls back right now; empty: nobody.
        drift: what others than Nightshift and the cluster's controllers changed, a sentence each.
    """

    model: str
    endpoint: str
    version: int
    ready: int
    desired: int
    since: str
    image: str
    predecessor: int
    predecessor_ready: bool
    holder: str
    drift: tuple[str, ...]


@dataclass(frozen=True)
class VersionRecord:
    """A version that the cluster knows.

    Attributes:
        model: its name.
        version: its number.
        status: serving, earlier, rolled back or pending.
        since: when it began to serve (or was taken back), UTC, ISO 8601; empty if it never did.
        metrics: of its evaluation.
        reason: why it was taken back.
    """

    model: str
    version: int
    status: str
    since: str
    metrics: dict[str, float]
    reason: str
