"""The ledger of a model's releases: one file an event, created once and never changed; what serves is their fold.

published   a version's files are complete in the store
approved    a server loaded it and answered the golden batch; from here on its release will be finished
promoted    the label `stable` names it
refused     it will never serve; with the reason
rolled_back the label `stable` names an earlier version again, or one that was itself rolled back
removed     its files leave the store, to make room; with the reason
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from nightshift.errors import StoreError
from nightshift.serving.storage import Files

KINDS = ("published", "approved", "promoted", "refused", "rolled_back", "removed")
NAME = re.compile(r"[0-9]{6}\.json")


@dataclass(frozen=True)
class Event:
    """Something that happened to a version.

    Attributes:
        kind: one of KINDS.
        version: which version it is about; of `rolled_back`, the one that serves again.
        reason: in words.
        time: UTC, ISO 8601.
        facts: of `published`: metrics, dataset fingerprint, recipe key, code version, hash of the manifest.
    """

    kind: str
    version: int
    reason: str = ""
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """What a model's events come to.

    Attributes:
        serving: versions that the label `stable` has named and could name again, the present one last.
        pending: a version published or approved and not yet promoted or refused, with the kind of its last event.
        published: facts a version.
        refused: version -> reason, rolled back ones included.
        rolled_back: versions that served until a person took them back; named, they can serve again.
        removed: versions whose files are gone -> when and why, in words.
    """

    serving: tuple[int, ...] = ()
    pending: tuple[int, str] | None = None
    published: dict[int, dict[str, Any]] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    rolled_back: frozenset[int] = frozenset()
    removed: dict[int, str] = field(default_factory=dict)

    @property
    def stable(self) -> int:
        """The version that serves, 0 if none does."""
        return self.serving[-1] if self.serving else 0

    @property
    def predecessor(self) -> int:
        """The version that served before it and can again, 0 if there is none."""
        return self.serving[-2] if len(self.serving) > 1 else 0


def fold(events: Sequence[Event]) -> State:
    """The state after these events."""
    serving: list[int] = []
    pending: tuple[int, str] | None = None
    published: dict[int, dict[str, Any]] = {}
    refused: dict[int, str] = {}
    rolled_back: set[int] = set()
    removed: dict[int, str] = {}
    for event in events:
        if event.kind in ("published", "approved"):
            pending = (event.version, event.kind)
            published.setdefault(event.version, event.facts)
        elif event.kind == "removed":
            removed[event.version] = f"{event.time}: {event.reason}"
            serving = [version for version in serving if version != event.version]
        elif event.kind == "rolled_back" and event.version in serving:
            while serving[-1] != event.version:
                rolled_back.add(serving[-1])
                why = f", {event.reason}" if event.reason else ""
                refused[serving.pop()] = f"rolled back to version {event.version}{why}"
        else:
            pending = None if pending and pending[0] == event.version else pending
            if event.kind == "refused":
                refused[event.version] = event.reason
            else:  # a version that was rolled back serves again, too
                serving.append(event.version)
                refused.pop(event.version, None)
                rolled_back.discard(event.version)
    return State(tuple(serving), pending, published, refused, frozenset(rolled_back), removed)


@dataclass(frozen=True)
class Ledger:
    """A model's events, files of a folder of the store, numbered from 1 without a gap."""

    files: Files
    folder: str

    def events(self) -> list[Event]:
        """All events, oldest first.

        Raises:
            StoreError: a file is not an event, or one is missing.
        """
        contents = self.files.contents(self.folder)
        names = self._numbered(contents)
        return [_read(self.files.url(f"{self.folder}/{name}"), contents[name]) for name in names]

    def state(self) -> State:
        """What the events come to."""
        return fold(self.events())

    def append(self, event: Event) -> None:
        """Record an event durably.

        Raises:
            StoreError: another process recorded one at the same moment.
        """
        if event.kind not in KINDS:
            raise ValueError(f"found event {event.kind!r}, expected one of {', '.join(KINDS)}")
        last = len(self._numbered(self.files.names(self.folder)))
        name = f"{self.folder}/{_name(last + 1)}"
        try:
            self.files.create(name, json.dumps(asdict(event), indent=2).encode())
        except FileExistsError:
            url = self.files.url(name)
            raise StoreError(f"{url}: another process records a release of this model right now") from None

    def _numbered(self, names: Iterable[str]) -> list[str]:
        found = sorted(name for name in names if NAME.fullmatch(name))
        for number, name in enumerate(found, start=1):
            if name != _name(number):
                url = self.files.url(f"{self.folder}/{_name(number)}")
                raise StoreError(f"{url}: missing, though {name} is there; what serves cannot be told without it")
        return found


def _name(number: int) -> str:
    return f"{number:06d}.json"


def _read(url: str, content: bytes) -> Event:
    try:
        event = Event(**json.loads(content))
    except (ValueError, TypeError, RecursionError) as error:
        raise StoreError(f"{url}: not a ledger event: {error}") from error
    if event.kind not in KINDS:
        raise StoreError(f"{url}: kind: found {event.kind!r}, expected one of {', '.join(KINDS)}")
    if type(event.version) is not int or event.version < 0:
        raise StoreError(f"{url}: version: found {event.version!r}, expected the number of a version")
    if not isinstance(event.facts, dict):
        raise StoreError(f"{url}: facts: found {event.facts!r}, expected an object")
    return event
