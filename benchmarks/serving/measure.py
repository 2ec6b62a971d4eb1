"""Measurements in turn: every case once, then every case again, so that a slow moment of the machine meets them all."""

import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parent.parent.parent
CLIENT_PROCESSES = 2
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Case:
    """What is measured.

    Attributes:
        server: who is asked, as `nightshift`.
        way: grpc, rest, or session for no server at all.
        batch: images a request.
        clients: requests in flight.
    """

    server: str
    way: str
    batch: int
    clients: int


@dataclass
class Measured:
    """What came of a case, a number for every repetition.

    Attributes:
        rates: requests a second.
        p50: milliseconds.
        p99: milliseconds.
        server_cpu: microseconds of processor time that the server took for a request; nan if it is not ours.
        client_cpu: microseconds that the clients took.
        errors: how many requests failed.
    """

    case: Case
    rates: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    server_cpu: list[float] = field(default_factory=list)
    client_cpu: list[float] = field(default_factory=list)
    errors: int = 0
    first_error: str = ""

    def median(self, name: str) -> float:
        """The median over the repetitions."""
        return statistics.median(getattr(self, name) or [float("nan")])


@dataclass(frozen=True)
class Server:
    """One that listens: where, and its process if it is ours."""

    targets: Mapping[str, str]
    pid: int | None = None


class Worker:
    """A process that answers measurements, a line each."""

    def __init__(self, *arguments: str) -> None:
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        if self._line().strip() != "ready":
            raise RuntimeError(f"{arguments[0]}: it did not start")

    def ask(self, **asked: Any) -> None:
        """Have it begin."""
        assert self._process.stdin is not None
        print(json.dumps(asked), file=self._process.stdin, flush=True)

    def answer(self) -> dict[str, Any]:
        """What came of it."""
        answer: dict[str, Any] = json.loads(self._line())
        return answer

    def _line(self) -> str:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise RuntimeError(f"a process that measures ended with exit code {self._process.wait()}")
        return line

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


@contextlib.contextmanager
def workers(version: Path) -> Iterator[tuple[Worker, Sequence[Worker]]]:
    """The process of the bare Session, and those of the clients."""
    with contextlib.ExitStack() as stack:
        bare = stack.enter_context(Worker("benchmarks.serving.bare", str(version)))
        clients = [stack.enter_context(Worker("benchmarks.serving.clients")) for _ in range(CLIENT_PROCESSES)]
        yield bare, clients


def measure_all(
    cases: Sequence[Case],
    servers: Mapping[str, Server],
    bare: Worker,
    clients: Sequence[Worker],
    *,
    model: str,
    seconds: float,
    repetitions: int,
    told: Any = lambda words: None,
) -> list[Measured]:
    """Measure every case so many times, in turn."""
    results = [Measured(case) for case in cases]
    for repetition in range(repetitions):
        for number, result in enumerate(results):
            told(f"{repetition + 1} of {repetitions}, {number + 1} of {len(results)}: {result.case}")
            _measure(result, servers, bare, clients, model, seconds)
    return results


def _measure(
    result: Measured,
    servers: Mapping[str, Server],
    bare: Worker,
    clients: Sequence[Worker],
    model: str,
    seconds: float,
) -> None:
    case = result.case
    if case.way == "session":
        asked, pid = [bare], None
        bare.ask(batch=case.batch, clients=case.clients, seconds=seconds)
    else:
        server = servers[case.server]
        asked, pid = list(clients[: case.clients]), server.pid
        before = _cpu_seconds(pid)
        for index, worker in enumerate(asked):
            share = case.clients // len(asked) + (index < case.clients % len(asked))
            target = server.targets[case.way]
            worker.ask(way=case.way, target=target, model=model, batch=case.batch, clients=share, seconds=seconds)
    answers = [worker.answer() for worker in asked]
    latencies = sorted(second for answer in answers for second in answer["seconds"])
    errors = [error for answer in answers for error in answer["errors"]]
    result.errors += len(errors)
    result.first_error = result.first_error or next(iter(errors), "")
    if not latencies:
        return
    result.rates.append(len(latencies) / seconds)
    result.p50.append(1e3 * latencies[len(latencies) // 2])
    result.p99.append(1e3 * latencies[int(len(latencies) * 0.99)])
    result.client_cpu.append(1e6 * statistics.fmean(answer["cpu"] for answer in answers))
    if pid is not None:
        # Also for what was asked before and after the seconds that count, at the same rate.
        asked_for = len(latencies) * (seconds + _warm_up()) / seconds
        result.server_cpu.append(1e6 * (_cpu_seconds(pid) - before) / asked_for)


def _warm_up() -> float:
    from benchmarks.serving.bare import WARM_UP

    return WARM_UP


def _cpu_seconds(pid: int | None) -> float:
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def as_json(results: Sequence[Measured]) -> list[dict[str, Any]]:
    """For a file."""
    return [asdict(result) for result in results]
