import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.files import (
    exclusive_lock,
    remove_stale_partials,
    sha256_of,
    staged_directory,
    write_atomic,
    write_json,
    write_npz,
)

HOLDER = """
import sys, time
from pathlib import Path
from nightshift.files import exclusive_lock
with exclusive_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@given(st.binary(max_size=1000))
def test_what_is_written_is_read(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "written" / "file"
    write_atomic(path, content)
    assert path.read_bytes() == content
    assert names(path.parent) == ["file"]


@pytest.mark.parametrize("call", ["replace", "fsync", "chmod"])
def test_a_failed_write_keeps_the_old_content_and_leaves_nothing(tmp_path, monkeypatch, call):
    write_atomic(tmp_path / "file", b"old")

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="no space left"):
        write_atomic(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_written_file_can_be_read_by_others(tmp_path):
    write_atomic(tmp_path / "file", b"")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_json_refuses_what_other_readers_could_not_read(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "file", {"loss": float("nan")})
    assert names(tmp_path) == []


def test_arrays_that_would_be_pickled_are_refused(tmp_path):
    with pytest.raises(ValueError, match="Object arrays"):
        write_npz(tmp_path / "file", {"a": np.array([{}], dtype=object)})
    assert names(tmp_path) == []


def test_arrays_come_back(tmp_path):
    write_npz(tmp_path / "file.npz", {"a": np.arange(3), "b": np.eye(2)})
    with np.load(tmp_path / "file.npz", allow_pickle=False) as arrays:
        assert {name: arrays[name].tolist() for name in arrays} == {"a": [0, 1, 2], "b": [[1, 0], [0, 1]]}


def test_a_staged_directory_appears_whole(tmp_path):
    target = tmp_path / "model" / "1"
    with staged_directory(target) as staging:
        (staging / "variables").mkdir()
        (staging / "variables" / "data").write_bytes(b"1")
        assert not target.exists()
    assert (target / "variables" / "data").read_bytes() == b"1"
    assert names(tmp_path / "model") == ["1"]
    assert target.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("replace", [False, True])
def test_a_failed_block_leaves_what_was_there_and_nothing_else(tmp_path, replace):
    target = tmp_path / "target"
    target.mkdir()
    (target / "old").touch()

    def half_way() -> None:
        with staged_directory(target, replace=replace) as staging:
            (staging / "new").touch()
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        half_way()
    assert names(tmp_path) == ["target"]
    assert names(target) == ["old"]


@pytest.mark.parametrize(("replace", "kept"), [(False, "old"), (True, "new")])
def test_an_existing_directory_stays_or_gives_way(tmp_path, replace, kept):
    target = tmp_path / "target"
    for name in ("old", "new"):
        with staged_directory(target, replace=replace) as staging:
            (staging / name).touch()
    assert names(target) == [kept]
    assert names(tmp_path) == ["target"]


def test_a_replacement_that_cannot_be_put_in_place_leaves_the_old_one(tmp_path, monkeypatch):
    target = tmp_path / "target"
    target.mkdir()
    (target / "old").touch()
    rename = os.rename

    def fail_for_staging(source: Path, destination: Path) -> None:
        if (Path(source) / "new").exists():
            raise OSError("input/output error")
        rename(source, destination)

    monkeypatch.setattr(os, "rename", fail_for_staging)
    with pytest.raises(OSError, match="input/output"), staged_directory(target, replace=True) as staging:
        (staging / "new").touch()
    assert names(target) == ["old"]
    assert names(tmp_path) == ["target"]


@pytest.mark.parametrize("replace", [False, True])
def test_of_racing_writers_one_wins_whole(tmp_path, replace):
    target, ready, errors = tmp_path / "target", threading.Barrier(8), []

    def write(number: int) -> None:
        try:
            with staged_directory(target, replace=replace) as staging:
                for name in ("a", "b"):
                    (staging / name).write_text(str(number))
                ready.wait()
        except BaseException as error:
            errors.append(error)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert errors == []
    assert (target / "a").read_text() == (target / "b").read_text()
    assert names(tmp_path) == ["target"]


def test_a_file_in_the_place_of_the_directory_is_an_error(tmp_path):
    (tmp_path / "target").write_text("a file")
    with pytest.raises(OSError, match="target"), staged_directory(tmp_path / "target"):
        pass
    assert (tmp_path / "target").read_text() == "a file"


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        stream.close()


def test_a_lock_keeps_other_processes_out_and_says_who_holds_it(tmp_path, holder):
    told = []
    with (
        pytest.raises(TimeoutError, match=f"still locked by process {holder.pid} on {socket.gethostname()}"),
        exclusive_lock(tmp_path / "lock", told.append, timeout=0.3),
    ):
        pytest.fail("got a lock that another process holds")
    assert told == [f"waiting for process {holder.pid} on {socket.gethostname()}, which is writing {tmp_path.name}"]


def test_a_killed_holder_lets_go(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with exclusive_lock(tmp_path / "lock", timeout=5):
        pass


def test_a_waiting_process_gets_the_lock_when_it_is_free(tmp_path, holder):
    threading.Timer(0.3, holder.stdin.close).start()
    started = time.monotonic()
    with exclusive_lock(tmp_path / "lock", timeout=10):
        assert time.monotonic() - started >= 0.25


def test_a_lock_holds_between_threads_and_is_free_after_an_error(tmp_path):
    inside, most = [], []

    def work() -> None:
        with exclusive_lock(tmp_path / "lock"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert most == [1, 1, 1]
    with pytest.raises(RuntimeError), exclusive_lock(tmp_path / "lock"):
        raise RuntimeError
    with exclusive_lock(tmp_path / "lock", timeout=0.1):
        pass


def test_only_old_leftovers_are_removed(tmp_path):
    for name in (".a.1.partial", ".b.2.partial", "kept"):
        (tmp_path / name).mkdir()
    yesterday = time.time() - 90_000
    for name in (".a.1.partial", "kept"):
        os.utime(tmp_path / name, (yesterday, yesterday))
    remove_stale_partials(tmp_path)
    assert names(tmp_path) == [".b.2.partial", "kept"]


def test_what_is_still_written_stays_however_old_its_directory_is(tmp_path):
    working, left = tmp_path / ".working.1.partial", tmp_path / ".left.2.partial"
    yesterday = time.time() - 90_000
    for partial in (working, left):
        (partial / "spool").mkdir(parents=True)
        (partial / "spool" / "pixels").write_bytes(b"pixels")
        for path in (partial / "spool" / "pixels", partial / "spool", partial):
            os.utime(path, (yesterday, yesterday))
    with open(working / "spool" / "pixels", "ab") as file:
        file.write(b"more")
    remove_stale_partials(tmp_path)
    assert names(tmp_path) == [".working.1.partial"]


def test_sha256_is_that_of_the_content(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256_of(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("call", ["write", "ftruncate"])
def test_a_lock_holds_where_its_holder_cannot_be_noted(tmp_path, monkeypatch, call):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    twice = (exclusive_lock(tmp_path / "lock"), exclusive_lock(tmp_path / "lock", timeout=0.1))
    with pytest.raises(TimeoutError, match="still locked by"), twice[0], twice[1]:
        pass
    with exclusive_lock(tmp_path / "lock", timeout=0.1):
        pass


def test_a_lock_holds_on_a_file_that_cannot_grow(tmp_path):
    """As on a full disk, with the operating system's own refusal."""
    program = (
        "import resource, signal, sys; from pathlib import Path; from nightshift.files import exclusive_lock\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "with exclusive_lock(Path(sys.argv[1])):\n"
        "    print('held')"
    )
    result = subprocess.run([sys.executable, "-c", program, tmp_path / "lock"], capture_output=True, text=True)
    assert (result.returncode, result.stderr, result.stdout) == (0, "", "held\n")
