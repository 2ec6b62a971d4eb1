"""Ctrl-C in a terminal, SIGTERM of a service manager: the run ends soon and in words."""

import json
import os
import signal
import subprocess
import sys

import pytest
from running import free_port, in_session, runs, start, status, wait_for

from nightshift.workspace import Run
from pipelines.interruption import MARK, Interruption

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


def begin(tmp_path):
    """Start a run that would take long; the process, its run's folder and its output's file."""
    log, workspace = tmp_path / "log", tmp_path / "workspace"
    arguments = ["digits", "--preset", "blog", "--set", "epochs=2000", "--workspace", workspace]
    process = start(*arguments, "--server", f"127.0.0.1:{free_port()}", "--json", log=log)
    (path,) = wait_for(lambda: runs(workspace), process)
    return process, path, log


def check_end(process, path, log):
    """It ends soon with all that it started; gives its figures."""
    assert process.wait(40) == 130, log.read_text()
    assert in_session(process.pid) == []
    said = log.read_text()
    assert "Traceback" not in said
    assert said.splitlines()[-1] == "interrupted; the same command goes on where this one stopped"
    (figures,) = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert not figures["succeeded"]
    assert figures["run"] == path.name
    assert figures["report"] == str(path / "report.html")
    return figures


@pytest.mark.parametrize(
    ("send", "number"),
    [(os.killpg, signal.SIGINT), (os.kill, signal.SIGTERM), (os.killpg, signal.SIGTERM)],
    ids=["a terminal's Ctrl-C", "SIGTERM to the run alone", "SIGTERM to all of it"],
)
def test_a_step_that_is_interrupted_says_so(tmp_path, send, number):
    process, path, log = begin(tmp_path)
    wait_for(lambda: "epoch" in status(path, "train").get("message", ""), process)
    send(process.pid, number)
    check_end(process, path, log)
    assert "train failed: interrupted" in log.read_text()
    assert status(path, "train")["state"] == "failed"
    assert status(path, "train")["error"] == "interrupted"
    assert status(path, "report")["state"] == "succeeded"
    assert "interrupted" in (path / "report.html").read_text()


def test_a_step_that_has_not_begun_its_record_ends_too(tmp_path):
    process, path, log = begin(tmp_path)
    wait_for(lambda: len(in_session(process.pid)) > 2, process)  # the run, its model server and a step
    assert status(path, "prepare_data") == {}
    process.terminate()
    figures = check_end(process, path, log)
    assert figures["steps"].keys() == {"report"}


def test_a_step_that_does_not_listen_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.interruption.STOP_SECONDS", 0.3)
    deaf = (
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    with Interruption() as interruption, interruption.stops(Run(tmp_path)):
        step = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
        assert step.stdout.read(4) == b"deaf"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    assert step.wait(5) == -signal.SIGKILL
    step.stdout.close()
    assert interruption.received
    assert MARK not in os.environ
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
