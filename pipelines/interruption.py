"""Ctrl-C and SIGTERM: the step at work ends before the run does, so that it can say so on its record."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from nightshift.workspace import Run

SIGNALS = (signal.SIGINT, signal.SIGTERM)
MARK = "NIGHTSHIFT_LOCAL_RUN"
OWN_ACCORD_SECONDS = 1.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.05
KILL_SECONDS = 5.0
PROC = Path("/proc")


class Interruption:
    """A context manager for the main thread: the first signal stops the step at work and raises KeyboardInterrupt.

    Those that follow are ignored: the end is under way.
    """

    def __init__(self) -> None:
        self.received = False
        self._run: Run | None = None
        self._earlier: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interruption":
        self._earlier = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def stops(self, run: Run) -> Iterator[None]:
        """The block executes this run: an interruption stops its step. What it starts carries the run's mark."""
        os.environ[MARK] = str(run.path)
        self._run = run
        try:
            yield
        finally:
            self._run = None
            del os.environ[MARK]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        self.received = True
        # Here and not after the exception: on its way the runner closes the pipe that the step writes to, and the
        # step's last word would be that it was broken.
        if self._run is not None:
            at_work = _processes(self._run)
            threading.Thread(target=self._let_none_begin, args=(self._run, at_work), daemon=True).start()
            _stop(self._run, number, at_work)
        raise KeyboardInterrupt

    def _let_none_begin(self, run: Run, at_work: Sequence[int]) -> None:
        """The runner's loops go on to the iterations in their queue until the exception has got through."""
        while self._run is run:
            _kill(set(_processes(run)) - set(at_work), signal.SIGKILL)
            time.sleep(POLL_SECONDS)


def _stop(run: Run, number: int, at_work: Sequence[int]) -> None:
    """End the processes at work, gently first, and put on record which step that was."""
    # A terminal's Ctrl-C goes to the steps as well; a second one would disturb their clearing up.
    if not (number == signal.SIGINT and _wait(run, at_work, OWN_ACCORD_SECONDS)):
        for sent, seconds in ((signal.SIGINT, STOP_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
            _kill(at_work, sent)
            if _wait(run, at_work, seconds):
                break
    run.record_interruption()


def _kill(processes: Iterable[int], number: int) -> None:
    """Send a signal to processes, some of which may have ended."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


def _wait(run: Run, at_work: Sequence[int], seconds: float) -> bool:
    """Whether all of these end within that time."""
    deadline = time.monotonic() + seconds
    while set(_processes(run)) & set(at_work):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _processes(run: Run) -> list[int]:
    """The live processes of the run's steps: those with its mark, which no step's record names in its first seconds."""
    if not PROC.is_dir():
        return [status["process"] for status in run.statuses().values() if status["state"] == "running"]
    mark, found = f"{MARK}={run.path}".encode(), []
    for folder in PROC.iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            # It has ended meanwhile, or is another user's.
            with contextlib.suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
    return found
