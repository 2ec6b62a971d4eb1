"""The course of a release on a server that shares the store: from any point of it back, or to its end.

What is cut off leaves the ledger's last event and the server's label, from which the next one knows where it was.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nightshift.errors import NightshiftError, ReleaseError, ServingError
from nightshift.files import sha256_of
from nightshift.serving.bake import Watch, quality_before
from nightshift.serving.client import Client, ServerRefusedError
from nightshift.serving.golden import Golden
from nightshift.serving.ledger import Event, State
from nightshift.serving.manifest import NAME as MANIFEST
from nightshift.serving.manifest import check_manifest
from nightshift.serving.probes import Probe, asking, live_probes
from nightshift.serving.retention import tidy
from nightshift.serving.rules import Rules
from nightshift.serving.shadow import shadow
from nightshift.serving.smoke import smoke_test
from nightshift.serving.storage import Hold
from nightshift.serving.store import STABLE, Store

LOAD_SECONDS = 120.0
INTERRUPTED = "its release was interrupted before it was approved"
ABANDONED = "its release was interrupted, and then an earlier version was rolled back to"

Tell = Callable[[str], None]


class YieldedError(ReleaseError):
    """A release has given the store to somebody who rolls back `model`."""

    def __init__(self, message: str, model: str) -> None:
        super().__init__(message)
        self.model = model


@dataclass(frozen=True)
class Released:
    """The version that serves now, the one before (0: none), and whether it served already."""

    version: int
    predecessor: int
    unchanged: bool = False


def serving_version(client: Client, model: str) -> int:
    """The version that the label `stable` names on the server, 0 if the server has no such model or label.

    Raises:
        ServingError: the server does not answer.
    """
    try:
        return client.metadata(model, label=STABLE).version
    except ServerRefusedError as refusal:
        if refusal.code in ("NOT_FOUND", "INVALID_ARGUMENT", "FAILED_PRECONDITION"):
            return 0
        raise


@dataclass(frozen=True)
class Releasing:
    """A model of the store in the hand of who holds it.

    Attributes:
        store: where the versions are.
        model: which model.
        client: of the server that shares the store.
        rules: of releases.
        hold: of the store; looked at before every change.
        tell: told what happens.
    """

    store: Store
    model: str
    client: Client
    rules: Rules
    hold: Hold
    tell: Tell

    def settle(self, *, finish: bool = True) -> None:
        """Finish or undo what a killed release left, and bring the server to what the ledger says.

        Args:
            finish: an approved version begins to serve; else it is given up, too, as who rolls back wants.

        Raises:
            ServingError: the server does not answer; nothing was recorded.
            StoreError: it serves the model from another store, whose models this one's list would put out.
        """
        served, pending = serving_version(self.client, self.model), self.store.state(self.model).pending
        if served:
            self.store.version_path(self.model, served)
        if pending and pending[1] == "approved" and finish:
            self.tell(f"finishing the release of {self.model} version {pending[0]}, which was interrupted")
            try:
                self._finish(pending[0], serves=served == pending[0])
            except YieldedError:
                raise
            except ReleaseError as error:
                self.tell(str(error))
        elif pending:
            self._load_stable()
            self._take_back(pending[0], INTERRUPTED if finish else ABANDONED)
            self.tell(f"gave up {self.model} version {pending[0]}, whose release was interrupted")
        # Always: a killed release may have left the server with a version too many under the right label.
        if self.store.models():
            self._load_stable()
            self._reload(self.store.server_config())

    def _load_stable(self) -> None:
        """Have a server whose label names another version load the ledger's beside it, where the label can move to."""
        served, stable = serving_version(self.client, self.model), self.store.state(self.model).stable
        if not stable or served in (0, stable):
            return
        named = (self.model, served)
        self._reload(self.store.server_config(candidate=named, label=named))
        wait_available(self.client, self.model, stable, self.hold.check)

    def release(self, saved_model: Path) -> Released:
        """Release a SavedModel, everything earlier being settled, and tidy the store.

        Raises:
            ReleaseError: the version was refused; what served before still does.
        """
        released = self._release(saved_model)
        tidy(self.store, self.model, self.rules.keep, self._append, self.tell)
        return released

    def _release(self, saved_model: Path) -> Released:
        state = self.store.state(self.model)
        manifest = sha256_of(saved_model / MANIFEST)
        if state.stable and state.published.get(state.stable, {}).get("manifest") == manifest:
            self.tell(f"version {state.stable} of {self.model} is this very model and serves already")
            return Released(state.stable, state.predecessor, unchanged=True)
        version = self.store.publish(self.model, saved_model, self._proceed)
        self.tell(f"published {self.model} version {version}")
        self._finish(version)
        return Released(version, state.stable)

    def roll_back(self, version: int) -> Released:
        """Let an earlier version serve again, see `earlier`; 0: the one before the present.

        Raises:
            ReleaseError: there is none, or it does not load or answer; what serves now still does.
        """
        state = self.store.state(self.model)
        target = earlier(self.model, state, version)
        candidate = (self.model, target)
        try:
            check_manifest(self.store.version_path(self.model, target))
            self._reload(self.store.server_config(candidate=candidate))
            self._smoke(target, Golden.load(self.store.version_path(self.model, target)), lambda: None)
        except NightshiftError as error:
            self._reload(self.store.server_config())
            raise ReleaseError(
                f"{self.model}: version {target} cannot serve, {state.stable} still does: {error}"
            ) from error
        self._move_label(target)
        self._append(Event("rolled_back", target, f"from version {state.stable}"))
        self._reload(self.store.server_config())
        self.tell(f"{self.model}: version {target} serves again")
        return Released(target, state.stable)

    def _finish(self, version: int, *, serves: bool = False) -> None:
        """From the store to the label and through the bake; refused, it leaves the server and the ledger says why."""
        state = self.store.state(self.model)
        try:
            golden = Golden.load(self.store.version_path(self.model, version))
            probes = self._probes(golden) if state.stable else []
            if not serves:
                # Without its label: a version and its label in one edit would deadlock a server.
                self._reload(self.store.server_config(candidate=(self.model, version)))
                self._smoke(version, golden, self._proceed)
                self.tell(f"{self.model} version {version} answers the golden batch as the trained network does")
                self._shadow(version, probes)
            if state.pending != (version, "approved"):
                self._append(Event("approved", version, "loaded, and answered the golden batch"))
            self._serve_and_bake(version, probes)
        except NightshiftError as error:
            raise self._refused(version, error) from error
        self._append(Event("promoted", version))
        self._reload(self.store.server_config())
        self.tell(f"{self.model} version {version} serves as {STABLE!r}")

    def _probes(self, golden: Golden) -> Sequence[Probe]:
        return live_probes(self.rules.samples, self.model, self.rules.requests, golden, self.tell)

    def _smoke(self, version: int, golden: Golden, proceed: Callable[[], None]) -> None:
        """Wait until the version is AVAILABLE and compare its answers with the golden ones."""
        self.tell(f"waiting until the server at {self.client.target} has loaded {self.model} version {version}")
        wait_available(self.client, self.model, version, proceed)
        smoke_test(self.client, self.model, version, golden)

    def _shadow(self, version: int, probes: Sequence[Probe]) -> None:
        stable = self.store.state(self.model).stable
        if not stable:
            return
        candidate = asking(self.client, self.model, version=version)
        champion = asking(self.client, self.model, version=stable)
        found = shadow(probes, candidate, champion, self.rules.slower, self._proceed)
        found.check(self.rules.slower)
        self.tell(f"{self.model} version {version}: {found.in_words()}")

    def _serve_and_bake(self, version: int, probes: Sequence[Probe]) -> None:
        """Move the label, and watch; a first version has nothing to be held against, nor to give way to."""
        stable, seconds = self.store.state(self.model).stable, self.rules.bake_seconds
        bakes = bool(stable and seconds)
        predecessor = asking(self.client, self.model, version=stable)
        quality = quality_before(probes, predecessor, seconds, self._proceed) if bakes else None
        self._move_label(version)
        if not bakes:
            return
        self.tell(f"{self.model}: {STABLE!r} names version {version}; watching it serve for {seconds:g} s")
        watch = Watch(probes, quality, slower=self.rules.slower, errors=self.rules.errors)
        # By its number, though the label names it: what names the label is sampled as live traffic.
        watch.go_on(asking(self.client, self.model, version=version), seconds, self._proceed)
        watch.check()

    def _refused(self, version: int, error: NightshiftError) -> ReleaseError:
        """Take a version back; gives the error to raise."""
        try:
            self._take_back(version, str(error))
            self._reload(self.store.server_config())
        except ServingError as second:
            self.tell(f"the server could not be brought back to its earlier list: {second}")
        stable = self.store.state(self.model).stable
        kept = f"version {stable} still serves" if stable else "nothing serves"
        message = f"{self.model} version {version} was refused, {kept}: {error}"
        return YieldedError(message, error.model) if isinstance(error, YieldedError) else ReleaseError(message)

    def _take_back(self, version: int, reason: str) -> None:
        """The label names what it did before, and then the ledger says why."""
        try:
            if serving_version(self.client, self.model) == version and self.store.state(self.model).stable:
                # What serves again is still loaded; the other one leaves the list only when no label names it.
                self._reload(self.store.server_config(candidate=(self.model, version)))
        finally:
            self._append(Event("refused", version, reason))

    def _move_label(self, version: int) -> None:
        moved = (self.model, version)
        self._reload(self.store.server_config(candidate=moved, label=moved))
        found = serving_version(self.client, self.model)
        if found != version:
            raise ReleaseError(
                f"{self.model}: the server's label {STABLE!r} names version {found} after moving it to {version}"
            )

    def _proceed(self) -> None:
        """Go on only while the store is ours and nobody is in a hurry to have it.

        Raises:
            StoreError: it is not ours any more.
            YieldedError: somebody is.
        """
        self.hold.check()
        if model := self.hold.wanted():
            raise YieldedError(f"somebody rolls back {model}, and this release gave way", model)

    def _append(self, event: Event) -> None:
        self.hold.check()
        self.store.ledger(self.model).append(event)

    def _reload(self, config: Any) -> None:
        self.hold.check()
        self.client.reload(config)


def earlier(model: str, state: State, version: int = 0, serves: int = 0) -> int:
    """The version to roll back to.

    Args:
        model: its name, for the message.
        state: by its ledger.
        version: one that served before, were it rolled back since; 0: the one before what serves.
        serves: what serves; 0: what does by the ledger. Another one is pending, and `stable` the one before it.

    Raises:
        ReleaseError: there is none, or not that one.
    """
    unpromoted = bool(state.pending and serves == state.pending[0])
    before = state.serving if unpromoted else state.serving[:-1]
    taken = sorted(state.rolled_back - state.removed.keys(), reverse=True)
    target = version or (before[-1] if before else 0)
    if target in before or target in taken:
        return target
    wanted = f"version {target}" if target else "an earlier version"
    removed = f", which was removed, {state.removed[target]}" if target in state.removed else ""
    known = ", ".join(map(str, reversed(before))) or "none"
    named = f"; rolled back, and can be named: {', '.join(map(str, taken))}" if taken else ""
    raise ReleaseError(f"{model}: cannot roll back to {wanted}{removed}; earlier versions: {known}{named}")


def wait_available(client: Client, model: str, version: int, proceed: Callable[[], None]) -> None:
    """Wait until a server has loaded a version.

    Raises:
        ReleaseError: it could not, or did not within LOAD_SECONDS.
    """
    deadline = time.monotonic() + LOAD_SECONDS
    while True:
        status = next((s for s in client.status(model) if s.version == version), None)
        if status and status.state == "AVAILABLE":
            return
        if status and status.state == "END" and status.error:  # without one it is a version unloaded just before
            raise ReleaseError(f"the server could not load it: {status.error}")
        if time.monotonic() > deadline:
            state = status.state if status else "not seen by the server; does it share the store's folder?"
            raise ReleaseError(f"not AVAILABLE after {LOAD_SECONDS:g} s: {state}")
        proceed()
        time.sleep(0.1)
