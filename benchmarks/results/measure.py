"""Measures one line: prepares, trains, judges on the test split, and writes the record.

    python -m benchmarks.results.measure digits.blog 0 DATA/mnist.npz

A process of its own for each, so that what runs is the code that the record's hash is of, however long the table takes.
A training that was stopped goes on after its last whole epoch; one that is finished is not repeated.
"""

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from benchmarks.results.record import Record
from benchmarks.results.records import DOCS, Records, marked
from nightshift.data.manifest import Dataset
from nightshift.data.prepare import prepare
from nightshift.options import InWords, workspace_of, workspace_option
from nightshift.provenance import recipe
from nightshift.tasks.base import Preset, Task
from nightshift.tasks.registry import preset_of
from nightshift.tasks.registry import task as task_of
from nightshift.workspace import Workspace

INTERRUPTED = 128 + 2
TELL_SECONDS = 15.0


class Teller:
    """Prints when something else begins, and how far it is every so often, with the time of day."""

    def __init__(self, name: str) -> None:
        self.name, self._work, self._told = name, "", 0.0

    def __call__(self, fraction: float, message: str) -> None:
        work = message.partition(" ")[0]
        if work != self._work or time.monotonic() - self._told >= TELL_SECONDS:
            self._work, self._told = work, time.monotonic()
            self.say(f"{fraction:4.0%} {message}")

    def say(self, message: str) -> None:
        """At once."""
        print(f"{time.strftime('%H:%M:%S')} {self.name}: {message}", flush=True)


def measure(name: str, seed: int, data: str, workspace: Workspace, records: Records, *, again: bool = False) -> Record:
    """Measure TASK.PRESET, or return its record if that is of the same recipe.

    Args:
        name: TASK.PRESET.
        seed: of the splits, the training, and the puzzles that are judged.
        data: URI or path, as `nightshift.data.sources` takes it.
        workspace: where data and trainings are kept.
        records: where the record goes.
        again: judge and write anew although there is a record; the training, if finished, is not repeated.
    """
    task_name, _, preset_name = name.partition(".")
    task = task_of(task_name)
    preset = preset_of(task, preset_name)
    tell = Teller(f"{name} seed {seed}")
    dataset = prepare(task, data, workspace, seed=seed, progress=tell)
    key = recipe(task, preset_name, preset, seed, dataset.fingerprint).key
    known = records.find(name, seed)
    if known and known.key == key and not again:
        tell.say("measured before")
        if known.stale:
            records.put(known.model_copy(update={"stale": False}))
        return known
    if known and known.key != key:
        tell.say("measured with other code, settings or data: measured again")
        records.put(marked(known))
    record = _measure(task, preset_name, preset, seed, dataset, workspace, tell)
    records.put(record)
    figures = ", ".join(f"{metric} {value:.4f}" for metric, value in record.metrics.items())
    tell.say(f"{figures}; {record.parameters:,} parameters, {record.seconds:,.0f} s of training")
    return record


def _measure(
    task: Task, preset_name: str, preset: Preset, seed: int, dataset: Dataset, workspace: Workspace, tell: Teller
) -> Record:
    # TensorFlow takes seconds to import: only when there is something to measure.
    import tensorflow as tf

    from nightshift.evaluation.answers import judge, of_keras
    from nightshift.problems.registry import problem_of
    from nightshift.training.train import train

    trained = train(task, preset_name, preset, dataset, workspace, seed=seed, progress=tell)
    facts = trained.description
    answer = of_keras(trained.weights, problem_of(task, tuple(dataset.manifest.classes)))
    judgement = judge(task, dataset, answer, seed=seed, progress=tell)
    cores, gpus = os.cpu_count(), len(tf.config.list_physical_devices("GPU"))
    return Record(
        task=task.name,
        preset=preset_name,
        seed=seed,
        metrics={metric: round(value, 6) for metric, value in judgement.metrics.items()},
        count=judgement.count,
        **{name: facts[name] for name in ("parameters", "epochs", "best_epoch", "seconds", "cpu_seconds")},
        key=trained.path.name,
        dataset=dataset.fingerprint,
        sources=facts["recipe"]["sources"],
        machine=f"{cores} cores, {f'{gpus} GPU' if gpus else 'no GPU'}",
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


@click.command(cls=InWords)
@click.argument("name", metavar="TASK.PRESET")
@click.argument("seed", type=click.IntRange(0, (1 << 32) - 1))
@click.argument("data")
@workspace_option
@click.option("--docs", default=DOCS, type=click.Path(exists=True, file_okay=False, path_type=Path), show_default=True)
@click.option("--again", is_flag=True, help="Although there is a record of the same recipe.")
def main(name: str, seed: int, data: str, workspace: str, docs: Path, again: bool) -> None:
    """Train TASK.PRESET on DATA with SEED, judge it and write its record."""
    place = workspace_of(workspace)
    try:
        measure(name, seed, data, place, Records(docs, lock_of(place)), again=again)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def lock_of(workspace: Workspace) -> Path:
    """The lock of the records that are measured in a workspace."""
    return workspace.root / "results.lock"


if __name__ == "__main__":
    main()
