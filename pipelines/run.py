"""Runs `train_and_deploy` on this machine, the very pipeline object that a cluster runs.

python -m pipelines.run digits puzzle
python -m pipelines.run digits --preset blog --set epochs=3 --data photos.zip --json
"""

import contextlib
import json
import os
import shlex
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from nightshift.errors import NightshiftError, ServingError
from nightshift.options import InWords, training_options, workspace_option
from nightshift.serving.client import Client
from nightshift.serving.examples import ask_examples
from nightshift.serving.process import server_process
from nightshift.serving.store import open_store
from nightshift.settings import address, settings, workspace_path
from nightshift.steps.report import report
from nightshift.tasks.registry import preset_of
from nightshift.tasks.registry import task as task_of
from nightshift.workspace import Run, Workspace
from pipelines.interruption import Interruption
from pipelines.progress import Progress

LOOPBACK = ("127.0.0.1", "localhost")
INTERRUPTED = 128 + 2
"""Exit code of a command that SIGINT ends, as shells give it."""


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
    if model and len(tasks) > 1:
        raise click.UsageError("--model names one served model: give one TASK with it")
    place = Workspace(workspace_path(workspace))
    for name in tasks:
        open_store(place.models).ledger(model or name)
    target = address(server or settings().server)
    place.make()
    succeeded = True
    try:
        with Interruption() as interruption, _model_server(place, target) as answering:
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
                    print(json.dumps(figures), flush=True)
                if interruption.received:
                    raise KeyboardInterrupt
    except KeyboardInterrupt:
        _tell("interrupted; the same command goes on where this one stopped")
        sys.exit(INTERRUPTED)
    sys.exit(0 if succeeded else 1)


@contextlib.contextmanager
def _model_server(place: Workspace, target: str) -> Iterator[str]:
    """The model server at `target`, or one of our own there for as long as the run lasts.

    Raises:
        ServingError: none answers there, and it is not this machine.
    """
    with Client(target, timeout=2, retries=0) as client:
        if client.ready():
            _tell(f"model server at {target}")
            yield target
            return
    host, _, port = target.rpartition(":")
    if host not in LOOPBACK:
        raise ServingError(f"no model server answers at {target}")
    log = place.root / "server.log"
    serve = ["serve", "--port", port, "--workspace", str(place.root)]
    with server_process(["-m", "nightshift.cli", *serve], log=log) as started:
        _tell(f"no model server at {target}: started one for this run (its log: {log})")
        _tell(f"  to keep one:  {shlex.join(['nightshift', *serve])}")
        yield started


def _train_and_deploy(place: Workspace, arguments: dict[str, Any], interruption: Interruption) -> dict[str, Any]:
    """Run the pipeline for one task and tell how that went; returns the figures."""
    task = arguments["task"]
    run = place.new_run(f"{task}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}")
    log = run.path / "run.log"
    _tell(f"{task}: run {run.run_id} (log: {log})")
    os.environ["NIGHTSHIFT_RUN_ID"] = run.run_id
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # What the runner and the steps print goes to the run's log.
    with open(log, "a") as file, contextlib.redirect_stdout(file):
        with Progress(run), warnings.catch_warnings(), contextlib.suppress(KeyboardInterrupt):
            # Limits, display names and the like are for clusters; the local runner says of each that it ignores it.
            warnings.filterwarnings("ignore", message=".*have no effect in the current local", category=UserWarning)
            succeeded = False
            with interruption.stops(run):
                succeeded = _execute(run, arguments)
        if interruption.received:
            report(run)
    server = "" if interruption.received else arguments["server"]
    return _summary(run, place, arguments["model"] or task, server, succeeded)


def _execute(run: Run, arguments: dict[str, Any]) -> bool:
    from kfp import local

    from pipelines.train_and_deploy import train_and_deploy

    # The runner's cache stays off: every step has effects, or knows by content what has been done before.
    runner = local.SubprocessRunner(use_venv=False)
    local.init(runner=runner, pipeline_root=str(run.path / "artifacts"))
    try:
        train_and_deploy(**arguments)
    except RuntimeError as error:  # the runner's word for a step that failed
        print(error, flush=True)
        return False
    return True


def _summary(run: Run, place: Workspace, model: str, server: str, succeeded: bool) -> dict[str, Any]:
    """Tell how the run ended and ask the endpoint, unless `server` is empty; returns the figures."""
    steps = run.statuses()
    recorded = {name: status["figures"] for name, status in steps.items()}
    state = open_store(place.models).state(model)
    metrics = recorded.get("evaluate", {}).get("metrics") or state.published.get(state.stable, {}).get("metrics", {})
    figures: dict[str, Any] = {"task": recorded.get("prepare_data", {}).get("task", model), "run": run.run_id}
    figures |= metrics
    figures |= {
        "version": state.stable,
        "blessed": recorded.get("evaluate", {}).get("blessed"),
        "trained": "train" in recorded,
        "reason": recorded.get("evaluate", {}).get("reason") or recorded.get("prepare_data", {}).get("reason", ""),
        "succeeded": succeeded,
        "steps": {
            name: {"seconds": status["seconds"], "cpu_seconds": status["cpu_seconds"]} for name, status in steps.items()
        },
        "report": recorded.get("report", {}).get("page", ""),
    }
    for name, status in steps.items():
        if status["state"] != "succeeded":
            _tell(f"  {name} {status['state']}: {status['error'] or 'see the log'}")
    if metrics:
        _tell("  test: " + ", ".join(f"{name} {value:.4f}" for name, value in metrics.items()))
    _tell(f"  {model} version {state.stable} serves" if state.stable else f"  nothing serves as {model}")
    if state.stable and server:
        with contextlib.suppress(KeyboardInterrupt):  # the figures of a run that is done are told all the same
            figures["asked"] = _ask(run, model, server)
    _tell(f"  report: {figures['report']}")
    return figures


def _ask(run: Run, model: str, server: str) -> list[str]:
    """Ask the endpoint about test pictures that it has not been trained on, and tell what it answers."""
    recorded = run.statuses().get("prepare_data", {}).get("figures", {})
    if "dataset_path" not in recorded:
        return []
    try:
        answers = ask_examples(server, model, task_of(recorded["task"]), Path(recorded["dataset_path"]))
    except NightshiftError as error:
        answers = [f"no answer: {error}"]
    for answer in answers:
        _tell(f"  asked over gRPC: {answer}")
    return answers


def _tell(message: str) -> None:
    """For people: on standard error, which leaves standard output to --json."""
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
