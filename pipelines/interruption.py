"""Ctrl-C and SIGTERM: the step at work ends before the run does, so that it can say so on its record."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from nightshift.workspace import Run

SIGNALS = (signal.SIGINT, signal.SIGTERM)
MARK = "NIGHTSHIFT_LOCAL_RUN"
OWN_ACCORD_SECONDS = 1.0
STOP_SECONDS = 20.0
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
            _stop(self._run, number)
        raise KeyboardInterrupt


def _stop(run: Run, number: int) -> None:
    """End every process of the run, gently first, and put on record which step that was."""
    # A terminal's Ctrl-C goes to the steps as well; a second one would disturb their clearing up.
    if not (number == signal.SIGINT and _wait(run, OWN_ACCORD_SECONDS)):
        for sent, seconds in ((signal.SIGINT, STOP_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
            for process in _processes(run):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, sent)
            if _wait(run, seconds):
                break
    run.record_interruption()


def _wait(run: Run, seconds: float) -> bool:
    """Whether all its processes end within that time."""
    deadline = time.monotonic() + seconds
    while _processes(run):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
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
