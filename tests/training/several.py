"""Processes that train, on this machine: one, or several that find each other by TF_CONFIG."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def cluster(index: int, ports: Sequence[int]) -> str:
    """TF_CONFIG of one worker."""
    workers = [f"127.0.0.1:{port}" for port in ports]
    return json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}})


@contextlib.contextmanager
def started(program: str, *arguments: object, count: int = 1, only: Sequence[int] = ()) -> Iterator[list[Any]]:
    """The workers of a training, each a process whose output is text; killed at the end of the block.

    Args:
        program: a file beside this one.
        arguments: of its command line.
        count: of the workers.
        only: numbers of those that are started; empty: all.
    """
    ports = free_ports(count)
    environment = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
    environment |= {"PYTHONPATH": os.pathsep.join([str(FOLDER.parent), str(FOLDER.parent.parent)])}
    command = [sys.executable, str(FOLDER / program), *map(str, arguments)]
    with contextlib.ExitStack() as processes:
        found = []
        for index in only or range(count):
            own = {"TF_CONFIG": cluster(index, ports)} if count > 1 else {}
            process = subprocess.Popen(
                command, env=environment | own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            processes.enter_context(process)
            processes.callback(process.kill)
            found.append(process)
        yield found


def read_until(process: Any, words: str) -> str:
    """The first line of its output with these words in it."""
    for line in process.stdout:
        if words in line:
            return str(line)
    raise AssertionError(f"{words!r} was not said; {process.stderr.read()[-3000:]}")


def ended(process: Any, seconds: float = 240) -> tuple[int, str, float]:
    """Its exit code, the last line of its standard error and how long it took until it ended."""
    began = time.monotonic()
    _, told = process.communicate(timeout=seconds)
    return process.returncode, (told.strip().splitlines() or [""])[-1], time.monotonic() - began
