"""A server as a process for as long as a block lasts."""

import os
import signal
import subprocess
import sys
import time

import pytest

from nightshift.errors import ServingError
from nightshift.serving import process as module
from nightshift.serving.process import server_process

READY = "print('noise', flush=True); print('serving on 127.0.0.1:1', flush=True); "
PIDS = "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid())); "


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_address_is_what_the_process_prints(tmp_path):
    with server_process(["-c", PIDS + READY + "import time; time.sleep(60)", str(tmp_path / "pid")]) as target:
        assert target == "127.0.0.1:1"
        pid = int((tmp_path / "pid").read_text())
        assert alive(pid)
    assert not alive(pid)


def test_it_is_stopped_after_an_error_too(tmp_path):
    arguments = ["-c", PIDS + READY + "import time; time.sleep(60)", str(tmp_path / "pid")]
    with pytest.raises(RuntimeError, match="mine"), server_process(arguments):
        raise RuntimeError("mine")
    assert not alive(int((tmp_path / "pid").read_text()))


def test_one_that_does_not_stop_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "STOP_SECONDS", 0.2)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    with server_process(["-c", PIDS + deaf + READY + "time.sleep(60)", str(tmp_path / "pid")]):
        pass
    assert not alive(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("program", ["import sys; sys.exit('no such model')", "import time; time.sleep(60)"])
def test_one_that_does_not_start_is_an_error_in_its_words(program):
    started = time.monotonic()
    with (
        pytest.raises(ServingError, match=r"did not start within 0\.5 s|no such model"),
        server_process(["-c", program], seconds=0.5 if "sleep" in program else 30),
    ):
        pass
    assert time.monotonic() - started < 10


def test_the_log_is_named(tmp_path):
    log = tmp_path / "log"
    with pytest.raises(ServingError, match=f"see {log}"), server_process(["-c", "import sys; sys.exit('no')"], log=log):
        pass
    assert "no" in log.read_text()


def test_it_does_not_outlive_a_parent_that_is_killed(tmp_path):
    parent = (
        "import os, signal, sys\n"
        "from nightshift.serving.process import server_process\n"
        f"with server_process(['-m', 'nightshift.cli', 'serve', '--port', '0', '--workspace', {str(tmp_path)!r}]):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with subprocess.Popen([sys.executable, "-c", parent], start_new_session=True) as process:
        assert process.wait(60) == -signal.SIGKILL
    deadline = time.monotonic() + 15
    while True:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        assert time.monotonic() < deadline, "the server lives on"
        time.sleep(0.1)
