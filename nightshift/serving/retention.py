"""What leaves the store: versions beyond those that are kept, and what dead publishers left.

The ledger is told first, then the files go. Cut off anywhere, no version is there by half: one that is `removed` is
never served again, and the next release deletes what is left of it.
"""

from collections.abc import Callable, Collection

from nightshift.errors import StoreError
from nightshift.serving.ledger import Event, State
from nightshift.serving.store import Store

SAFE_SECONDS = 86_400.0
"""What was never published and was not written to for so long has no writer any more."""


def surplus(state: State, keep: int, standing: Collection[int] = ()) -> list[int]:
    """The versions that can go, the oldest first.

    Args:
        state: of the model.
        keep: so many of those published last stay.
        standing: further versions that stay; what serves, its predecessor and what is being released always do.
    """
    there = sorted(state.published.keys() - state.removed.keys())
    pending = state.pending[0] if state.pending else 0
    stays = {*there[-keep:], *standing, state.stable, state.predecessor, pending}
    return [version for version in there if version not in stays]


def tidy(
    store: Store,
    model: str,
    keep: int,
    record: Callable[[Event], None],
    tell: Callable[[str], None],
    standing: Collection[int] = (),
) -> None:
    """Remove what is surplus, what is left of earlier removals, and what was half written long ago.

    The caller is the only one that releases the model. What cannot be deleted is told; the release stands.

    Args:
        store: where the versions are.
        model: which model.
        keep: see `surplus`.
        record: appends an event to the model's ledger.
        tell: told what happens.
        standing: see `surplus`.
    """
    try:
        for version in surplus(store.state(model), keep, standing):
            record(Event("removed", version, f"the last {keep} versions are kept"))
        state = store.state(model)
        for version in store.folders(model):
            if version in state.removed:
                store.remove_version(model, version)
                tell(f"removed {model} version {version} from the store")
            elif version not in state.published and store.age(model, version) > SAFE_SECONDS:
                store.remove_version(model, version)
                tell(f"removed what a publishing that was cut off had left as {model} version {version}")
    except (StoreError, OSError) as error:
        tell(f"{model}: the store could not be tidied, the next release will try again: {error}")
