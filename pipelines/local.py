"""A pipeline on this machine: its model server, its log, how far it is, how it ended."""

import contextlib
import os
import shlex
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from nightshift.errors import NightshiftError, ServingError
from nightshift.serving.channel import environment_tls
from nightshift.serving.client import Client
from nightshift.serving.examples import ask_examples
from nightshift.serving.process import server_process
from nightshift.serving.store import open_store
from nightshift.steps.report import report
from nightshift.tasks.registry import task as task_of
from nightshift.workspace import Run, Workspace
from pipelines.interruption import Interruption
from pipelines.progress import Progress

LOG = "run.log"
LOOPBACK = ("127.0.0.1", "localhost")
INTERRUPTED = 128 + 2
"""Exit code of a command that SIGINT ends, as shells give it."""


@contextlib.contextmanager
def model_server(place: Workspace, target: str) -> Iterator[str]:
    """The model server at `target`, or one of our own there for as long as the run lasts.

    Raises:
        ServingError: none answers there, and it is not this machine, or the environment asks for TLS.
    """
    with Client(target, timeout=2, retries=0) as client:
        if client.ready():
            tell(f"model server at {target}")
            yield target
            return
    host, _, port = target.rpartition(":")
    if host not in LOOPBACK:
        raise ServingError(f"no model server answers at {target}")
    if environment_tls() is not None:
        raise ServingError(
            f"no model server answers over TLS at {target}, and one that is started for a run has no certificate: "
            f"start one with `nightshift serve --port {port} --ssl-config-file FILE`, or unset NIGHTSHIFT_TLS_CA"
        )
    log = place.root / "server.log"
    serve = ["serve", "--port", port, "--workspace", str(place.root)]
    with server_process(["-m", "nightshift.cli", *serve], log=log) as started:
        tell(f"no model server at {target}: started one for this run (its log: {log})")
        tell(f"  to keep one:  {shlex.join(['nightshift', *serve])}")
        yield started


def execute(
    run: Run, pipeline: Callable[[], Callable[..., Any]], arguments: dict[str, Any], interruption: Interruption
) -> bool:
    """Run a pipeline and show how far it is; what the runner and the steps print goes to the run's log.

    Args:
        run: where the steps leave their records.
        pipeline: gives the pipeline; imported then and not before, since kfp takes its time.
        arguments: of the pipeline.
        interruption: what ends the run early; the report is drawn then, too.

    Returns:
        whether every step succeeded.
    """
    os.environ["NIGHTSHIFT_RUN_ID"] = run.run_id
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    succeeded = False
    with open(run.path / LOG, "a") as file, contextlib.redirect_stdout(file):
        with Progress(run), warnings.catch_warnings(), contextlib.suppress(KeyboardInterrupt):
            # Limits, display names and the like are for clusters; the local runner says of each that it ignores it.
            warnings.filterwarnings("ignore", message=".*have no effect in the current local", category=UserWarning)
            # It cannot tell that the image, a parameter, is one for Python.
            warnings.filterwarnings("ignore", message="You may be attemping to run a task", category=RuntimeWarning)
            with interruption.stops(run):
                succeeded = _execute(run, pipeline, arguments)
        if interruption.received:
            report(run)
    return succeeded


def _execute(run: Run, pipeline: Callable[[], Callable[..., Any]], arguments: dict[str, Any]) -> bool:
    from kfp import local

    # The runner's cache stays off: every step has effects, or knows by content what has been done before.
    runner = local.SubprocessRunner(use_venv=False)
    local.init(runner=runner, pipeline_root=str(run.path / "artifacts"))
    try:
        pipeline()(**arguments)
    except RuntimeError as error:  # the runner's word for a step that failed
        print(error, flush=True)
        return False
    return True


def summary(run: Run, place: Workspace, model: str, server: str, succeeded: bool) -> dict[str, Any]:
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
            tell(f"  {name} {status['state']}: {status['error'] or 'see the log'}")
    if metrics:
        tell("  test: " + ", ".join(f"{name} {value:.4f}" for name, value in metrics.items()))
    tell(f"  {model} version {state.stable} serves" if state.stable else f"  nothing serves as {model}")
    if state.stable and server:
        with contextlib.suppress(KeyboardInterrupt):  # the figures of a run that is done are told all the same
            figures["asked"] = _ask(run, model, server)
    tell(f"  report: {figures['report']}")
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
        tell(f"  asked over gRPC: {answer}")
    return answers


def tell(message: str) -> None:
    """For people: on standard error, which leaves standard output to --json.

    Not by `print`: kfp's local runner puts one that indents in its place, and after an interrupted run leaves it there.
    """
    click.echo(message, err=True)
