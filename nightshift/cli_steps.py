"""`nightshift step`: the steps of the workflow one by one, by hand.

Imports happen inside the commands, since some need TensorFlow.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nightshift.options import Commands, F, store_of, target_option, training_options, workspace_of, workspace_option

if TYPE_CHECKING:
    from nightshift.workspace import Run, Workspace


@click.group(cls=Commands)
def step() -> None:
    """Do one step of the workflow by hand, in the order of the list below; --run names the run they belong to."""


def step_options(command: F) -> F:
    """What every step takes."""
    command = click.option("--run", "run_id", required=True, metavar="NAME", help="The run the step belongs to.")(
        command
    )
    return workspace_option(command)


@step.command("prepare-data")
@click.argument("task")
@step_options
@training_options
@click.option("--data", default="", metavar="URI", help="Where the data are; the task's own if not given.")
@click.option("--model", default="", help="Name of the served model; the task's name if not given.")
@target_option
@click.argument("beam_flags", nargs=-1, metavar="[-- BEAM_FLAGS]")
def prepare_data(
    task: str,
    beam_flags: tuple[str, ...],
    run_id: str,
    workspace: str,
    preset: str,
    changes: tuple[tuple[str, str], ...],
    seed: int,
    data: str,
    model: str,
    server: str,
) -> None:
    """Read, check and shard the data; say whether there is anything to train.

    What follows -- goes to Apache Beam, such as --runner=DirectRunner --direct_running_mode=multi_processing
    --direct_num_workers=8, and large data are prepared by it.
    """
    from nightshift.steps.prepare_data import prepare_data as do

    place = workspace_of(workspace)
    prepared = do(
        place.run(run_id),
        place,
        store_of(workspace),
        task=task,
        model=model or task,
        source=data,
        preset=preset,
        settings=dict(changes),
        seed=seed,
        server=server,
        beam_flags=beam_flags,
    )
    click.echo(prepared.dataset.path)


def _recorded(workspace: str, run_id: str) -> tuple["Workspace", "Run", dict[str, Any]]:
    """The workspace, the run and what its prepare_data step recorded."""
    place = workspace_of(workspace)
    run = place.run(run_id)
    figures = run.statuses().get("prepare_data", {}).get("figures", {})
    if "key" not in figures:
        raise click.ClickException(
            f"{run.path}: prepare_data has not been done; run `nightshift step prepare-data` first"
        )
    return place, run, figures


@step.command()
@step_options
def train(run_id: str, workspace: str) -> None:
    """Train what prepare-data was told."""
    from nightshift.data.manifest import Dataset
    from nightshift.steps.train import train as do

    place, run, known = _recorded(workspace, run_id)
    dataset = Dataset.open(Path(known["dataset_path"]))
    trained = do(
        run,
        place,
        task=known["task"],
        preset=known["preset"],
        settings=known["settings"],
        seed=known["seed"],
        dataset=dataset,
    )
    click.echo(trained.path)


@step.command()
@step_options
@target_option
def evaluate(run_id: str, workspace: str, server: str) -> None:
    """Judge the trained network on the test split."""
    from nightshift.data.manifest import Dataset
    from nightshift.steps.evaluate import evaluate as do
    from nightshift.training.model import TrainedModel

    place, run, known = _recorded(workspace, run_id)
    judged = do(
        run,
        store_of(workspace),
        task=known["task"],
        model=known["model"],
        seed=known["seed"],
        dataset=Dataset.open(Path(known["dataset_path"])),
        trained=TrainedModel.open(place.checkpoints / known["key"]),
        server=server,
    )
    click.echo(json.dumps(judged.evaluation["metrics"]))


@step.command()
@step_options
def export(run_id: str, workspace: str) -> None:
    """Write the SavedModel and prove it equal to the trained network through a model server."""
    from nightshift.data.manifest import Dataset
    from nightshift.steps.export import export as do
    from nightshift.training.model import TrainedModel

    place, run, known = _recorded(workspace, run_id)
    exported = do(
        run,
        task=known["task"],
        model=known["model"],
        seed=known["seed"],
        dataset=Dataset.open(Path(known["dataset_path"])),
        trained=TrainedModel.open(place.checkpoints / known["key"]),
        evaluation=run.path / "evaluate",
    )
    click.echo(exported.path)


@step.command()
@step_options
@target_option
def deploy(run_id: str, workspace: str, server: str) -> None:
    """Release the SavedModel that export wrote."""
    from nightshift.steps.deploy import deploy as do

    _, run, known = _recorded(workspace, run_id)
    saved_model = run.statuses().get("export", {}).get("figures", {}).get("saved_model")
    if not saved_model:
        raise click.ClickException(f"{run.path}: export has not been done; run `nightshift step export` first")
    click.echo(do(run, store_of(workspace), model=known["model"], saved_model=Path(saved_model), server=server).version)


@step.command()
@click.option("--run", "run_id", required=True, metavar="NAME")
@workspace_option
def report(run_id: str, workspace: str) -> None:
    """Draw the run's page."""
    from nightshift.steps.report import report as do

    run = workspace_of(workspace).run(run_id)
    if not run.statuses():
        raise click.ClickException(f"{run.path}: there is no such run")
    do(run)
