"""Runs `train_and_deploy` in a Kubeflow Pipelines, wherever that is.

python -m pipelines.submit digits puzzle --wait
python -m pipelines.submit digits --preset blog --set epochs=3 --gpus 1 --endpoint http://localhost:8888
"""

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console

from nightshift.options import InWords, Setting, training_options
from pipelines.arguments import arguments
from pipelines.endpoint import Endpoint, connect, endpoint_options
from pipelines.failure import reason
from pipelines.page import run_page, shown_at, ui_option
from pipelines.pods import toleration
from pipelines.runs import (
    EXPERIMENT,
    SERVICE_ACCOUNT,
    SUCCEEDED,
    Run,
    create_run,
    make_experiment,
    read_run,
    step_names,
)
from pipelines.upload import Package, Version, upload

PARAMETERS = (
    ("model", "--model", "Name of the served model.  [default: the task's name]"),
    ("data", "--data", "Where the data are.  [default: the task's own]"),
    ("train_gpus", "--gpus", "Of the train step."),
    ("train_cpu", "--cpu", "Processors of the train step, such as 4 or 500m."),
    ("train_memory", "--memory", "Of the train step, such as 8Gi."),
    ("image", "--image", "That the steps run in, by digest or by a tag that is never moved."),
    ("train_image", "--train-image", "That the train step runs in.  [default: as --image]"),
)


def parameter_options(command: Any) -> Any:
    """Parameters of the pipeline that are given as text; those left out keep the pipeline's defaults."""
    for name, flag, text in reversed(PARAMETERS):
        command = click.option(flag, name, default=None, help=text)(command)
    return command


@click.command(cls=InWords)
@click.argument("tasks", nargs=-1, required=True, metavar="TASK...")
@training_options
@parameter_options
@click.option("--tolerate", "taints", multiple=True, metavar="TAINT", help="Of the train step: KEY[=VALUE][:EFFECT].")
@click.option("--node", "nodes", multiple=True, type=Setting(), help="A label of the nodes that the train step needs.")
@click.option(
    "--train-nodes",
    type=int,
    default=None,
    metavar="N",
    help="Nodes that train together, each as the options above say; more than 1 needs Kubeflow Trainer.",
)
@click.option(
    "--beam-flag",
    "beam_flags",
    multiple=True,
    metavar="FLAG",
    help="Of Apache Beam, which then prepares the data: --beam-flag=--runner=DataflowRunner; repeatable.",
)
@endpoint_options
@ui_option
@click.option("--experiment", default=EXPERIMENT, show_default=True, help="That the runs belong to.")
@click.option("--service-account", default=SERVICE_ACCOUNT, show_default=True, help="Of the runs' Pods.")
@click.option("--label", "labels", multiple=True, type=Setting(), help="Goes into the run's description.")
@click.option("--wait", is_flag=True, help="Show the steps until the runs have ended; exit code 1 if one failed.")
@click.option("--timeout", default=0.0, metavar="SECONDS", help="Wait so long at most.  [default: as it takes]")
@click.option("--json", "as_json", is_flag=True, help="End with one line of figures a task on standard output.")
def main(
    tasks: tuple[str, ...],
    preset: str,
    changes: tuple[tuple[str, str], ...],
    seed: int,
    taints: tuple[str, ...],
    nodes: tuple[tuple[str, str], ...],
    beam_flags: tuple[str, ...],
    endpoint: str,
    namespace: str,
    token_file: str,
    ui: str,
    experiment: str,
    service_account: str,
    labels: tuple[tuple[str, str], ...],
    wait: bool,
    timeout: float,
    as_json: bool,
    **parameters: Any,
) -> None:
    """Start a run of each TASK: train, judge and release its model."""
    given: dict[str, Any] = {"preset": preset, "settings": dict(changes), "seed": seed, **parameters}
    given["train_node_selector"] = dict(nodes) or None
    given["train_tolerations"] = [toleration(taint) for taint in taints] or None
    given["beam_flags"] = list(beam_flags) or None
    checked = arguments(given)
    wanted = {task: checked.of_task(task) for task in tasks}
    if checked.model and len(wanted) > 1:
        raise click.UsageError("--model names one served model: give one TASK with it")
    package = _compiled()
    kubeflow = connect(endpoint, namespace, token_file)
    version = _uploaded(kubeflow, package)
    into = {"experiment": make_experiment(kubeflow, experiment), "service_account": service_account}
    started = {}
    for task, values in wanted.items():
        name = f"{task} {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())}"
        started[task] = create_run(kubeflow, version, values, name=name, description=_description(labels), **into)
        _tell(f"{task}: started {shown_at(kubeflow, started[task], ui)}")
    names = step_names(package.specification)
    runs = _waited(kubeflow, started, names, timeout) if wait else _read(kubeflow, started, names)
    for task, run in zip(started, runs, strict=True):
        figures = _summary(kubeflow, task, run, version, ui, told=wait)
        if as_json:
            click.echo(json.dumps(figures))
    sys.exit(1 if wait and any(run.state != SUCCEEDED for run in runs) else 0)


def _compiled() -> Package:
    from pipelines.compile import package  # kfp takes its time

    return Package(package("train_and_deploy"))


def _uploaded(endpoint: Endpoint, package: Package) -> Version:
    version = upload(endpoint, package)
    if version.uploaded:
        _tell(f"uploaded {version.name}; schedules run it from their next firing on")
    else:
        _tell(f"nothing to upload: {version.name} has this content")
    return version


def _description(labels: tuple[tuple[str, str], ...]) -> str:
    """Runs have no labels in Kubeflow Pipelines; their description is shown, and can be searched through the API."""
    return "\n".join(f"{name}={value}" for name, value in labels)


def _waited(endpoint: Endpoint, started: dict[str, str], names: dict[str, str], timeout: float) -> Sequence[Run]:
    """Show the runs until they have ended; whoever interrupts that leaves them running."""
    from pipelines.watch import watch

    console = Console(file=sys.stderr, highlight=False)
    try:
        return watch(lambda: _read(endpoint, started, names), console, timeout)
    except KeyboardInterrupt:
        _tell("no longer waiting; the runs go on")
        sys.exit(130)


def _read(endpoint: Endpoint, started: dict[str, str], names: dict[str, str]) -> list[Run]:
    return [read_run(endpoint, run_id, names) for run_id in started.values()]


def _summary(endpoint: Endpoint, task: str, run: Run, version: Version, ui: str, *, told: bool) -> dict[str, Any]:
    """Tell how the run ended, if that was waited for; returns the figures."""
    failed = run.failed_step
    error = (run.error or reason(endpoint, run)) if run.ended and run.state != SUCCEEDED else ""
    if told:
        _tell(f"{task}: {run.state} after {run.seconds:.0f} s" if run.ended else f"{task}: still {run.state}")
        if failed or error:
            _tell(f"  {failed.name if failed else 'a step'} failed: {error or 'no log says why'}")
        _tell(f"  {shown_at(endpoint, run.run_id, ui)}")
    return {
        "task": task,
        "run": run.run_id,
        "version": version.name,
        "uploaded": version.uploaded,
        "state": run.state,
        "seconds": run.seconds,
        "steps": {step.name: {"state": step.state, "seconds": step.seconds} for step in run.steps},
        "failed": failed.name if failed else "",
        "error": error,
        "page": run_page(endpoint, run.run_id, ui),
    }


def _tell(message: str) -> None:
    """For people: on standard error, which leaves standard output to --json."""
    click.echo(message, err=True)


if __name__ == "__main__":
    main()
