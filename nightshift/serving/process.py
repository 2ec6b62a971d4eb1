"""A model server in a process of its own, for as long as a block lasts. No TensorFlow here."""

import contextlib
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from nightshift.errors import ServingError

START_SECONDS = 120.0
STOP_SECONDS = 40.0


@contextlib.contextmanager
def server_process(
    arguments: Sequence[str], *, log: Path | None = None, seconds: float = START_SECONDS
) -> Iterator[str]:
    """Start a server and stop it at the end of the block; it also ends if this process is killed.

    Args:
        arguments: of this Python interpreter, for a command that prints "serving on HOST:PORT" when it is
            ready and knows --until-stdin-closes.
        log: a file for what it logs; None: shown only if it does not start.
        seconds: to be ready.

    Returns:
        its HOST:PORT, once every model is loaded or has failed to.

    Raises:
        ServingError: it ended or was not ready in time; with the last lines of its log.
    """
    command = [sys.executable, *arguments, "--until-stdin-closes"]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": ""}
    with open(log, "ab") if log else tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=messages, env=environment
        )
        try:
            target = _address(process, seconds)
            if target is None:
                messages.seek(max(0, messages.tell() - 4000) if log is None else 0)
                said = "" if log else messages.read().decode(errors="replace").strip()
                raise ServingError(f"the model server did not start within {seconds:g} s: {said or f'see {log}'}")
            yield target
        finally:
            _stop(process)


def _address(process: subprocess.Popen[bytes], seconds: float) -> str | None:
    """HOST:PORT from the line that the server prints when it is ready."""
    assert process.stdout is not None
    deadline, said = time.monotonic() + seconds, b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if selector.select(left):
                # Not readline: a line that waits in its buffer would not wake the selector.
                chunk = os.read(process.stdout.fileno(), 4096)
                if not chunk:
                    return None
                *lines, said = (said + chunk).split(b"\n")
                for line in lines:
                    if line.startswith(b"serving on "):
                        return line.decode().split()[-1]
    return None


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for stream in (process.stdin, process.stdout):
        if stream:
            stream.close()
