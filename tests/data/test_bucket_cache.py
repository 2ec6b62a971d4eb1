"""The cache of shards by itself: what is fetched is written by the tests."""

import errno
import fcntl
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from nightshift.data.bucket_cache import ShardCache
from nightshift.data.manifest import Shard
from nightshift.errors import DataError

SIZE = 1000

FETCHING = """
import sys, time
from pathlib import Path
from nightshift.data.bucket_cache import ShardCache
from nightshift.data.manifest import Shard

folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
shards = [Shard.model_validate_json(text) for text in sys.argv[3:]]

contents = {shard.sha256: bytes([number]) for number, shard in enumerate(shards)}

def fetch(path):
    with open(folder.parent / "fetched", "a") as log:
        print(path.name, file=log)
    with open(path, "wb") as file:
        file.write(500 * contents[path.stem])
        file.flush()
        print("half", flush=True)
        time.sleep(seconds)
        file.write(500 * contents[path.stem])

cache = ShardCache(folder, 10**9)
for shard in shards:
    with cache.lease(shard, fetch) as path:
        assert len(path.read_bytes()) == 1000
"""


def content(number: int) -> bytes:
    return bytes([number]) * SIZE


def shard(number: int) -> Shard:
    sha256 = hashlib.sha256(content(number)).hexdigest()
    return Shard(name=f"train-{number:05d}-of-00099.tfrecord", sha256=sha256, bytes=SIZE, count=1)


class Source:
    """Fetches, and remembers what."""

    def __init__(self):
        self.fetched = []

    def __call__(self, number, wrong=None):
        def fetch(path):
            self.fetched.append(number)
            path.write_bytes(content(number) if wrong is None else wrong)

        return fetch


@pytest.fixture
def source():
    return Source()


def read(cache, number, source):
    with cache.lease(shard(number), source(number)) as path:
        assert path.read_bytes() == content(number)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name != ".lock"}


def test_a_shard_is_fetched_once(tmp_path, source):
    cache = ShardCache(tmp_path / "shards", 10 * SIZE)
    for _ in range(3):
        read(cache, 1, source)
    read(ShardCache(tmp_path / "shards", 10 * SIZE), 1, source)
    assert source.fetched == [1]
    assert names(tmp_path / "shards") == {shard(1).sha256}


@pytest.mark.parametrize("damage", [b"", content(2)[:-1], content(2) + b"x", content(3)])
def test_a_damaged_copy_is_fetched_again(tmp_path, source, damage):
    cache = ShardCache(tmp_path, 10 * SIZE)
    read(cache, 2, source)
    time.sleep(0.01)  # longer than a tick of the file system's clock
    (tmp_path / shard(2).sha256).write_bytes(damage)
    read(cache, 2, source)
    (tmp_path / shard(2).sha256).write_bytes(damage)
    read(ShardCache(tmp_path, 10 * SIZE), 2, source)
    assert source.fetched == [2, 2, 2]


@pytest.mark.parametrize("wrong", [b"", content(4)[:-1], content(5)])
def test_what_arrives_otherwise_is_refused_and_leaves_nothing(tmp_path, source, wrong):
    cache = ShardCache(tmp_path, 10 * SIZE)
    with (
        pytest.raises(DataError, match=r"train-00004-of-00099.tfrecord: .* arrived, expected 1000 of"),
        cache.lease(shard(4), source(4, wrong)),
    ):
        pass
    assert names(tmp_path) == set()
    read(cache, 4, source)


def test_a_fetch_that_fails_leaves_nothing(tmp_path, source):
    def broken(path):
        path.write_bytes(b"half")
        raise OSError("no network")

    cache = ShardCache(tmp_path, 10 * SIZE)
    with pytest.raises(OSError, match="no network"), cache.lease(shard(1), broken):
        pass
    assert names(tmp_path) == set()


def test_the_longest_unused_goes_first(tmp_path, source):
    cache = ShardCache(tmp_path, 3 * SIZE)
    for number in (1, 2, 3, 1, 4):
        read(cache, number, source)
        time.sleep(0.01)
    assert names(tmp_path) == {shard(number).sha256 for number in (3, 1, 4)}
    read(cache, 2, source)
    assert names(tmp_path) == {shard(number).sha256 for number in (1, 4, 2)}


def test_what_is_in_use_stays_even_if_the_bound_is_passed(tmp_path, source):
    cache = ShardCache(tmp_path, 2 * SIZE)
    with (
        cache.lease(shard(1), source(1)) as first,
        cache.lease(shard(2), source(2)) as second,
        cache.lease(shard(3), source(3)) as third,
    ):
        assert all(path.exists() for path in (first, second, third))
        assert not cache.has_room(SIZE)
    assert cache.has_room(SIZE)
    assert len(names(tmp_path)) == 1


def test_locks_are_those_that_nfs_gives(tmp_path, source, monkeypatch):
    """There a shared lock needs a file that is open for reading, an exclusive one a file open for writing."""
    real, asked = fcntl.flock, set()

    def of_nfs(file, operation):
        kind = operation & ~fcntl.LOCK_NB
        mode = fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE
        if mode == {fcntl.LOCK_SH: os.O_WRONLY, fcntl.LOCK_EX: os.O_RDONLY}[kind]:
            raise OSError(errno.EBADF, "Bad file descriptor")
        asked.add(operation)
        real(file, operation)

    monkeypatch.setattr(fcntl, "flock", of_nfs)
    cache = ShardCache(tmp_path, 2 * SIZE)
    for number in (1, 2, 3, 3):  # fetched, dropped, found
        read(cache, number, source)
    assert source.fetched == [1, 2, 3]
    assert asked == {fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_EX | fcntl.LOCK_NB}


def test_threads_that_want_the_same_shard_fetch_it_once(tmp_path, source):
    cache = ShardCache(tmp_path, 100 * SIZE)

    def slow(path):
        time.sleep(0.05)
        source(1)(path)

    def want():
        with cache.lease(shard(1), slow) as path:
            assert path.read_bytes() == content(1)

    threads = [threading.Thread(target=want) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert source.fetched == [1]


def started(folder: Path, seconds: float, count: int) -> subprocess.Popen[str]:
    shards = [shard(number).model_dump_json() for number in range(count)]
    command = [sys.executable, "-c", FETCHING, str(folder), str(seconds), *shards]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_of_one_node_fetch_each_shard_once(tmp_path):
    folder = tmp_path / "shards"
    processes = [started(folder, 0.02, 20) for _ in range(3)]
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0, 0, 0]
    fetched = (tmp_path / "fetched").read_text().split()
    assert sorted(fetched) == sorted(f"{shard(number).sha256}.partial" for number in range(20))
    assert names(folder) == {shard(number).sha256 for number in range(20)}


def test_a_process_killed_in_the_middle_leaves_what_the_next_one_replaces(tmp_path, source):
    folder = tmp_path / "shards"
    with started(folder, 60, 1) as process:
        assert process.stdout.readline() == "half\n"
        assert names(folder) == {f"{shard(0).sha256}.partial"}
        process.send_signal(signal.SIGKILL)
    read(ShardCache(folder, 10 * SIZE), 0, source)
    assert names(folder) == {shard(0).sha256}


def test_what_a_killed_process_left_takes_no_room(tmp_path, source):
    folder = tmp_path / "shards"
    with started(folder, 60, 1) as process:
        assert process.stdout.readline() == "half\n"
        process.send_signal(signal.SIGKILL)
    cache = ShardCache(folder, SIZE)
    read(cache, 1, source)
    assert names(folder) == {shard(1).sha256}


def test_what_another_process_is_writing_stays(tmp_path, source):
    folder = tmp_path / "shards"
    with started(folder, 2, 1) as process:
        assert process.stdout.readline() == "half\n"
        read(ShardCache(folder, SIZE), 1, source)
        assert f"{shard(0).sha256}.partial" in names(folder)
        assert process.wait() == 0
    assert shard(0).sha256 in names(folder)


def test_a_copy_keeps_its_time_of_writing_and_tells_its_last_use(tmp_path, source):
    cache = ShardCache(tmp_path, 10 * SIZE)
    read(cache, 1, source)
    path = tmp_path / shard(1).sha256
    os.utime(path, (1, path.stat().st_mtime))
    written = path.stat().st_mtime_ns
    read(cache, 1, source)
    assert path.stat().st_mtime_ns == written
    assert path.stat().st_atime > 1e9
