"""The worker processes of Beam's runner on this machine, as Linux knows them; elsewhere none are found."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

PROGRAM = b"apache_beam.runners.worker.sdk_worker_main"


def workers() -> set[int]:
    """Those that this process, or the shell that Beam starts them by, runs now."""
    found = set()
    for pid in _started_by(os.getpid()):
        with contextlib.suppress(OSError):  # it has ended since
            if PROGRAM in Path(f"/proc/{pid}/cmdline").read_bytes():  # empty: it has ended
                found.add(pid)
    return found


def end_workers() -> None:
    """End them, without which the runner would wait for them."""
    for pid in workers():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _started_by(pid: int) -> Iterator[int]:
    """The processes below one."""
    with contextlib.suppress(OSError):  # it has ended since
        for file in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, file.read_text().split()):
                yield child
                yield from _started_by(child)
