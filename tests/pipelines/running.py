"""Starts `python -m pipelines.run` as a person does, and watches it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
COMMAND = [sys.executable, "-m", "pipelines.run"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(*arguments, timeout=240):
    """Run to the end; stdout and stderr as text."""
    return subprocess.run([*COMMAND, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=timeout)


def start(*arguments, log):
    """Start in a session of its own, whose number is the process's."""
    with open(log, "ab") as file:
        return subprocess.Popen(
            [*COMMAND, *map(str, arguments)], cwd=ROOT, stdout=file, stderr=file, start_new_session=True
        )


def runs(workspace):
    """The folders of all runs, the oldest first."""
    folder = workspace / "runs"
    return sorted(folder.iterdir()) if folder.exists() else []


def status(run_path, step):
    """What status.json says, {} before there is one."""
    file = run_path / step / "status.json"
    return json.loads(file.read_text()) if file.exists() else {}


def wait_for(condition, process, seconds=120):
    """Wait until the condition gives something; the process must not end before."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert process.poll() is None, f"ended with {process.returncode} before it came about"
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)
    return found


def in_session(session):
    """The live processes of a session, but zombies."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(folder.name))
    return found


def kill(process, *, group):
    """SIGKILL to the process alone, or to its whole session."""
    if group:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    assert process.wait(10) == -signal.SIGKILL
