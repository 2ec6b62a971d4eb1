"""`nightshift worker`: what each Pod of a TrainJob runs. Started by the train step, not by hand.

Exit codes: 0, it is done; 2, a mistake that no restart mends; 143, SIGTERM came and the checkpoint is written.
"""

import json
import os
import sys
from typing import Any

import click

from nightshift.errors import ConfigurationError, DataError
from nightshift.options import InWords, workspace_of

MISTAKE = 2
"""manifests/components/training ends the whole TrainJob at it."""


class Settings(click.ParamType[dict[str, Any]]):
    """A JSON object."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """Read it."""
        try:
            found = json.loads(value)
        except ValueError as error:
            self.fail(f"found {value!r}: {error}", param, ctx)
        if not isinstance(found, dict):
            self.fail(f"found {value!r}, expected a JSON object", param, ctx)
        return found


@click.command(cls=InWords, hidden=True)
@click.option("--task", required=True)
@click.option("--preset", required=True)
@click.option("--settings", "changes", required=True, type=Settings(), help="Changes to the preset.")
@click.option("--seed", required=True, type=int)
@click.option("--dataset", required=True, help="Folder of the prepared data, or gs://.")
@click.option("--workspace", required=True, help="Folder that all workers share.")
@click.option("--run", "run_id", required=True, help="The run that this belongs to.")
def worker(
    task: str, preset: str, changes: dict[str, Any], seed: int, dataset: str, workspace: str, run_id: str
) -> None:
    """Train as one of the workers of a TrainJob; which one, and of how many, the environment says."""
    try:
        index, count = _join()
        click.echo(f"run {run_id}: worker {index} of {count}")
        _train(task, preset, changes, seed, dataset, workspace)
    except (ConfigurationError, DataError) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(MISTAKE)


def _join() -> tuple[int, int]:
    """Tell TensorFlow, which is not imported yet, who the workers are; returns our index and their number."""
    from nightshift.training.kubernetes.job import COUNT, INDEX, NAME, workers

    try:
        name, count, index = os.environ[NAME], int(os.environ[COUNT]), int(os.environ[INDEX])
    except (KeyError, ValueError) as error:
        raise ConfigurationError(
            f"{NAME}, {COUNT}, {INDEX}: expected the name of a TrainJob and two numbers; `nightshift worker` is for "
            f"its Pods: {error}"
        ) from None
    task = {"type": "worker", "index": index}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": workers(name, count)}, "task": task})
    return index, count


def _train(task: str, preset: str, changes: dict[str, Any], seed: int, dataset: str, workspace: str) -> None:
    from nightshift.data.manifest import Dataset
    from nightshift.tasks.registry import preset_of
    from nightshift.tasks.registry import task as task_of
    from nightshift.training.lines import progress_line
    from nightshift.training.train import train

    chosen, place = task_of(task), workspace_of(workspace)
    train(
        chosen,
        preset,
        preset_of(chosen, preset, changes),
        Dataset.open(dataset, cache=place.cache),
        place,
        seed=seed,
        progress=lambda fraction, message: click.echo(progress_line(fraction, message)),
    )
