"""A lock that is an object: its holder writes it anew every few seconds, and one who sees it unchanged may take it.

Every write names the generation that it replaces, so one of two takers succeeds. No two clocks are compared: who waits
watches for changes with its own. Nothing is deleted; a lock without a holder is free.
"""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from nightshift.errors import StoreError
from nightshift.serving.objects import Objects

HOLD_SECONDS = 60.0
RENEW_SECONDS = 15.0
POLL_SECONDS = 1.0


@contextlib.contextmanager
def object_lock(objects: Objects, name: str, waiting: Callable[[str], None], timeout: float) -> Iterator[None]:
    """Hold the object for the block; wait for whoever holds it, HOLD_SECONDS at most for one that died.

    Args:
        objects: where it is.
        name: of the object; made if it is not there, and left.
        waiting: told once, in words, that and for whom this process waits.
        timeout: seconds to wait.

    Raises:
        TimeoutError: another process held it all the time.
        StoreError: no bucket, no permission or no network; or, after a block that succeeded, another process took the
            lock meanwhile, since this one could not renew it.
    """
    held = _Held(objects, name, _acquire(objects, name, waiting, timeout))
    try:
        yield
    finally:
        kept = held.end()
    if not kept:
        raise StoreError(f"{objects.url(name)}: another process took the lock over, for this one stood still too long")


class _Held:
    """A lock that is held, renewed in a thread."""

    def __init__(self, objects: Objects, name: str, generation: int):
        self._objects, self._name, self._generation = objects, name, generation
        self._kept, self._ended = True, threading.Event()
        self._thread = threading.Thread(target=self._renew, name="store-lock", daemon=True)
        self._thread.start()

    def end(self) -> bool:
        """Give the lock back; whether it was ours to the end."""
        self._ended.set()
        self._thread.join()
        if self._kept:
            self._put("")
        return self._kept

    def _renew(self) -> None:
        while self._kept and not self._ended.wait(RENEW_SECONDS):
            self._put(_me())

    def _put(self, holder: str) -> None:
        # Without a network it stays as it is, and falls to the next one after HOLD_SECONDS.
        with contextlib.suppress(StoreError):
            try:
                self._generation = _write(self._objects, self._name, holder, self._generation)
            except FileExistsError:
                self._kept = False


def _acquire(objects: Objects, name: str, waiting: Callable[[str], None], timeout: float) -> int:
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
        time.sleep(POLL_SECONDS)


def _write(objects: Objects, name: str, holder: str, over: int) -> int:
    def send(blob: Any, **options: Any) -> None:
        blob.upload_from_string(b"", **options)

    return int(objects.write(name, send, over=over, metadata={"holder": holder}).generation)


def _me() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"
