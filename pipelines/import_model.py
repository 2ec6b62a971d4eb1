"""Runs `import_and_deploy` on this machine: a published SavedModel is checked, proven and released.

python -m pipelines.import_model detection bundled:mtcnn
python -m pipelines.import_model detection https://example.com/faster_rcnn.tar.gz --model objects --json
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from nightshift.data.bundled import package_folder
from nightshift.errors import NightshiftError
from nightshift.options import InWords, workspace_option
from nightshift.serving.client import Client
from nightshift.serving.detect import detect
from nightshift.serving.store import open_store
from nightshift.settings import address, settings, workspace_path
from nightshift.tasks.registry import imported_task
from nightshift.workspace import Workspace
from pipelines.interruption import Interruption
from pipelines.local import INTERRUPTED, LOG, execute, model_server, summary, tell

PHOTOGRAPH = ("skimage", "data/astronaut.png")
LEAST_SCORE = 0.5


@click.command(cls=InWords)
@click.argument("task")
@click.argument("source")
@click.option("--model", default="", help="Name of the served model; the task's name if not given.")
@workspace_option
@click.option("--server", default="", metavar="HOST:PORT", help="Model server; one is started if none answers there.")
@click.option("--json", "as_json", is_flag=True, help="End with one line of figures on standard output.")
def main(task: str, source: str, model: str, workspace: str, server: str, as_json: bool) -> None:
    """Import the SavedModel published at SOURCE for TASK, release it, then ask its endpoint.

    SOURCE is a folder, a .zip, .tar, .tar.gz or .tgz, an https:// or gs:// address of one, or bundled:mtcnn. It is a
    program that will run here: import only what you trust.
    """
    imported_task(task)
    place = Workspace(workspace_path(workspace))
    open_store(place.models).ledger(model or task)
    target = address(server or settings().server)
    place.make()
    try:
        with Interruption() as interruption, model_server(place, target) as answering:
            arguments = {
                "task": task,
                "source": _absolute(source),
                "model": model,
                "workspace": str(place.root),
                "server": answering,
            }
            figures = _import_and_deploy(place, arguments, interruption)
            if as_json:
                click.echo(json.dumps(figures))
            if interruption.received:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        tell("interrupted")
        sys.exit(INTERRUPTED)
    sys.exit(0 if figures["succeeded"] else 1)


def _absolute(source: str) -> str:
    """The steps need not run in this folder."""
    path = Path(source).expanduser()
    return str(path.resolve()) if path.exists() else source


def _import_and_deploy(place: Workspace, arguments: dict[str, Any], interruption: Interruption) -> dict[str, Any]:
    """Run the pipeline and tell how that went; returns the figures."""
    task, model = arguments["task"], arguments["model"] or arguments["task"]
    run = place.new_run(f"{model}-import-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}")
    tell(f"{task}: run {run.run_id} (log: {run.path / LOG})")
    succeeded = execute(run, _pipeline, arguments, interruption)
    figures = summary(run, place, model, "", succeeded)
    recorded = run.statuses().get("export", {}).get("figures", {})
    figures |= {"task": task} | {name: recorded[name] for name in ("source", "sha256", "reason") if name in recorded}
    if figures["version"] and not interruption.received:
        figures["asked"] = _ask(model, arguments["server"])
    return figures


def _ask(model: str, server: str) -> list[str]:
    """What the endpoint says of a photograph that comes in a package."""
    photograph = package_folder(PHOTOGRAPH[0]) / PHOTOGRAPH[1]
    try:
        with Client(server, timeout=60) as client:
            found = detect(client, model, photograph.read_bytes())
    except NightshiftError as error:
        answers = [f"no answer: {error}"]
    else:
        told = [str(each) for each in found.detections if each.score >= LEAST_SCORE] or ["nothing"]
        answers = [f"{model} version {found.version}: {photograph.name} shows {one}" for one in told]
    for answer in answers:
        tell(f"  asked over gRPC: {answer}")
    return answers


def _pipeline() -> Any:
    from pipelines.import_and_deploy import import_and_deploy

    return import_and_deploy


if __name__ == "__main__":
    main()
