"""`nightshift benchmark`: how fast parts of Nightshift are on this machine."""

import json
import os
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from nightshift.cli_serving import json_option
from nightshift.options import Commands, workspace_of, workspace_option

if TYPE_CHECKING:
    from nightshift.data.manifest import Dataset


@click.group(cls=Commands)
def benchmark() -> None:
    """Measure how fast this machine is."""


@benchmark.command("input")
@click.argument("dataset")
@click.option("--task", default="", help="Whose changes of images are made.  [default: the dataset's]")
@click.option("--preset", default="default", show_default=True, help="Batch size and augmentation are its.")
@click.option(
    "--seconds", default=5.0, show_default=True, type=click.FloatRange(0.1, 3600), help="To measure each stage for."
)
@click.option(
    "--consumes",
    multiple=True,
    type=click.FloatRange(0, min_open=True),
    metavar="IMAGES",
    help="Images a second that an accelerator takes: how many cores does it need? May be given again.",
)
@click.option(
    "--train",
    type=click.FloatRange(0.1, 3600),
    metavar="SECONDS",
    help="Train the preset for so long on this machine, and compare with what that consumes.",
)
@click.option("--streamed", is_flag=True, help="Read shards every epoch even if all fits in memory.")
@workspace_option
@json_option
def measure_input(
    dataset: str,
    task: str,
    preset: str,
    seconds: float,
    consumes: tuple[float, ...],
    train: float | None,
    streamed: bool,
    workspace: str,
    as_json: bool,
) -> None:
    """Measure the input pipeline of a training alone, stage by stage.

    DATASET is the folder of a prepared dataset, its fingerprint in the workspace, or gs://BUCKET/PREFIX/FINGERPRINT,
    of which shards are fetched for some seconds into a cache that is thrown away, on the disk that NIGHTSHIFT_CACHE
    names. Seconds of the processor, which other processes hardly change, tell how many cores an accelerator needs;
    images a second are of this machine as it is now.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is imported, which reads it then
    from nightshift.tasks.registry import preset_of
    from nightshift.tasks.registry import task as task_of

    with ExitStack() as stack:
        found = _open(dataset, workspace, stack)
        chosen = task_of(task or found.manifest.task)
        settings = preset_of(chosen, preset)
        from nightshift.benchmark import input as stages
        from nightshift.benchmark.figures import compared, needs

        figures = stages.measure_input(found, chosen, settings, seconds=seconds, streamed=streamed, seed=0, say=_say)
        wanted = [needs(figures, each) for each in consumes]
        if train is not None:
            from nightshift.benchmark.training import measure_training

            rate = measure_training(found, chosen, settings, seconds=train, seed=0, say=_say)
            wanted.append(compared(figures, rate))
    where = f"{chosen.name}, preset {preset}, {found.place}"
    if as_json:
        facts: dict[str, Any] = {"dataset": found.place, "task": chosen.name, "preset": preset, **figures.facts()}
        click.echo(json.dumps(facts | {"needs": wanted}))
        return
    from rich.console import Console

    from nightshift.benchmark.figures import need_in_words, print_figures

    how = "kept in memory" if figures.in_memory else "read every epoch"
    print_figures(figures, f"Input of {where}: {figures.images:,} images, {how}", Console())
    for need in wanted:
        click.echo(need_in_words(need))


def _open(dataset: str, workspace: str, stack: ExitStack) -> "Dataset":
    """The dataset of that name; what it needs of temporary folders ends with the stack."""
    from nightshift.data.manifest import Dataset
    from nightshift.settings import settings

    if dataset.startswith("gs://"):
        disk = settings().cache or None
        if disk:
            Path(disk).mkdir(parents=True, exist_ok=True)
        return Dataset.in_bucket(dataset, Path(stack.enter_context(TemporaryDirectory(dir=disk))))
    known = workspace_of(workspace).datasets / dataset
    return Dataset.open(known if "/" not in dataset and known.is_dir() else Path(dataset))


def _say(words: str) -> None:
    click.echo(f"measuring {words} ...", err=True)
