"""Apache Beam on several processes of this machine: the same bytes, bounded memory, nothing left of a killed one."""

import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.preparation import measure
from nightshift.data.prepare import prepare
from nightshift.tasks.registry import task as registered_task
from nightshift.workspace import Workspace

SHAPE = (150, 150, 3)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PROGRAM = """
import sys
from pathlib import Path
import nightshift.data.prepare as module
from nightshift.tasks.registry import task
from nightshift.workspace import Workspace
module.BEAM_BYTES = 0
module.prepare(
    task("rock_paper_scissors"), sys.argv[1], Workspace(Path(sys.argv[2])), beam_flags=sys.argv[3:],
    progress=lambda _, message: print(message, flush=True),
)
"""


def processes(workers: int) -> list[str]:
    return ["--runner=direct", "--direct_running_mode=multi_processing", f"--direct_num_workers={workers}"]


def hands(folder: Path, picture, write_tree, each: int) -> str:
    names = [f"{kind}/{number}.jpg" for kind in ("paper", "rock", "scissors") for number in range(each)]
    return str(write_tree(folder, {name: picture(n % 50, (150, 100), "JPEG") for n, name in enumerate(names)}))


def test_one_two_and_three_processes_give_the_same_dataset(tmp_path, picture, write_tree, monkeypatch):
    monkeypatch.setattr("nightshift.data.prepare.BEAM_BYTES", 0)
    source = hands(tmp_path / "tree", picture, write_tree, each=300)
    task = registered_task("rock_paper_scissors")
    plain = prepare(task, source, Workspace(tmp_path / "plain"))
    expected = {file.name: file.read_bytes() for file in plain.path.iterdir()}
    for workers in (1, 2, 3):
        workspace = Workspace(tmp_path / f"workspace-{workers}")
        dataset = prepare(task, source, workspace, beam_flags=processes(workers))
        assert {file.name: file.read_bytes() for file in dataset.path.iterdir()} == expected


def test_memory_grows_by_a_small_part_of_the_pixels(tmp_path):
    """The imports of three processes are 2 GiB, beside which a share of the peak says nothing."""
    peaks = []
    for images in (1_000, 10_000):
        random = np.random.default_rng(0)
        arrays = {
            f"{name}_{split}": (
                random.integers(0, 256, (count, *SHAPE), np.uint8) if name == "x" else np.arange(count) % 2
            )
            for split, count in (("train", images), ("test", images // 10))
            for name in ("x", "y")
        }
        np.savez(tmp_path / f"{images}.npz", **arrays)
        peaks.append(measure(str(tmp_path / f"{images}.npz"), "cats_vs_dogs", processes(2)).memory)
    more = 1.1 * (10_000 - 1_000) * math.prod(SHAPE) / 2**20
    assert more > 600
    assert peaks[1] - peaks[0] <= 0.3 * more, f"MiB: {peaks}, and {more:.0f} more of pixels"


@pytest.mark.parametrize("ended", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_stopped_preparation_leaves_no_process_and_nothing_visible(tmp_path, picture, write_tree, leftovers, ended):
    source = hands(tmp_path / "tree", picture, write_tree, each=600)
    workspace = Workspace(tmp_path / "workspace")
    command = [sys.executable, "-c", PROGRAM, source, str(workspace.root), *processes(2)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("validating: "):
                break
        workers = started_by(process.pid)
        assert len(workers) >= 2
        process.send_signal(ended)
    deadline = time.monotonic() + 300  # one that is still starting looks for its runner for so long
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < deadline, "the workers still run"
        time.sleep(0.5)
    assert [name for name in leftovers(workspace) if not name.endswith(".partial")] == []
    assert bool(leftovers(workspace)) == (ended == signal.SIGKILL)
    dataset = prepare(registered_task("rock_paper_scissors"), source, workspace)
    assert sorted(leftovers(workspace)) == sorted([dataset.path.name, "index"])
    assert json.loads((dataset.path / "dataset.json").read_text())["splits"]["train"]["count"]


def started_by(pid: int) -> list[int]:
    """The processes below one."""
    children = [
        int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()
    ]
    return [*children, *(deeper for child in children for deeper in started_by(child))]
