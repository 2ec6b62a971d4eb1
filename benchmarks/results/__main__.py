"""Trains and judges the lines of docs/results.md, and writes each into the page as it is done.

    python -m benchmarks.results DATA
    python -m benchmarks.results DATA --only fashion.default --only digits --seeds 0

DATA is a folder with mnist.npz, fashion_mnist.npz, cats_and_dogs_filtered.zip, rock_paper_scissors.zip and
cifar10_images.zip, or those of them that the chosen lines need. It may be stopped at any time: the same command goes
on where it was.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import FrameType

import click

from benchmarks.results.measure import INTERRUPTED, lock_of
from benchmarks.results.page import of, verdicts
from benchmarks.results.record import Record
from benchmarks.results.records import DOCS, Records, is_outdated
from benchmarks.results.rows import ROWS, Row
from nightshift.errors import ConfigurationError
from nightshift.options import InWords, workspace_of, workspace_option
from nightshift.tasks.registry import tasks

ROOT = Path(__file__).parent.parent.parent
QUICK_SECONDS = 600
"""A training of at most so long is repeated with further seeds."""

STOP_SECONDS = 30

Measure = Callable[[Row, int], bool]
"""Measures a line with a seed; whether that went well."""


class Seeds(click.ParamType[tuple[int, ...]]):
    """N,N,..."""

    name = "n,n,..."

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        parts = str(value).split(",")
        if not all(part.isascii() and part.isdigit() and int(part) < 1 << 32 for part in parts):
            self.fail(f"found {value!r}, expected whole numbers with commas between them", param, ctx)
        return tuple(dict.fromkeys(map(int, parts)))


@click.command(cls=InWords)
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--only", multiple=True, metavar="TASK[.PRESET]", help="These lines and no others; may be repeated.")
@click.option("--seeds", default="0,1,2", show_default=True, type=Seeds(), help="The first, then the others if quick.")
@click.option("--list", "listing", is_flag=True, help="Say what has been measured and what has not, and end.")
@click.option("--again", is_flag=True, help="Judge and write anew what has been measured; finished trainings are kept.")
@workspace_option
@click.option(
    "--docs",
    default=DOCS,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where results.json and results.md are.",
)
def main(
    data: Path, only: tuple[str, ...], seeds: tuple[int, ...], listing: bool, again: bool, workspace: str, docs: Path
) -> None:
    """Measure what docs/results.md shows, with the files in the folder DATA.

    The first seed of every line comes first, quick lines before slow ones; then the other seeds of lines whose training
    took at most ten minutes. Ends with exit code 1 if a line could not be measured or does not reach what it has to.
    """
    rows, place = chosen(only), workspace_of(workspace)
    records = Records(docs, lock_of(place))
    if listing:
        for line in statuses(rows, seeds, records.read()):
            print(line)
        return
    place.make()
    options = ["--workspace", str(place.root), "--docs", str(docs.resolve()), *(["--again"] if again else [])]
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        records.mark_stale()
        done = measure_all(
            rows, seeds, records, lambda row, seed: in_own_process(row, seed, data.resolve() / row.data, options)
        )
    except KeyboardInterrupt:
        say("interrupted; the same command goes on where this one stopped")
        sys.exit(INTERRUPTED)
    unmet = list(shortfalls(rows, records.read()))
    for words in unmet:
        say(words)
    sys.exit(0 if done and not unmet else 1)


def chosen(only: Sequence[str]) -> list[Row]:
    """The rows of the given tasks and TASK.PRESETs, all without any.

    Raises:
        ConfigurationError: there is no row of that name.
    """
    for name in only:
        if not any(name in (row.task, row.name) for row in ROWS):
            raise ConfigurationError(f"--only {name}: no such line; there are {', '.join(row.name for row in ROWS)}")
    return [row for row in ROWS if not only or row.task in only or row.name in only]


def measure_all(rows: Iterable[Row], seeds: Sequence[int], records: Records, measure: Measure) -> bool:
    """Measure rows in order: the first seed of all, then the others of quick ones. Returns whether all went well."""
    there = []
    for row in rows:
        if is_there(row):
            there.append(row)
        else:
            say(f"{row.name}: skipped, there is no such task or preset yet")
    first, *others = seeds
    well = _measure_each([(row, first) for row in quick_first(there, records.read())], measure)
    known = records.read()
    quick = [row for row in quick_first(there, known) if is_quick(row, first, known)]
    return _measure_each([(row, seed) for seed in others for row in quick], measure) and well


def _measure_each(pairs: Sequence[tuple[Row, int]], measure: Measure) -> bool:
    well = True
    for number, (row, seed) in enumerate(pairs, 1):
        say(f"{number} of {len(pairs)}: {row.name} seed {seed}")
        if not measure(row, seed):
            say(f"{row.name} seed {seed}: not measured, see above")
            well = False
    return well


def is_there(row: Row) -> bool:
    """Whether the registry has its task and preset."""
    return row.task in tasks() and row.preset in tasks()[row.task].presets


def quick_first(rows: Iterable[Row], records: Sequence[Record]) -> list[Row]:
    """In the order of what training took when it was last measured, or else is thought to take."""
    seconds = {record.name: record.seconds for record in records}
    return sorted(rows, key=lambda row: seconds.get(row.name, 60 * row.minutes))


def is_quick(row: Row, seed: int, records: Sequence[Record]) -> bool:
    """Whether a training with this seed is known to have taken at most ten minutes."""
    return any(
        (record.name, record.seed) == (row.name, seed) and not record.stale and record.seconds <= QUICK_SECONDS
        for record in records
    )


def shortfalls(rows: Iterable[Row], records: Sequence[Record]) -> Iterable[str]:
    """In words, what measured rows do not reach of what they have to."""
    for row in rows:
        if own := of(records, row):
            yield from (f"{row.name}: not met: {words}" for words, met in verdicts(row, own) if not met)


def statuses(rows: Iterable[Row], seeds: Sequence[int], records: Sequence[Record]) -> Iterable[str]:
    """A line for every row: is it there, which seeds have been measured, are they of today's code and settings."""
    for row in rows:
        if not is_there(row):
            yield f"{row.name:28} no such task or preset yet"
            continue
        known = {record.seed: record for record in records if record.name == row.name}
        words = [f"seed {seed} {_status(known.get(seed))}" for seed in seeds if seed in known or seed == seeds[0]]
        yield f"{row.name:28} {'; '.join(words)}"


def _status(record: Record | None) -> str:
    if record is None:
        return "not measured"
    figures = ", ".join(f"{name} {value:.4f}" for name, value in list(record.metrics.items())[:1])
    return f"{figures}, {record.seconds:,.0f} s{', stale' if record.stale or is_outdated(record) else ''}"


def in_own_process(row: Row, seed: int, data: Path, options: Sequence[str]) -> bool:
    """Measure in a process of its own, which an interruption of this one ends first."""
    arguments = ["-m", "benchmarks.results.measure", row.name, str(seed), str(data), *options]
    # A session of its own: a terminal's Ctrl-C comes to it once, from here.
    environment = {"TF_CPP_MIN_LOG_LEVEL": "2"} | os.environ
    with subprocess.Popen([sys.executable, *arguments], cwd=ROOT, env=environment, start_new_session=True) as process:
        try:
            return process.wait() == 0
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            raise


def _interrupt(number: int, frame: FrameType | None) -> None:
    """The first signal ends the command; those that follow are ignored: the end is under way."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def say(message: str) -> None:
    """With the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {message}", flush=True)


if __name__ == "__main__":
    main()
