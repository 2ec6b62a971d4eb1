"""What control groups allow, and how large a server makes itself for that."""

import math
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.errors import ConfigurationError
from nightshift.serving.embedded import limits
from nightshift.serving.embedded.limits import (
    COPIES,
    REST_MESSAGES,
    SHARE_FOR_REQUESTS,
    Capacity,
    Limits,
    capacity,
    container_limits,
)

MIB = 2**20
CORES = float(len(os.sched_getaffinity(0)))


@pytest.fixture
def container(tmp_path, monkeypatch):
    """The limits of a container with these lines in /proc/self/cgroup and these files under /sys/fs/cgroup."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))

    def limits_of(membership, files):
        for name, content in files.items():
            file = tmp_path / "cgroup" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        (tmp_path / "membership").write_text(membership)
        return container_limits(tmp_path / "cgroup", tmp_path / "membership")

    return limits_of


def test_version_2_in_a_namespace_of_its_own(container):
    files = {"cpu.max": "150000 100000\n", "memory.max": "1073741824\n"}
    assert container("0::/\n", files) == Limits(1.5, 1024 * MIB)


def test_version_2_without_limits(container):
    assert container("0::/\n", {"cpu.max": "max 100000\n", "memory.max": "max\n"}) == Limits(64.0, None)


def test_the_tightest_limit_on_the_way_up_counts(container):
    files = {
        "kubepods/cpu.max": "400000 100000\n",
        "kubepods/memory.max": "4294967296\n",
        "kubepods/pod1/cpu.max": "100000 50000\n",
        "kubepods/pod1/memory.max": "1073741824\n",
        "kubepods/pod1/server/cpu.max": "max 100000\n",
        "kubepods/pod1/server/memory.max": "2147483648\n",
    }
    assert container("0::/kubepods/pod1/server\n", files) == Limits(2.0, 1024 * MIB)


@pytest.mark.parametrize("path", ["/", "/kubepods/pod1/server", "/../../other"])
def test_version_1_however_the_path_is_told(container, path):
    files = {
        "cpu,cpuacct/cpu.cfs_quota_us": "50000\n",
        "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        "memory/memory.limit_in_bytes": "536870912\n",
    }
    membership = f"5:memory:{path}\n3:cpu,cpuacct:{path}\n1:name=systemd:{path}\n0::{path}\n"
    assert container(membership, files) == Limits(0.5, 512 * MIB)


def test_version_1_with_a_folder_for_each_controller(container):
    files = {
        "cpu/a/cpu.cfs_quota_us": "300000\n",
        "cpu/a/cpu.cfs_period_us": "100000\n",
        "memory/a/memory.limit_in_bytes": "536870912\n",
    }
    assert container("5:memory:/a\n3:cpu,cpuacct:/a\n", files) == Limits(3.0, 512 * MIB)


def test_version_1_without_limits(container):
    files = {
        "cpu/cpu.cfs_quota_us": "-1\n",
        "cpu/cpu.cfs_period_us": "100000\n",
        "memory/memory.limit_in_bytes": "9223372036854771712\n",
    }
    assert container("2:memory:/\n1:cpu:/\n", files) == Limits(64.0, None)


def test_both_versions_side_by_side(container):
    files = {"memory/memory.limit_in_bytes": "536870912\n", "unified/cpu.max": "200000 100000\n"}
    assert container("2:memory:/\n0::/\n", files) == Limits(2.0, 512 * MIB)


def test_a_quota_beyond_the_cores_gives_the_cores(container, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    assert container("0::/\n", {"cpu.max": "800000 100000\n"}).cpus == 2.0


def test_a_machine_without_control_groups_has_no_limits(tmp_path):
    assert container_limits(tmp_path, tmp_path / "membership") == Limits(CORES, None)


def test_this_machine_has_some_limits():
    assert 0 < container_limits().cpus <= CORES


@pytest.mark.parametrize("files", [{"cpu.max": "much 100000\n"}, {"cpu.max": "1 0\n"}, {"memory.max": "-5\n"}])
def test_a_file_that_does_not_read_as_it_should_is_named(container, files):
    with pytest.raises(ConfigurationError, match=rf"{next(iter(files))}: found .*, expected a number"):
        container("0::/\n", files)


def test_threads_follow_the_cpu_limit():
    assert capacity(Limits(2.0), 0) == Capacity(8, 64 * MIB, 2)
    assert capacity(Limits(0.5), 0) == Capacity(4, 64 * MIB, 1)
    assert capacity(Limits(2.5), 0) == Capacity(12, 64 * MIB, 3)
    assert capacity(Limits(2.0), 0, threads=3, message_bytes=MIB) == Capacity(3, MIB, 2)


def test_short_of_memory_the_message_shrinks_first_then_the_threads():
    used = 400 * MIB
    assert capacity(Limits(2.0, 16384 * MIB), used) == Capacity(8, 64 * MIB, 2)
    some = capacity(Limits(2.0, 3000 * MIB), used)
    assert some.threads == 8
    assert 8 * MIB < some.message_bytes < 64 * MIB
    assert capacity(Limits(2.0, 1024 * MIB), used) == Capacity(3, 8 * MIB, 2)


def test_rest_takes_its_part():
    used = 400 * MIB
    assert capacity(Limits(2.0, 16384 * MIB), used, rest=True) == Capacity(8, 64 * MIB, 2)
    with pytest.raises(ConfigurationError, match="found 592 MiB, expected at least 635 MiB"):
        capacity(Limits(2.0, 592 * MIB), used, rest=True)
    assert capacity(Limits(2.0, 635 * MIB), used, rest=True) == Capacity(1, 8 * MIB, 2)


def test_a_message_size_that_was_asked_for_is_kept():
    assert capacity(Limits(2.0, 2048 * MIB), 400 * MIB, message_bytes=64 * MIB) == Capacity(1, 64 * MIB, 2)


def test_too_little_memory_for_one_request_is_refused_with_what_it_takes():
    with pytest.raises(ConfigurationError, match="found 512 MiB, expected at least 592 MiB for one message of 8 MiB"):
        capacity(Limits(2.0, 512 * MIB), 400 * MIB)
    assert capacity(Limits(2.0, 592 * MIB), 400 * MIB).threads == 1


@given(
    st.floats(0.1, 64),
    st.integers(256 * MIB, 2**40),
    st.integers(0, 512 * MIB),
    st.integers(0, 64),
    st.integers(0, 256 * MIB),
    st.booleans(),
)
def test_all_requests_together_fit_what_is_free(cpus, memory, used, threads, message_bytes, rest):
    beside = REST_MESSAGES if rest else 0
    try:
        size = capacity(Limits(cpus, memory), used, threads=threads, message_bytes=message_bytes, rest=rest)
    except ConfigurationError:
        smallest = message_bytes or limits.SMALLEST_MESSAGE_BYTES
        assert used + smallest * (COPIES + beside) / SHARE_FOR_REQUESTS > memory - 2 * COPIES
        return
    assert (size.threads * COPIES + beside) * size.message_bytes <= (memory - used) * SHARE_FOR_REQUESTS
    assert 1 <= size.threads <= (threads or 4 * math.ceil(cpus))
    assert not message_bytes or size.message_bytes == message_bytes
