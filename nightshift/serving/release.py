"""Release and roll back on a server that shares the store: load beside, ask, compare, move the label, watch.

Whatever goes wrong, and wherever the releasing process is killed, the label names a version that answered its golden
batch; the next release first finishes or undoes what an earlier one left.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nightshift.errors import ServingError, StoreError
from nightshift.serving.client import Client
from nightshift.serving.manifest import check_manifest
from nightshift.serving.releasing import Released, Releasing, Tell, YieldedError, earlier, serving_version
from nightshift.serving.rules import Rules, rules_of
from nightshift.serving.store import STORE_SERVICE, Store

__all__ = ["Released", "Tell", "champion", "check_same_store", "release", "rollback", "serving_version"]

START_SECONDS = 60.0  # for a server that has just been started
AGAIN_SECONDS = 3.0
"""Longer than who rolls back takes to see that the store is free."""

TIMES = 3


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


def release(
    store: Store, model: str, saved_model: Path, client: Client, tell: Tell = print, rules: Rules | None = None
) -> Released:
    """Publish a SavedModel, have the server load it beside what serves, ask it, promote it, watch it.

    Args:
        store: where it is published.
        model: which model.
        saved_model: a folder that the export step wrote.
        client: of the server that shares the store.
        tell: told what happens.
        rules: what it is held to; None: the environment's.

    Raises:
        StoreError: the SavedModel's files are not those of its manifest; nothing was published.
        ReleaseError: the version was refused; what served before still does.
    """
    check_manifest(saved_model)
    for left in reversed(range(TIMES)):
        try:
            with _held(store, model, client, tell, rules) as releasing:
                releasing.settle()
                return releasing.release(saved_model)
        except YieldedError as error:
            # Who rolls back this model decides what serves; who rolls back another only needs the store for a moment.
            if error.model == model or not left:
                raise
            tell(f"{error}; trying again")
            time.sleep(AGAIN_SECONDS)
    raise AssertionError("the last time returns or raises")


def rollback(
    store: Store, model: str, client: Client, version: int = 0, tell: Tell = print, rules: Rules | None = None
) -> Released:
    """Let an earlier version serve again. A release that is under way gives way, and its version is refused.

    Args:
        store: where the versions are.
        model: which model.
        client: of the server that shares the store.
        version: one that served before, were it rolled back since; 0: the one before what serves when this is called.
        tell: told what happens.
        rules: see `release`.

    Raises:
        ReleaseError: there is no such version, or it does not load or answer; what serves now still does.
    """
    check_same_store(store, client)
    seen = serving_version(client, model)
    if seen and not store.has_version(model, seen):
        store.version_path(model, seen)  # which says why it is not there
    # Before a release gives way, too: a mistyped version or model is not to cost it.
    earlier(model, store.state(model), version, seen)
    with _held(store, model, client, tell, rules, urgently=True) as releasing:
        releasing.settle(finish=False)
        state = store.state(model)
        if seen in state.refused and version in (0, state.stable) and state.stable:
            tell(f"{model}: version {state.stable} serves again; version {seen} has just been taken back")
            return Released(state.stable, seen)
        return releasing.roll_back(version)


@contextmanager
def _held(
    store: Store, model: str, client: Client, tell: Tell, rules: Rules | None, *, urgently: bool = False
) -> Iterator[Releasing]:
    check_same_store(store, client)
    with store.lock(tell, wanted_for=model if urgently else "") as hold:
        yield Releasing(store, model, client, rules or rules_of(), hold, tell)
