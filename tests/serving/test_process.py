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


@pytest.mark.parametrize("logged", [False, True])
@pytest.mark.parametrize(
    ("program", "seconds", "message"),
    [
        ("import sys; sys.exit('no such model')", 30, "the model server ended with exit code 1: no such model"),
        ("import os; os._exit(3)", 30, "the model server ended with exit code 3: it logged nothing"),
        ("import os; os.kill(os.getpid(), 9)", 30, "the model server was ended by SIGKILL: it logged nothing"),
        ("import sys, time; print('busy', file=sys.stderr, flush=True); time.sleep(60)", 0.5, "within 0.5 s: busy"),
    ],
)
def test_one_that_does_not_start_is_an_error_in_its_words(tmp_path, program, seconds, message, logged):
    log = tmp_path / "log" if logged else None
    if log:
        log.write_text("of an earlier server\n")
    started = time.monotonic()
    with pytest.raises(ServingError) as raised, server_process(["-c", program], log=log, seconds=seconds):
        pass
    assert str(raised.value).endswith(message)
    assert time.monotonic() - started < 10
    if log:
        assert log.read_text().startswith("of an earlier server\n")


def test_of_a_long_log_the_last_lines_are_told():
    program = "import sys; [print('line', n, file=sys.stderr) for n in range(10_000)]; sys.exit(1)"
    with pytest.raises(ServingError) as raised, server_process(["-c", program]):
        pass
    assert str(raised.value).endswith("line 9998\nline 9999")
    assert len(str(raised.value)) < 1000


def test_the_reason_that_the_real_server_gives_is_told(tmp_path):
    ledger = tmp_path / "models" / "digits" / "ledger"
    ledger.mkdir(parents=True)
    (ledger / "000001.json").write_text("{")
    serve = ["-m", "nightshift.cli", "serve", "--port", "0", "--workspace", str(tmp_path)]
    with pytest.raises(ServingError, match=r"ended with exit code 1: (.|\n)*000001\.json"), server_process(serve):
        pass


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
