"""What a model's Service has selected, and what was taken back: kept on the Service itself.

The selector says what serves. The annotations are written together with it, in one change, so they are true whenever
somebody is killed, and whoever can read the Service can roll back, without the store.
"""

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from nightshift.errors import ServingError
from nightshift.kubernetes.objects import Object, annotation, name_of
from nightshift.serving.kubernetes.names import INSTANCE, SERVED, VERSION, WITHDRAWN, number
from nightshift.serving.ledger import Event, State

BY_HAND = "its Service was switched by hand"


@dataclass(frozen=True)
class Served:
    """A version, and since when it served; UTC, ISO 8601, empty if that is not known."""

    version: int
    since: str = ""


@dataclass(frozen=True)
class Withdrawn:
    """A version that served and was taken back.

    Attributes:
        version: which one.
        to: what serves in its place.
        time: UTC, ISO 8601.
        reason: in words.
    """

    version: int
    to: int
    time: str
    reason: str


@dataclass(frozen=True)
class History:
    """A model's history in the cluster.

    Attributes:
        served: versions that served and can serve again, the present one last.
        withdrawn: what was taken back since the last release.
    """

    served: tuple[Served, ...] = ()
    withdrawn: tuple[Withdrawn, ...] = ()

    @property
    def live(self) -> int:
        """The version that serves, 0 if none does."""
        return self.served[-1].version if self.served else 0

    @property
    def predecessor(self) -> int:
        """What served before it, 0 if nothing did."""
        return self.served[-2].version if len(self.served) > 1 else 0

    @property
    def earlier(self) -> tuple[int, ...]:
        """The versions that can be rolled back to, the one before the present last."""
        return tuple(entry.version for entry in self.served[:-1])

    @property
    def versions(self) -> tuple[int, ...]:
        """Those that can serve, the present one last."""
        return tuple(entry.version for entry in self.served)

    def promoted(self, version: int, keep: int) -> "History":
        """After a version began to serve; `keep` and one more stay, as it may have to go yet."""
        others = tuple(entry for entry in self.served if entry.version != version)
        return History((*others, Served(version, now()))[-keep - 1 :])

    def returned(self, version: int, reason: str) -> "History":
        """After the Service went back to an earlier version; what came after that one is withdrawn."""
        index = self.versions.index(version)
        gone = [Withdrawn(entry.version, version, now(), reason) for entry in self.served[index + 1 :]]
        return History(self.served[: index + 1], (*self.withdrawn, *gone))

    def given_up(self, version: int, reason: str) -> "History":
        """After a release that had not switched yet was abandoned."""
        return History(self.served, (*self.withdrawn, Withdrawn(version, self.live, now(), reason)))

    def is_withdrawn(self, version: int) -> bool:
        """Whether a version was taken back since the last release."""
        return any(entry.version == version for entry in self.withdrawn)

    def annotations(self) -> dict[str, str]:
        """Its form on the Service."""
        return {
            SERVED: json.dumps([asdict(entry) for entry in self.served]),
            WITHDRAWN: json.dumps([asdict(entry) for entry in self.withdrawn]),
        }


def read_history(service: Object | None) -> History:
    """The history that a Service tells; a selector that was changed by hand counts as switched then.

    Raises:
        ServingError: its selector or an annotation of ours is not what a release writes.
    """
    if service is None:
        return History()
    selector = service["spec"].get("selector") or {}
    live = number(str(selector.get(VERSION, "")))
    if not live or selector.get(INSTANCE) != name_of(service):
        raise ServingError(
            f"Service {name_of(service)}: spec.selector: found {json.dumps(selector)}, expected "
            f"{INSTANCE}={name_of(service)} and {VERSION} with a version's number"
        )
    served = [Served(int(entry["version"]), str(entry["since"])) for entry in _entries(service, SERVED, "since")]
    withdrawn = [
        Withdrawn(int(entry["version"]), int(entry["to"]), str(entry["time"]), str(entry["reason"]))
        for entry in _entries(service, WITHDRAWN, "to", "time", "reason")
    ]
    history = History(tuple(served), tuple(withdrawn))
    if live == history.live:
        return history
    if live in history.versions:
        return history.returned(live, BY_HAND)
    return History((*history.served, Served(live)), history.withdrawn)


def remembered(state: State, standing: Collection[int]) -> History:
    """What a Service that was deleted would tell, by the ledger: of the versions that stand in the cluster."""
    return History(tuple(Served(version) for version in state.serving if version in standing))


def _entries(service: Object, key: str, *fields: str) -> list[dict[str, Any]]:
    text = annotation(service, key) or "[]"
    try:
        entries = json.loads(text)
        if all(isinstance(entry["version"], int) and all(field in entry for field in fields) for entry in entries):
            return list(entries)
    except (ValueError, TypeError, KeyError, RecursionError):
        pass  # told below, with what was found
    raise ServingError(f"Service {name_of(service)}: annotation {key}: found {text[:200]!r}, expected a list of ours")


def missing_events(state: State, history: History) -> list[Event]:
    """What the store's ledger lacks of what happened in the cluster, a person without the store having rolled back."""
    events = []
    if state.pending and history.is_withdrawn(state.pending[0]):
        entry = next(one for one in history.withdrawn if one.version == state.pending[0])
        events.append(Event("refused", entry.version, entry.reason, entry.time))
    pending = state.pending[0] if state.pending else 0
    if history.live in (0, state.stable, pending):
        return events
    if history.live in state.serving:
        taken = [entry for entry in history.withdrawn if entry.version == state.stable]
        time, reason = (taken[-1].time, taken[-1].reason) if taken else (now(), BY_HAND)
        events.append(Event("rolled_back", history.live, f"from version {state.stable}: {reason}", time))
    elif history.live in state.published:
        events.append(Event("promoted", history.live, BY_HAND))
    return events


def now() -> str:
    """The time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
