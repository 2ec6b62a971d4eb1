"""What the container allows this process, and how large a model server may make itself in it.

A container sees all cores and all memory of its node; what it may use stands in its control groups. A server that
sizes itself by the node is throttled or killed.
"""

import math
import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nightshift.errors import ConfigurationError

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
STATM = Path("/proc/self/statm")

THREADS_PER_CPU = 4
"""Requests side by side, as in TensorFlow Serving: while some run, others are read, converted and answered."""

MESSAGE_BYTES = 64 * 2**20
SMALLEST_MESSAGE_BYTES = 8 * 2**20
"""Room for a photograph of a telephone."""

COPIES = 18
"""Memory that a request takes at most on its way in and out, in sizes of the largest message. Measured: 9 for numbers
that are answered by as many, 13 for twice as many, 17 for strings of one byte. They are there as gRPC received them, as
bytes, as a parsed message, as an array, as tensors in and out, and as the answer's message, parsed and as bytes. What a
network needs for its layers is not in it: that goes with the number of examples, and only the network knows it."""

REST_MESSAGES = 4
"""Sizes of the largest message that bodies and answers of REST may take together while they are read and sent."""

PARSED_MESSAGES = 10
"""Sizes of the largest message that a body of JSON may take once parsed, within COPIES. Measured at 8 MiB, with rows,
columns, strings, lists and objects: a request over REST takes 13 sizes at most, its answer included."""

SHARE_FOR_REQUESTS = 0.75
"""Of the memory that is free when the server starts. The rest is for models, one that loads beside another among them,
and for their layers."""

_NO_LIMIT = 2**60
"""Control groups of version 1 write a number that no machine has, rounded to pages, for `no limit`."""


@dataclass(frozen=True)
class Limits:
    """What this process may use.

    Attributes:
        cpus: cores' worth of time, such as 1.5.
        memory: bytes; None: only what the machine has.
    """

    cpus: float
    memory: int | None = None


@dataclass(frozen=True)
class Capacity:
    """How large a server makes itself.

    Attributes:
        threads: requests that are answered side by side.
        message_bytes: the largest message, and the most memory that one tensor in it may take.
        tensorflow_threads: of each of TensorFlow's pools.
    """

    threads: int
    message_bytes: int
    tensorflow_threads: int


def container_limits(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> Limits:
    """The limits of the control groups (version 1 or 2) that this process is in; the tightest on the way up counts.

    Args:
        cgroups: where the control groups are mounted.
        membership: the file that says which ones this process is in; none means no limits.

    Raises:
        ConfigurationError: a file there does not read as it should.
    """
    groups = _groups(membership)
    quotas = [quota for folder in _folders(cgroups, groups, "cpu") if (quota := _cpus(folder)) is not None]
    memories = [memory for folder in _folders(cgroups, groups, "memory") if (memory := _memory(folder)) is not None]
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    return Limits(min([cores, *quotas]), min(memories, default=None))


def capacity(limits: Limits, used: int, *, threads: int = 0, message_bytes: int = 0, rest: bool = False) -> Capacity:
    """How large a server makes itself: THREADS_PER_CPU threads and MESSAGE_BYTES, or less where memory is short.

    Requests side by side may take `threads * message_bytes * COPIES`, which has to fit SHARE_FOR_REQUESTS of what is
    free, beside the REST_MESSAGES that REST holds. First the largest message shrinks, down to SMALLEST_MESSAGE_BYTES,
    then there are fewer threads. Waiting requests of gRPC are left in the network's buffers and count as nothing.

    Args:
        limits: of the container.
        used: bytes that this process has already.
        threads: requests side by side at most; 0: by the CPU limit.
        message_bytes: the largest message; 0: by the memory.
        rest: whether it answers over REST too.

    Raises:
        ConfigurationError: not even one request fits.
    """
    tensorflow_threads = max(1, math.ceil(limits.cpus))
    most = threads or THREADS_PER_CPU * tensorflow_threads
    if limits.memory is None:
        return Capacity(most, message_bytes or MESSAGE_BYTES, tensorflow_threads)
    room, beside = int((limits.memory - used) * SHARE_FOR_REQUESTS), REST_MESSAGES if rest else 0
    size = message_bytes or min(MESSAGE_BYTES, max(SMALLEST_MESSAGE_BYTES, room // (COPIES * most + beside)))
    fitting = (room // size - beside) // COPIES
    if fitting < 1:
        needed = used + math.ceil(size * (COPIES + beside) / SHARE_FOR_REQUESTS)
        raise ConfigurationError(
            f"memory limit: found {limits.memory // 2**20} MiB, expected at least {math.ceil(needed / 2**20)} MiB for "
            f"one message of {size // 2**20} MiB at a time"
        )
    return Capacity(min(most, fitting), size, tensorflow_threads)


def memory_used() -> int:
    """The bytes that this process has in memory. Only Linux says, which alone has control groups."""
    return int(STATM.read_text().split()[1]) * resource.getpagesize()


def _groups(membership: Path) -> list[tuple[list[str], str]]:
    """Controllers and path of each line `4:cpu,cpuacct:/a/b`; version 2 names no controllers: `0::/a/b`."""
    try:
        lines = membership.read_text().splitlines()
    except FileNotFoundError:
        return []
    fields = [line.split(":", 2) for line in lines]
    return [(controllers.split(",") if controllers else [], path) for _, controllers, path in fields]


def _folders(cgroups: Path, groups: list[tuple[list[str], str]], controller: str) -> Iterator[Path]:
    """The folders that may hold a controller's limits for this process, from its own up to the mount's.

    A container that has no namespace of control groups is told its path on the node, and finds its own group mounted at
    the top: folders that are not there are passed over.
    """
    for controllers, path in groups:
        if controllers and controller not in controllers:
            continue
        names = [",".join(controllers), controller] if controllers else ["", "unified"]
        for name in dict.fromkeys(names):
            below = [part for part in path.split("/") if part not in ("", "..")]
            yield from (cgroups.joinpath(name, *below[:depth]) for depth in range(len(below), -1, -1))


def _cpus(folder: Path) -> float | None:
    if (both := _read(folder / "cpu.max")) is not None:
        quota, _, period = both.partition(" ")
        return None if quota == "max" else _number(folder / "cpu.max", quota) / _number(folder / "cpu.max", period)
    if (alone := _read(folder / "cpu.cfs_quota_us")) is None or alone.startswith("-"):
        return None
    period = _read(folder / "cpu.cfs_period_us") or ""
    return _number(folder / "cpu.cfs_quota_us", alone) / _number(folder / "cpu.cfs_period_us", period)


def _memory(folder: Path) -> int | None:
    for name in ("memory.max", "memory.limit_in_bytes"):
        if (text := _read(folder / name)) is not None and text != "max":
            number = _number(folder / name, text)
            return number if number < _NO_LIMIT else None
    return None


def _read(file: Path) -> str | None:
    return file.read_text().strip() if file.is_file() else None


def _number(file: Path, text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise ConfigurationError(f"{file}: found {text!r}, expected a number of at least 1")
    return int(text)
