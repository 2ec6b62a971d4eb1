"""A lock that is an object: its holder writes it anew every few seconds, and one who sees it unchanged may take it.

Every write names the generation that it replaces, so one of two takers succeeds. No two clocks are compared: who waits
watches for changes with its own. Nothing is deleted; a lock without a holder is free. Who is in a hurry writes an
object beside the lock, and its holder sees that one change.
"""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from nightshift.errors import StoreError
from nightshift.objects import Objects

HOLD_SECONDS = 60.0
RENEW_SECONDS = 15.0
POLL_SECONDS = 1.0
LOST_SECONDS = 45.0
"""Without a renewal the holder stops: before another one may take over."""
KNOCK = ".knock"


@contextlib.contextmanager
def object_lock(
    objects: Objects, name: str, waiting: Callable[[str], None], timeout: float, wanted_for: str = ""
) -> Iterator["_Held"]:
    """Hold the object for the block; wait for whoever holds it, HOLD_SECONDS at most for one that died.

    Args:
        objects: where it is.
        name: of the object; made if it is not there, and left.
        waiting: told once, in words, that and for whom this process waits.
        timeout: seconds to wait.
        wanted_for: what the holder is told, while this process waits, that it is wanted for; '': nothing.

    Raises:
        TimeoutError: another process held it all the time.
        StoreError: no bucket, no permission or no network; or, after a block that succeeded, another process took the
            lock meanwhile, since this one could not renew it.
    """
    held = _Held(objects, name, _acquire(objects, name, waiting, timeout, wanted_for))
    try:
        yield held
    finally:
        kept = held.end()
    if not kept:
        raise held.lost()


class _Held:
    """A lock that is held, renewed in a thread."""

    def __init__(self, objects: Objects, name: str, generation: int):
        self._objects, self._name, self._generation = objects, name, generation
        self._kept, self._ended = True, threading.Event()
        self._renewed = self._looked = time.monotonic()
        self._heard, self._wanted = _knock(objects)[0], ""
        self._thread = threading.Thread(target=self._renew, name="store-lock", daemon=True)
        self._thread.start()

    def end(self) -> bool:
        """Give the lock back; whether it was ours to the end."""
        self._ended.set()
        self._thread.join()
        if self._kept:
            self._put("")
        return self._kept

    def check(self) -> None:
        """See storage.Hold."""
        if not self._kept or time.monotonic() - self._renewed > LOST_SECONDS:
            raise self.lost()

    def lost(self) -> StoreError:
        """What is to be told where the lock is not ours any more."""
        url = self._objects.url(self._name)
        return StoreError(f"{url}: another process took the lock over, for this one stood still too long")

    def wanted(self) -> str:
        """See storage.Hold; the bucket is asked once in POLL_SECONDS at most."""
        now = time.monotonic()
        if not self._wanted and now - self._looked >= POLL_SECONDS:
            self._looked = now
            generation, wanted_for = _knock(self._objects)
            self._wanted = wanted_for if generation != self._heard else ""
        return self._wanted

    def _renew(self) -> None:
        while self._kept and not self._ended.wait(RENEW_SECONDS):
            self._put(_me())

    def _put(self, holder: str) -> None:
        # Without a network it stays as it is, and falls to the next one after HOLD_SECONDS.
        with contextlib.suppress(StoreError):
            try:
                began = time.monotonic()
                self._generation = _write(self._objects, self._name, holder, self._generation)
                self._renewed = began
            except FileExistsError:
                self._kept = False


def _acquire(objects: Objects, name: str, waiting: Callable[[str], None], timeout: float, wanted_for: str) -> int:
    """The generation of the lock as we wrote it."""
    started = since = time.monotonic()
    seen, told = -1, False
    while True:
        blob: Any = objects.get(name)
        generation, holder = (blob.generation, (blob.metadata or {}).get("holder")) if blob else (0, None)
        now = time.monotonic()
        if generation != seen:
            seen, since = generation, now
        if not holder or now - since > HOLD_SECONDS:
            with contextlib.suppress(FileExistsError):  # another one was faster
                return _write(objects, name, _me(), generation)
        if now - started > timeout:
            raise TimeoutError(f"{objects.url(name)}: still locked by {holder or 'others'} after {timeout:g} s")
        if holder and not told:
            waiting(f"waiting for {holder}, which holds {objects.url(name)}")
            told = True
        if holder and wanted_for:
            with contextlib.suppress(FileExistsError):  # another one knocked
                _write(objects, KNOCK, wanted_for, _knock(objects)[0])
        time.sleep(POLL_SECONDS)


def _knock(objects: Objects) -> tuple[int, str]:
    """The generation of the object that is written by who is in a hurry, and for what; 0 if there is none."""
    blob = objects.get(KNOCK)
    return (int(blob.generation), str((blob.metadata or {}).get("holder", ""))) if blob else (0, "")


def _write(objects: Objects, name: str, holder: str, over: int) -> int:
    def send(blob: Any, **options: Any) -> None:
        blob.upload_from_string(b"", **options)

    return int(objects.write(name, send, over=over, metadata={"holder": holder}).generation)


def _me() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"
