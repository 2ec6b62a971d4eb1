"""A model server in a process of its own, for as long as a block lasts. No TensorFlow here."""

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from nightshift.errors import ServingError

START_SECONDS = 120.0
STOP_SECONDS = 40.0
EXIT_SECONDS = 10.0
LAST_LINES, LAST_BYTES = 12, 4000


@dataclass(frozen=True)
class ServerProcess:
    """A model server that is ready: its HOST:PORT, and the number of its process."""

    target: str
    pid: int


@contextlib.contextmanager
def server_process(
    arguments: Sequence[str], *, log: Path | None = None, seconds: float = START_SECONDS
) -> Iterator[str]:
    """`running_server`, for who asks no more than its HOST:PORT."""
    with running_server(arguments, log=log, seconds=seconds) as server:
        yield server.target


@contextlib.contextmanager
def running_server(
    arguments: Sequence[str], *, log: Path | None = None, seconds: float = START_SECONDS
) -> Iterator[ServerProcess]:
    """Start a server and stop it at the end of the block; it also ends if this process is killed.

    Args:
        arguments: of this Python interpreter, for a command that prints "serving on HOST:PORT" when it is
            ready and knows --until-stdin-closes.
        log: a file that what it logs is added to; None: kept only for the error if it does not start.
        seconds: to be ready.

    Returns:
        where it is, once every model is loaded or has failed to.

    Raises:
        ServingError: it ended (with its exit code) or was not ready in time; with the last lines of its log.
    """
    command = [sys.executable, *arguments, "--until-stdin-closes"]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": ""}
    with open(log, "a+b") if log else tempfile.TemporaryFile() as messages:
        begin = messages.seek(0, os.SEEK_END)
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=messages, env=environment
        )
        try:
            target = _address(process, seconds)
            if target is None:
                what = _what_became_of(process, seconds)
                raise ServingError(f"the model server {what}: {_last_lines(messages, begin)}")
            yield ServerProcess(target, process.pid)
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


def _what_became_of(process: subprocess.Popen[bytes], seconds: float) -> str:
    """Why there is no address: the process has ended, or it takes too long."""
    assert process.stdout is not None
    try:
        # With its output closed it is about to end; with nothing said it is not.
        code = process.wait(EXIT_SECONDS if _closed(process.stdout) else 0)
    except subprocess.TimeoutExpired:
        return f"was not ready within {seconds:g} s"
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _closed(stream: IO[bytes]) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        return bool(selector.select(0)) and not os.read(stream.fileno(), 4096)


def _last_lines(messages: IO[bytes], begin: int) -> str:
    """The end of what was logged from an offset on; what stands before it is of earlier processes."""
    end = messages.seek(0, os.SEEK_END)
    messages.seek(max(begin, end - LAST_BYTES))
    lines = messages.read().decode(errors="replace").strip().splitlines()
    return "\n".join(lines[-LAST_LINES:]) or "it logged nothing"


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
