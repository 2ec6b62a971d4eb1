"""What goes wrong around a server, for real: the version before serves on, and somebody is told in clear words."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from version_folder import X, write_version

from nightshift.errors import StoreError
from nightshift.files import sha256_of
from nightshift.serving.client import Client, ServerUnavailableError
from nightshift.serving.process import running_server
from nightshift.serving.store import Store

SECONDS = 60

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    """Complete versions that answer 1, 2 and 3 times x."""
    folder = tmp_path_factory.mktemp("versions")
    return {factor: write_version(folder / f"times-{factor}", factor) for factor in (1, 2, 3)}


@pytest.fixture
def base(tmp_path, versions):
    """A watched folder with version 1."""
    shutil.copytree(versions[1], tmp_path / "m" / "1")
    return tmp_path / "m"


def serve(base, *flags, port=0, log=None):
    command = ["-m", "nightshift.serving.embedded", f"--port={port}", "--model_name=m", f"--model_base_path={base}"]
    return running_server([*command, "--file_system_poll_wait_seconds=1", *flags], log=log)


def until(condition, what="it did not come about"):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def states(client):
    return {one.version: one.state for one in client.status("m")}


def answer(client):
    prediction = client.predict("m", {"x": X}, label=None)
    return prediction.version, (prediction.outputs["y"] / X).tolist()


def put(source, base, number):
    staged = base / f".{number}"
    shutil.copytree(source, staged)
    return staged.rename(base / str(number))


@contextlib.contextmanager
def small_disk(folder, size):
    """A file system of so many bytes; skips the test where that may not be made."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
    if done.returncode:
        pytest.skip("no right to mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder):
    """Leave not a byte free."""
    with contextlib.suppress(OSError), open(folder / "ballast", "wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)


def test_clients_of_a_killed_server_hear_that_it_is_unavailable_and_go_on_with_the_next(base):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    told, done = [], threading.Event()

    def ask():
        with Client(f"127.0.0.1:{port}", retries=0, timeout=5) as client:
            while not done.is_set():
                try:
                    told.append(answer(client))
                except Exception as error:
                    told.append(error)
                    time.sleep(0.05)

    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serve(base, port=port))
        clients = [threading.Thread(target=ask) for _ in range(4)]
        stack.callback(lambda: [client.join() for client in clients])
        stack.callback(done.set)
        for client in clients:
            client.start()
        until(lambda: len(told) > 50)
        os.kill(server.pid, signal.SIGKILL)
        until(lambda: any(isinstance(one, Exception) for one in told))
        stack.enter_context(serve(base, port=port))
        after = len(told)
        until(lambda: sum(not isinstance(one, Exception) for one in told[after:]) > 50)
    failed = [one for one in told if isinstance(one, Exception)]
    assert failed
    assert {type(one) for one in failed} == {ServerUnavailableError}
    assert {one.code for one in failed} <= {"UNAVAILABLE", "CANCELLED"}
    assert {one for one in map(str, told) if one.startswith("(")} == {"(1, [1.0, 1.0, 1.0])"}


def test_a_version_that_grows_slowly_in_the_watched_folder_is_refused_and_served_once_it_is_put_there_whole(
    base, versions
):
    with serve(base) as server, Client(server.target) as client:
        slow = base / "2"
        for file in sorted(path for path in versions[2].rglob("*") if path.is_file()):
            target = slow / file.relative_to(versions[2])
            target.parent.mkdir(parents=True, exist_ok=True)
            content = file.read_bytes()
            half = len(content) // 2
            with open(target, "wb", buffering=0) as growing:
                growing.write(content[:half])
                assert answer(client) == (1, [1, 1, 1])
                if not (slow / "manifest.json").exists():
                    time.sleep(0.3)
                growing.write(content[half:])
        until(lambda: states(client) == {1: "AVAILABLE", 2: "END"})
        (two, _) = client.status("m")
        assert "half written" in two.error or "manifest" in two.error, two.error
        assert answer(client) == (1, [1, 1, 1])
        aside = slow.rename(base / ".2")
        until(lambda: states(client)[1] == "AVAILABLE")
        until(lambda: not slow.exists())
        time.sleep(1.5)  # a look at the folder in which it is not there
        aside.rename(slow)
        until(lambda: states(client).get(2) == "AVAILABLE")
        assert answer(client) == (2, [2, 2, 2])


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index", "manifest.json"])
def test_a_file_that_never_ends_does_not_hold_up_the_versions_after_it(base, versions, name):
    """A named pipe in its place: reading would wait for ever."""
    broken = base / ".2"
    shutil.copytree(versions[2], broken)
    (broken / name).unlink()
    os.mkfifo(broken / name)
    with serve(base) as server, Client(server.target) as client:
        broken.rename(base / "2")
        until(lambda: states(client).get(2) == "END")
        assert answer(client) == (1, [1, 1, 1])
        put(versions[3], base, 3)
        until(lambda: states(client).get(3) == "AVAILABLE")
        assert answer(client) == (3, [3, 3, 3])


@pytest.mark.parametrize("damage", ["cut short", "changed", "not a graph", "not to be read"])
def test_a_broken_version_beside_a_good_one_says_what_is_wrong_and_the_good_one_serves(base, versions, damage):
    broken = base / ".2"
    shutil.copytree(versions[2], broken)
    data = next((broken / "variables").glob("variables.data*"))
    if damage == "cut short":
        data.write_bytes(data.read_bytes()[:-1])
    if damage == "changed":
        data.write_bytes(bytes([data.read_bytes()[0] ^ 1]) + data.read_bytes()[1:])
    if damage == "not a graph":
        (broken / "saved_model.pb").write_bytes(b"\xff" * 64)
        (broken / "manifest.json").unlink()
    if damage == "not to be read":
        (broken / "saved_model.pb").unlink()
        (broken / "saved_model.pb").symlink_to(broken / "saved_model.pb")
    with serve(base) as server, Client(server.target) as client:
        broken.rename(base / "2")
        until(lambda: states(client).get(2) == "END")
        (two, _) = client.status("m")
        assert str(base / "2") in two.error or "saved_model" in two.error, two.error
        assert answer(client) == (1, [1, 1, 1])


def test_a_store_on_a_full_disk_refuses_and_keeps_what_it_has(tmp_path, versions):
    with small_disk(tmp_path / "disk", "1m") as disk:
        store = Store(disk / "store")
        first = store.publish("m", versions[1])
        fill(disk)
        with pytest.raises(StoreError, match=rf"{disk}.* cannot be written .*No space left on device"):
            store.publish("m", versions[2])
        assert not list(disk.rglob("*.partial"))
        assert store.state("m").pending == (first, "published")
        assert [path.name for path in (disk / "store" / "m").glob("[0-9]*")] == [str(first)]
        (disk / "ballast").unlink()
        second = store.publish("m", versions[2])
        assert second > first
        assert sha256_of(store.version_path("m", second) / "saved_model.pb") == sha256_of(
            versions[2] / "saved_model.pb"
        )


def test_a_server_whose_log_is_on_a_full_disk_answers_and_takes_up_new_versions(tmp_path, base, versions):
    with small_disk(tmp_path / "disk", "64k") as disk:
        log = disk / "server.log"
        with serve(base, log=log) as server, Client(server.target) as client:
            fill(disk)
            size = log.stat().st_size
            put(versions[2], base, 2)
            until(lambda: states(client).get(2) == "AVAILABLE")
            assert answer(client) == (2, [2, 2, 2])
            assert log.stat().st_size - size < 4096, "there was room left"


def test_a_server_that_cannot_keep_samples_answers(tmp_path, base):
    with small_disk(tmp_path / "disk", "16k") as disk:
        fill(disk)
        with serve(base, f"--sample_requests_to={disk}", "--sample_rate=1") as server, Client(server.target) as client:
            for _ in range(200):
                assert answer(client) == (1, [1, 1, 1])


def test_a_server_with_a_limit_on_the_size_of_files_answers(base, tmp_path):
    """As a quota does: every write past it fails, the log's among them."""
    log = tmp_path / "server.log"
    log.write_bytes(b"x" * 4096)
    with serve(base, log=log) as server, Client(server.target) as client:
        subprocess.run(["prlimit", f"--pid={server.pid}", "--fsize=4096"], check=True)
        for _ in range(50):
            assert answer(client) == (1, [1, 1, 1])


def test_versions_from_the_future_are_surpassed(tmp_path, versions):
    """A publisher's clock was a century ahead: the next version is higher all the same."""
    store = Store(tmp_path / "store")
    ahead = tmp_path / "store" / "m" / "21260101000000"
    shutil.copytree(versions[1], ahead)
    for path in (ahead, *ahead.rglob("*")):
        os.utime(path, (4_922_899_200, 4_922_899_200))
    version = store.publish("m", versions[2])
    assert version == 21260101000001
    base = tmp_path / "store" / "m"
    with serve(base) as server, Client(server.target) as client:
        assert answer(client) == (version, [2, 2, 2])
        third = store.publish("m", versions[3])
        assert third == version + 1
        until(lambda: states(client).get(third) == "AVAILABLE")
        assert answer(client) == (third, [3, 3, 3])


def test_a_version_with_times_from_the_future_and_the_past_is_loaded(base, versions):
    with serve(base) as server, Client(server.target) as client:
        for number, moment in ((2, 4_922_899_200), (3, 0)):
            path = put(versions[number], base, number)
            for file in (path, *path.rglob("*")):
                os.utime(file, (moment, moment))
            until(lambda number=number: states(client).get(number) == "AVAILABLE")
            assert answer(client) == (number, [number] * len(np.ravel(X)))


def test_the_watched_folder_may_go_away_and_come_back(base, versions, tmp_path):
    with serve(base) as server, Client(server.target) as client:
        gone = base.rename(tmp_path / "away")
        time.sleep(1.5)  # a look at a folder that is not there
        assert answer(client) == (1, [1, 1, 1])
        put(versions[2], gone, 2)
        Path(gone).rename(base)
        until(lambda: states(client).get(2) == "AVAILABLE")
        assert answer(client) == (2, [2, 2, 2])
