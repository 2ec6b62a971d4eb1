"""The worker processes of Beam's runner on this machine."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

PROGRAM = b"apache_beam.runners.worker.sdk_worker_main"


def end_workers() -> None:
    """End those that this process started; found on Linux only, elsewhere they end by themselves, or with the shell."""
    for pid in list(_started_by(os.getpid())):
        with contextlib.suppress(OSError):  # it has ended since
            if PROGRAM in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)


def _started_by(pid: int) -> Iterator[int]:
    """The processes below one."""
    with contextlib.suppress(OSError):  # it has ended since
        for file in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, file.read_text().split()):
                yield child
                yield from _started_by(child)
