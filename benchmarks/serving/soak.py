"""The model server under load for minutes, while its versions change: does it fail, and does its memory grow?

    python -m benchmarks.serving.soak --minutes 10
    python -m benchmarks.serving.soak --minutes 10 --batching

Clients ask without a pause, over gRPC and REST; every few seconds a new version appears and the one before is deleted.
Ends with exit code 1 if a request failed, or if the memory at the end is more than 5 % over that at a quarter of the
time, when pools and caches are full.
"""

import http.client
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import click
import grpc

from benchmarks.serving.__main__ import BATCHING, free_port, written
from benchmarks.serving.clients import Failed, asker
from benchmarks.serving.model import MODEL, PRESET
from nightshift.options import InWords
from nightshift.serving.process import running_server

GROWTH = 0.05
_PAGE = 4096


@dataclass
class Soaked:
    """What came of it.

    Attributes:
        requests: how many were answered.
        versions: how many were served one after the other.
        errors: what requests failed with.
        memory: bytes that the server had, a number a second.
    """

    requests: int = 0
    versions: int = 0
    errors: list[str] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)

    @property
    def growth(self) -> float:
        """From the second quarter to the last, as a share: medians, for the memory moves while a version is loaded."""
        quarter = max(len(self.memory) // 4, 1)
        begin, end = (statistics.median(part) for part in (self.memory[quarter : 2 * quarter], self.memory[-quarter:]))
        return end / begin - 1


def soak(
    base: Path, seconds: float, *, flags: tuple[str, ...] = (), clients: int = 6, version_seconds: float = 5.0
) -> Soaked:
    """Serve the folder `base`, which holds version 1, for so long.

    Args:
        base: of the versions; new ones are put beside the first.
        seconds: how long.
        flags: of the server.
        clients: half of them over gRPC, half over REST.
        version_seconds: how long a version serves.
    """
    soaked, done, lock = Soaked(versions=1), threading.Event(), threading.Lock()
    port = free_port()
    command = ["-m", "nightshift.serving.embedded", "--port=0", f"--rest_api_port={port}", f"--model_name={MODEL}"]
    with ExitStack() as stack:
        server = stack.enter_context(running_server([*command, f"--model_base_path={base}", *flags]))
        targets = {"grpc": server.target, "rest": f"127.0.0.1:{port}"}

        def client(ask: Callable[[], object]) -> None:
            while not done.is_set():
                try:
                    ask()
                except (grpc.RpcError, OSError, http.client.HTTPException, Failed) as error:
                    with lock:
                        soaked.errors.append(f"{type(error).__name__}: {error}"[:300])
                with lock:
                    soaked.requests += 1

        threads = []
        for index in range(clients):
            way = ("grpc", "rest")[index % 2]
            ask = asker(way, targets[way], MODEL, 1 + index % 3)
            threads.append(threading.Thread(target=client, args=(ask,)))
        for thread in threads:
            thread.start()
        try:
            _change_versions(base, seconds, version_seconds, soaked, server.pid)
        finally:
            done.set()
            for thread in threads:
                thread.join()
    return soaked


def _change_versions(base: Path, seconds: float, version_seconds: float, soaked: Soaked, pid: int) -> None:
    end, change = time.monotonic() + seconds, time.monotonic() + version_seconds
    number = 1
    while time.monotonic() < end:
        soaked.memory.append(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE)
        if time.monotonic() >= change:
            staged = base / f".{number + 1}"
            shutil.copytree(base / str(number), staged)
            staged.rename(base / str(number + 1))
            if number > 1:
                shutil.rmtree(base / str(number - 1))
            number += 1
            soaked.versions += 1
            change = time.monotonic() + version_seconds
        time.sleep(min(1.0, seconds / 20))


@click.command(cls=InWords)
@click.option("--minutes", default=10.0, show_default=True)
@click.option("--batching", is_flag=True, help="With requests computed together.")
@click.option("--preset", default=PRESET, show_default=True, help="Of the task digits: which network.")
def main(minutes: float, batching: bool, preset: str) -> None:
    """Load the model server for minutes and look at its memory."""
    with tempfile.TemporaryDirectory() as folder:
        base = written(Path(folder), preset)
        file = Path(folder) / "batching.config"
        file.write_text(BATCHING)
        flags = ("--enable_batching", f"--batching_parameters_file={file}") if batching else ()
        soaked = soak(base, 60 * minutes, flags=flags)
    mib = [memory / 2**20 for memory in soaked.memory]
    print(
        f"{soaked.requests:,} requests over {soaked.versions} versions in {minutes:g} minutes, "
        f"{len(soaked.errors)} failed; memory {mib[0]:.0f} MiB at first, at most {max(mib):.0f}, "
        f"{mib[-1]:.0f} at the end, growth {soaked.growth:+.1%}"
    )
    if soaked.errors or soaked.growth > GROWTH:
        sys.exit(f"error: {soaked.errors[0] if soaked.errors else 'the memory grows'}")


if __name__ == "__main__":
    main()
