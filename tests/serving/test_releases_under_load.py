"""Releases and rollbacks under eight clients: no request fails, and hardly any takes longer."""

import contextlib
import itertools
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from network_version import renamed, write_network

from nightshift.serving.client import Client
from nightshift.serving.process import server_process
from nightshift.serving.release import release, rollback
from nightshift.serving.rules import Rules
from nightshift.serving.store import Store

PROGRAM = Path(__file__).parent / "asking_process.py"
CLIENTS = 8
QUIET = lambda text: None  # noqa: E731
RULES = Rules(bake_seconds=1.0)


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Gives the version folder of a network, another one each time."""
    root = tmp_path_factory.mktemp("networks")
    written = [write_network(root / f"seed-{seed}", seed) for seed in (1, 2)]
    return lambda number: renamed(written[number % 2], root / str(number), f"number-{number}")


@contextlib.contextmanager
def clients(target, file):
    """Ask for the length of the block; afterwards the file has what came of it."""
    command = [sys.executable, str(PROGRAM), target, "digits", str(CLIENTS), str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"asking\n"
        yield
        process.stdin.close()
        assert process.wait(60) == 0


def percentiles(seconds):
    return {q: round(1000 * float(np.percentile(seconds, q)), 1) for q in (50, 90, 99, 99.9)}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("releases", "rollbacks", "quiet_seconds"),
    [
        pytest.param(2, 1, 1.0, id="2 and 1", marks=pytest.mark.slow),
        pytest.param(20, 5, 15.0, id="20 and 5", marks=pytest.mark.soak),
    ],
)
def test_no_request_fails_and_hardly_any_takes_longer(
    networks, tmp_path, record_property, releases, rollbacks, quiet_seconds
):
    store = Store(tmp_path / "models")
    command = ["-m", "nightshift.cli", "serve", "--port", "0", "--workspace", str(tmp_path)]
    served = []
    with server_process(command, log=tmp_path / "server.log") as target, Client(target) as client:
        served.append(release(store, "digits", networks(0), client, QUIET, RULES).version)
        with clients(target, tmp_path / "rows.json"):
            time.sleep(quiet_seconds / 2)
            marks = [time.monotonic()]
            time.sleep(quiet_seconds)
            marks.append(time.monotonic())
            for number in range(1, releases + 1):
                served.append(release(store, "digits", networks(number), client, QUIET, RULES).version)
                if number % (releases // rollbacks) == 0:
                    rollback(store, "digits", client, tell=QUIET, rules=RULES)
            marks.append(time.monotonic())
            time.sleep(quiet_seconds)
            marks.append(time.monotonic())
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [error for *_, error in rows if error] == []
    assert {version for *_, version, _ in rows} == set(served)
    parts = [
        [seconds for began, seconds, *_ in rows if begin <= began < end] for begin, end in itertools.pairwise(marks)
    ]
    figures = dict(zip(("quiet before", "releasing", "quiet after"), map(percentiles, parts), strict=True))
    record_property("milliseconds", figures)
    print(f"{releases} releases, {rollbacks} rollbacks, {len(rows)} answers, milliseconds: {figures}")
    if releases >= 20:  # of fewer, p99 is that of whatever else the machine does
        quiet = np.percentile(parts[0] + parts[2], 99)
        assert np.percentile(parts[1], 99) <= 3 * quiet, figures
