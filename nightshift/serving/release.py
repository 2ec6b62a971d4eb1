"""Release and roll back on a server that shares the store: load beside, ask, then move the label.

Whatever goes wrong, and wherever the releasing process is killed, the label names a version that answered its golden
batch; the next release first finishes or undoes what an earlier one left.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nightshift.errors import NightshiftError, ReleaseError, ServingError, StoreError
from nightshift.files import sha256_of
from nightshift.serving.client import Client, ServerRefusedError
from nightshift.serving.golden import Golden
from nightshift.serving.ledger import Event
from nightshift.serving.manifest import NAME as MANIFEST
from nightshift.serving.manifest import check_manifest
from nightshift.serving.smoke import smoke_test
from nightshift.serving.store import STABLE, STORE_SERVICE, Store

LOAD_SECONDS = 120.0
START_SECONDS = 60.0  # for a server that has just been started

Tell = Callable[[str], None]


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


def champion(store: Store, model: str, client: Client) -> int:
    """The version that serves, by the server's own word, 0 if none does; waits for one that is still loading.

    Raises:
        StoreError: the server serves another store, or a version that is not in this one.
        ServingError: it does not answer, or it does not serve the version that the ledger calls stable.
    """
    check_same_store(store, client)
    stable = store.state(model).stable
    expected = stable if store.has_version(model, stable) else 0
    deadline = time.monotonic() + START_SECONDS
    while not (version := serving_version(client, model)):
        if not expected:
            return 0
        if time.monotonic() > deadline:
            known = {status.version: f"{status.state} {status.error}" for status in client.status(model)}
            raise ServingError(
                f"{client.target}: version {expected} of {model} is stable and not served there: "
                f"{known.get(expected, 'the server was not told to')}"
            )
        time.sleep(0.2)
    store.version_path(model, version)
    return version


def check_same_store(store: Store, client: Client) -> None:
    """Refuse a server that `nightshift serve` started on another store: a release would put out its models.

    Raises:
        StoreError: it is one.
    """
    if client.has_service(STORE_SERVICE) and not client.has_service(f"{STORE_SERVICE}/{store.identity}"):
        raise StoreError(
            f"{client.target}: the model server there serves another workspace's models than {store.root}; give its "
            "workspace, or another server"
        )


def release(store: Store, model: str, saved_model: Path, client: Client, tell: Tell = print) -> Released:
    """Publish a SavedModel, have the server load it beside what serves, ask it the golden batch, promote it.

    Raises:
        StoreError: the SavedModel's files are not those of its manifest; nothing was published.
        ReleaseError: the version was refused; what served before still does.
    """
    check_manifest(saved_model)
    with store.lock():
        settle(store, model, client, tell)
        before = store.state(model)
        manifest = sha256_of(saved_model / MANIFEST)
        if before.stable and before.published.get(before.stable, {}).get("manifest") == manifest:
            tell(f"version {before.stable} of {model} is this very model and serves already")
            return Released(before.stable, before.serving[-2] if len(before.serving) > 1 else 0, unchanged=True)
        version = store.publish(model, saved_model)
        tell(f"published {model} version {version}")
        _load_and_ask(store, model, version, client, tell)
        store.ledger(model).append(Event("approved", version, "loaded, and answered the golden batch"))
        _promote(store, model, version, client, tell)
        return Released(version, before.stable)


def rollback(store: Store, model: str, client: Client, version: int = 0, tell: Tell = print) -> Released:
    """Let an earlier version serve again.

    Args:
        store: where the versions are.
        model: which model.
        client: of the server that shares the store.
        version: one that served before; 0: the one before the present.
        tell: told what happens.

    Raises:
        ReleaseError: there is no such version, or it does not load or answer; what serves now still does.
    """
    with store.lock():
        settle(store, model, client, tell)
        state = store.state(model)
        earlier = state.serving[:-1]
        target = version or (earlier[-1] if earlier else 0)
        if target not in earlier:
            known = ", ".join(map(str, reversed(earlier))) or "none"
            wanted = f"version {target}" if target else "an earlier version"
            raise ReleaseError(f"{model}: cannot roll back to {wanted}; versions that served before: {known}")
        try:
            check_manifest(store.version_path(model, target))
            client.reload(store.server_config(candidate=(model, target)))
            _smoke(store, model, target, client, tell)
        except NightshiftError as error:
            client.reload(store.server_config())
            raise ReleaseError(f"{model}: version {target} cannot serve, {state.stable} still does: {error}") from error
        _move_label(store, model, target, client)
        store.ledger(model).append(Event("rolled_back", target, f"from version {state.stable}"))
        client.reload(store.server_config())
        tell(f"{model}: version {target} serves again")
        return Released(target, state.stable)


def settle(store: Store, model: str, client: Client, tell: Tell = print) -> None:
    """Finish or undo what a killed release left, and bring the server to what the ledger says.

    Raises:
        ServingError: the server does not answer; nothing was recorded.
        StoreError: it serves the model from another store, whose models this one's list would put out.
    """
    check_same_store(store, client)
    served, pending = serving_version(client, model), store.state(model).pending
    if served:
        store.version_path(model, served)
    if pending and pending[1] == "approved":
        tell(f"finishing the release of {model} version {pending[0]}, which was interrupted")
        try:
            if served != pending[0]:  # the server may be another one than approved it
                _load_and_ask(store, model, pending[0], client, tell)
            _promote(store, model, pending[0], client, tell)
        except ReleaseError as error:
            tell(str(error))
    elif pending:
        store.ledger(model).append(Event("refused", pending[0], "its release was interrupted before it was approved"))
        tell(f"gave up {model} version {pending[0]}, whose release was interrupted")
    # Always: a killed release may have left the server with a version too many under the right label.
    if store.models():
        client.reload(store.server_config())


def _load_and_ask(store: Store, model: str, version: int, client: Client, tell: Tell) -> None:
    """Load and ask a version that is not stable; refused, it leaves the server and the ledger says why."""
    try:
        # Without its label: a version and its label in one edit would deadlock a server.
        client.reload(store.server_config(candidate=(model, version)))
        _smoke(store, model, version, client, tell)
    except NightshiftError as error:
        store.ledger(model).append(Event("refused", version, str(error)))
        stable = store.state(model).stable
        kept = f"version {stable} still serves" if stable else "nothing serves"
        try:
            client.reload(store.server_config())
        except ServingError as second:
            tell(f"the server could not be brought back to its earlier list: {second}")
        raise ReleaseError(f"{model} version {version} was refused, {kept}: {error}") from error
    tell(f"{model} version {version} answers the golden batch as the trained network does")


def _smoke(store: Store, model: str, version: int, client: Client, tell: Tell) -> None:
    """Wait until the version is AVAILABLE and compare its answers with the golden ones."""
    tell(f"waiting until the server at {client.target} has loaded {model} version {version}")
    _wait_available(client, model, version)
    smoke_test(client, model, version, Golden.load(store.version_path(model, version)))


def _wait_available(client: Client, model: str, version: int) -> None:
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
        time.sleep(0.1)


def _promote(store: Store, model: str, version: int, client: Client, tell: Tell) -> None:
    """Move the label, record it, and let the version before go."""
    _move_label(store, model, version, client)
    store.ledger(model).append(Event("promoted", version))
    client.reload(store.server_config())
    tell(f"{model} version {version} serves as {STABLE!r}")


def _move_label(store: Store, model: str, version: int, client: Client) -> None:
    client.reload(store.server_config(candidate=(model, version), label=(model, version)))
    found = serving_version(client, model)
    if found != version:
        raise ReleaseError(f"{model}: the server's label {STABLE!r} names version {found} after moving it to {version}")
