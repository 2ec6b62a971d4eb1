"""Runs `train_and_deploy` on this machine, the very pipeline object that a cluster runs.

python -m pipelines.run digits puzzle
python -m pipelines.run digits --preset blog --set epochs=3 --data photos.zip --json
"""

import json
import sys
import time
from typing import Any

import click

from nightshift.options import InWords, training_options, workspace_option
from nightshift.serving.store import open_store
from nightshift.settings import address, settings, workspace_path
from nightshift.tasks.registry import preset_of, source_of
from nightshift.tasks.registry import task as task_of
from nightshift.workspace import Workspace
from pipelines.interruption import Interruption
from pipelines.local import INTERRUPTED, LOG, execute, model_server, summary, tell


@click.command(cls=InWords)
@click.argument("tasks", nargs=-1, required=True, metavar="TASK...")
@training_options
@click.option("--data", default="", metavar="URI", help="Where the data are; each task's own if not given.")
@click.option("--model", default="", help="Name of the served model; the task's name if not given.")
@workspace_option
@click.option("--server", default="", metavar="HOST:PORT", help="Model server; one is started if none answers there.")
@click.option("--json", "as_json", is_flag=True, help="End with one line of figures a task on standard output.")
def main(
    tasks: tuple[str, ...],
    preset: str,
    changes: tuple[tuple[str, str], ...],
    seed: int,
    data: str,
    model: str,
    workspace: str,
    server: str,
    as_json: bool,
) -> None:
    """Train, judge and release the model of each TASK, then ask its endpoint."""
    for name in tasks:
        preset_of(task_of(name), preset, dict(changes))
        source_of(task_of(name), data)
    if model and len(tasks) > 1:
        raise click.UsageError("--model names one served model: give one TASK with it")
    place = Workspace(workspace_path(workspace))
    for name in tasks:
        open_store(place.models).ledger(model or name)
    target = address(server or settings().server)
    place.make()
    succeeded = True
    try:
        with Interruption() as interruption, model_server(place, target) as answering:
            for name in tasks:
                arguments = {
                    "task": name,
                    "model": model,
                    "data": data,
                    "preset": preset,
                    "settings": dict(changes),
                    "seed": seed,
                    "workspace": str(place.root),
                    "server": answering,
                }
                figures = _train_and_deploy(place, arguments, interruption)
                succeeded &= figures["succeeded"]
                if as_json:
                    click.echo(json.dumps(figures))
                if interruption.received:
                    raise KeyboardInterrupt
    except KeyboardInterrupt:
        tell("interrupted; the same command goes on where this one stopped")
        sys.exit(INTERRUPTED)
    sys.exit(0 if succeeded else 1)


def _train_and_deploy(place: Workspace, arguments: dict[str, Any], interruption: Interruption) -> dict[str, Any]:
    """Run the pipeline for one task and tell how that went; returns the figures."""
    task = arguments["task"]
    run = place.new_run(f"{task}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}")
    tell(f"{task}: run {run.run_id} (log: {run.path / LOG})")
    succeeded = execute(run, _pipeline, arguments, interruption)
    server = "" if interruption.received else arguments["server"]
    return summary(run, place, arguments["model"] or task, server, succeeded)


def _pipeline() -> Any:
    from pipelines.train_and_deploy import train_and_deploy

    return train_and_deploy


if __name__ == "__main__":
    main()
