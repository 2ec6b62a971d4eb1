"""Data preparation without Apache Beam and with it on so many processes: seconds, processor, memory, the same dataset.

    python -m benchmarks.preparation SOURCE TASK --workers 1 --workers 2
    python -m benchmarks.preparation FOLDER --photographs 240 --copies 48
    python -m benchmarks.preparation FOLDER cats_vs_dogs --workers 1 --workers 2 --runs 3

Each preparation is a process of its own in an empty workspace. Memory is the highest sum of the resident sizes of all
its processes, looked at ten times a second; the processor's seconds are those of all of them, and of the busiest one.
`--photographs` writes a folder of JPEGs of 12 megapixels, the bundled photographs enlarged, and `--copies` gives each
so many names: work for minutes.
"""

import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from PIL import Image

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")
LARGE = (4000, 3000)
PROGRAM = """
import sys
from pathlib import Path
import nightshift.data.prepare as module
from nightshift.tasks.registry import task
from nightshift.workspace import Workspace
source, name, folder, *flags = sys.argv[1:]
module.BEAM_BYTES = 0
dataset = module.prepare(task(name), source, Workspace(Path(folder)), beam_flags=flags)
print(dataset.fingerprint)
"""


@dataclass(frozen=True)
class Measured:
    """One preparation: seconds, processor seconds of all processes and of the busiest, MiB, the dataset."""

    seconds: float
    processor: float
    busiest: float
    memory: float
    dataset: str


def measure(source: str, task: str, flags: list[str]) -> Measured:
    """Prepare once."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        command = [sys.executable, "-c", PROGRAM, source, task, folder, *flags]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            used: dict[int, float] = defaultdict(float)
            highest = 0
            while process.poll() is None:
                resident = 0
                for pid in _tree(process.pid):
                    try:
                        resident += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
                        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                    except OSError:
                        continue  # it has ended since
                    used[pid] = (int(fields[11]) + int(fields[12])) / TICKS
                highest = max(highest, resident)
                time.sleep(0.1)
            assert process.stdout is not None
            dataset = process.stdout.read().strip()
        if process.returncode:
            raise click.ClickException(f"the preparation ended with {process.returncode}")
        seconds = time.perf_counter() - began
    return Measured(seconds, sum(used.values()), max(used.values()), highest / 2**20, dataset)


def _tree(root: int) -> Iterator[int]:
    """A process and all that it started."""
    yield root
    try:
        children = [
            Path(f"/proc/{root}/task/{thread}/children").read_text() for thread in os.listdir(f"/proc/{root}/task")
        ]
    except OSError:
        return
    for child in " ".join(children).split():
        yield from _tree(int(child))


def write_photographs(folder: Path, count: int, copies: int) -> None:
    """A folder cats, a folder dogs: crops of the bundled photographs, enlarged; a file under several names each."""
    from nightshift.data.photographs import BundledPhotographs

    examples = BundledPhotographs((300, 400, 3), 0).examples()
    for number, example in zip(range(count), examples, strict=False):
        assert isinstance(example.image, np.ndarray)
        large = Image.fromarray(example.image).resize(LARGE, Image.Resampling.BICUBIC)
        content = io.BytesIO()
        large.save(content, "JPEG", quality=90)
        path = folder / ("cats", "dogs")[number % 2] / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.getvalue())
        for copy in range(1, copies):
            path.with_stem(f"{path.stem}-{copy}").hardlink_to(path)


@click.command()
@click.argument("source")
@click.argument("task", default="cats_vs_dogs")
@click.option(
    "--workers", multiple=True, default=(1, 2), type=click.IntRange(1), help="Processes of Beam's; repeatable."
)
@click.option("--runs", default=1, show_default=True, type=click.IntRange(1), help="In turn; medians are shown.")
@click.option("--plain/--no-plain", default=True, help="Without Beam, too.")
@click.option("--photographs", type=click.IntRange(1), help="Write so many of them to SOURCE, and end.")
@click.option("--copies", default=1, show_default=True, type=click.IntRange(1), help="Names of each of them.")
def main(
    source: str, task: str, workers: tuple[int, ...], runs: int, plain: bool, photographs: int | None, copies: int
) -> None:
    """Print a line of JSON for each way, and the ratio of the seconds of the first number of workers to the others'."""
    if photographs:
        write_photographs(Path(source), photographs, copies)
        return
    cases: dict[str, list[str]] = {"plain": []} if plain else {}
    for count in workers:
        mode = ["--direct_running_mode=multi_processing", f"--direct_num_workers={count}"]
        cases[f"beam, {count}"] = ["--runner=direct", *mode]
    found: dict[str, list[Measured]] = defaultdict(list)
    for _ in range(runs):
        for name, flags in cases.items():
            found[name].append(measure(source, task, flags))
    for name, measured in found.items():
        figures = {
            field: round(statistics.median(getattr(one, field) for one in measured), 1)
            for field in ("seconds", "processor", "busiest", "memory")
        }
        print(json.dumps({"way": name, **figures, "dataset": measured[0].dataset}), flush=True)
    if len({one.dataset for measured in found.values() for one in measured}) > 1:
        raise click.ClickException("the datasets differ")
    first = found[f"beam, {workers[0]}"]
    for count in workers[1:]:
        ratios = [one.seconds / other.seconds for one, other in zip(first, found[f"beam, {count}"], strict=True)]
        print(json.dumps({"workers": [workers[0], count], "speed": round(statistics.median(ratios), 2)}))


if __name__ == "__main__":
    main()
