"""`nightshift`: ask the endpoints, serve, look at releases, roll back, and do every step by hand.

Imports happen inside the commands: asking a model takes no TensorFlow, and `--help` takes nothing.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nightshift import __version__
from nightshift.errors import NightshiftError, ServingError
from nightshift.settings import DEFAULT_WORKSPACE, settings, workspace_path

if TYPE_CHECKING:
    from nightshift.workspace import Workspace

F = TypeVar("F", bound=Callable[..., Any])


class InWords(click.Command):
    """A mistake that a person can mend ends with its message and exit code 1, not with a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except NightshiftError as error:
            raise click.ClickException(str(error)) from error


class Commands(InWords, click.Group):
    """A group of such commands."""


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Image models trained every night and served over TensorFlow Serving's API."""


def server_option(command: F) -> F:
    """--server HOST:PORT."""
    default = settings().server
    return click.option("--server", default=default, show_default=True, metavar="HOST:PORT", help="Model server.")(
        command
    )


def workspace_option(command: F) -> F:
    """--workspace DIR."""
    return click.option(
        "--workspace", default="", metavar="DIR", help=f"[default: $NIGHTSHIFT_WORKSPACE or ./{DEFAULT_WORKSPACE}]"
    )(command)


json_option = click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object a line.")
images_argument = click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
timeout_option = click.option("--timeout", default=10.0, show_default=True, help="Seconds to wait for an answer.")


def _workspace(parameter: str) -> "Workspace":
    from nightshift.workspace import Workspace

    return Workspace(workspace_path(parameter))


@main.command()
@click.argument("model")
@images_argument
@server_option
@timeout_option
@json_option
def predict(model: str, images: tuple[Path, ...], server: str, timeout: float, as_json: bool) -> None:
    """Ask a classifier which class each picture (JPEG or PNG) shows."""
    from nightshift.serving.ask import classify
    from nightshift.serving.client import Client, ServerRefusedError
    from nightshift.serving.pictures import read_file

    files = [read_file(path) for path in images]
    with Client(server, timeout=timeout) as client:
        for path, content in zip(images, files, strict=True):
            try:
                answer = classify(client, model, [content])[0]
            except ServerRefusedError as refusal:
                # Below the first line TensorFlow tells where in its graph that was.
                raise ServingError(f"{path}: {str(refusal).splitlines()[0]}") from refusal
            if as_json:
                click.echo(json.dumps({"image": str(path)} | vars(answer), ensure_ascii=False))
            else:
                click.echo(f"{path}: {answer.label} ({answer.probability:.1%}, {model} version {answer.version})")


@main.command()
@images_argument
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder for the solved pictures.")
@click.option("--shuffle", is_flag=True, help="Cut the pictures and shuffle the tiles first.")
@click.option("--seed", type=int, help="Of the shuffling; another one every time if not given.")
@click.option("--model", default="puzzle", show_default=True)
@server_option
@timeout_option
@json_option
def solve(
    images: tuple[Path, ...],
    output: Path,
    shuffle: bool,
    seed: int | None,
    model: str,
    server: str,
    timeout: float,
    as_json: bool,
) -> None:
    """Put pictures of shuffled tiles back in order, at their full size (their central square)."""
    import numpy as np

    from nightshift.files import write_atomic
    from nightshift.serving.ask import puzzle_size
    from nightshift.serving.ask import solve as ask
    from nightshift.serving.client import Client
    from nightshift.serving.pictures import open_square, png, rearrange

    random = np.random.default_rng(seed)
    with Client(server, timeout=timeout) as client:
        _, grid = puzzle_size(client, model)
        pictures = [(path, open_square(path, grid)) for path in images]
        for path, picture in pictures:
            truth = random.permutation(grid * grid) if shuffle else None
            if truth is not None:
                picture = rearrange(picture, truth)
                write_atomic(output / f"{path.stem}-shuffled.png", png(picture))
            answer = ask(client, model, picture)
            target = output / f"{path.stem}-solved.png"
            write_atomic(target, png(answer.picture))
            facts = {
                "image": str(path),
                "solved": str(target),
                "permutation": answer.permutation,
                "probability": answer.probability,
                "shuffled_probability": answer.shuffled_probability,
                "version": answer.version,
                "milliseconds": answer.milliseconds,
            }
            right = "" if truth is None else ", right" if truth.tolist() == answer.permutation else ", wrong"
            if truth is not None:
                facts["truth"] = truth.tolist()
            if as_json:
                click.echo(json.dumps(facts))
            else:
                click.echo(
                    f"{path}: slots hold tiles {answer.permutation} ({answer.probability:.1%}{right}); shuffled: "
                    f"{answer.shuffled_probability:.1%}; {target}"
                )


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8500, show_default=True, help="Port of gRPC; 0 picks a free one.")
@click.option("--until-stdin-closes", is_flag=True, help="Stop when the process that started this one ends.")
@workspace_option
def serve(host: str, port: int, until_stdin_closes: bool, workspace: str) -> None:
    """Serve what has been released, over TensorFlow Serving's gRPC API, until stopped."""
    import logging

    from nightshift.serving.embedded import ServerOptions
    from nightshift.serving.embedded import serve as run
    from nightshift.serving.store import Store

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # The ledger says which version is stable before that version is loaded.
    options = ServerOptions(host=host, labels_for_unavailable=True)
    config = Store(_workspace(workspace).models).server_config()
    run(config, port, options, until_stdin_closes=until_stdin_closes)


@main.command()
@click.argument("model", required=False)
@workspace_option
@json_option
def releases(model: str | None, workspace: str, as_json: bool) -> None:
    """List the versions of a model, or of every model, and which one serves."""
    from nightshift.serving.store import Store

    store = Store(_workspace(workspace).models)
    names = [model] if model else store.models()
    if not names or (model and model not in store.models()):
        raise click.ClickException(f"{store.root}: nothing has been released{f' as {model}' if model else ''} there")
    for name in names:
        state = store.state(name)
        for version, facts in sorted(state.published.items(), reverse=True):
            status = _status(state, version)
            row = {"model": name, "version": version, "status": status, "metrics": facts["metrics"]}
            if version in state.refused:
                row["reason"] = state.refused[version]
            metrics = ", ".join(f"{key} {value:.4f}" for key, value in facts["metrics"].items())
            reason = f"  ({row['reason']})" if "reason" in row else ""
            click.echo(json.dumps(row) if as_json else f"{name:12} {version}  {status:9} {metrics}{reason}")


def _status(state: Any, version: int) -> str:
    if version == state.stable:
        return "serving"
    if version in state.refused:
        return "refused"
    return "earlier" if version in state.serving else "pending"


@main.command()
@click.argument("model")
@click.argument("version", type=int, default=0)
@server_option
@workspace_option
def rollback(model: str, version: int, server: str, workspace: str) -> None:
    """Let an earlier version serve again: the one before, or VERSION."""
    from nightshift.serving.client import Client
    from nightshift.serving.release import rollback as roll_back
    from nightshift.serving.store import Store

    with Client(server, timeout=60) as client:
        roll_back(Store(_workspace(workspace).models), model, client, version, click.echo)


@main.group()
def step() -> None:
    """Do one step of the workflow by hand, in the order of the list below; --run names the run they belong to."""


class Setting(click.ParamType[tuple[str, str]]):
    """NAME=VALUE."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Split it."""
        name, sign, setting = str(value).partition("=")
        if not sign or not name:
            self.fail(f"found {value!r}, expected NAME=VALUE", param, ctx)
        return name, setting


def step_options(command: F) -> F:
    """What every step takes."""
    command = click.argument("task")(command)
    command = click.option("--run", "run_id", required=True, metavar="NAME", help="The run the step belongs to.")(
        command
    )
    return workspace_option(command)


def training_options(command: F) -> F:
    """What determines a training."""
    command = click.option("--preset", default="default", show_default=True)(command)
    command = click.option("--set", "changes", multiple=True, type=Setting(), help="Change a setting of the preset.")(
        command
    )
    return click.option("--seed", default=0, show_default=True)(command)


@step.command("prepare-data")
@step_options
@training_options
@click.option("--data", default="", metavar="URI", help="Where the data are; the task's own if not given.")
@click.option("--model", default="", help="Name of the served model; the task's name if not given.")
@server_option
def prepare_data(
    task: str,
    run_id: str,
    workspace: str,
    preset: str,
    changes: tuple[tuple[str, str], ...],
    seed: int,
    data: str,
    model: str,
    server: str,
) -> None:
    """Read, check and shard the data; say whether there is anything to train."""
    from nightshift.steps.prepare_data import prepare_data as do

    place = _workspace(workspace)
    prepared = do(
        place.run(run_id),
        place,
        task=task,
        model=model or task,
        source=data,
        preset=preset,
        settings=dict(changes),
        seed=seed,
        server=server,
    )
    click.echo(prepared.dataset.path)


def _recorded(workspace: str, run_id: str) -> tuple["Workspace", Any, dict[str, Any]]:
    """The workspace, the run and what its prepare_data step recorded."""
    place = _workspace(workspace)
    run = place.run(run_id)
    figures = run.statuses().get("prepare_data", {}).get("figures", {})
    if "key" not in figures:
        raise click.ClickException(
            f"{run.path}: prepare_data has not been done; run `nightshift step prepare-data` first"
        )
    return place, run, figures


@step.command()
@step_options
def train(task: str, run_id: str, workspace: str) -> None:
    """Train what prepare-data was told."""
    from nightshift.data.manifest import Dataset
    from nightshift.steps.train import train as do

    place, run, known = _recorded(workspace, run_id)
    dataset = Dataset.open(Path(known["dataset_path"]))
    trained = do(
        run,
        place,
        task=task,
        preset=known["preset"],
        settings=known["settings"],
        seed=known["seed"],
        dataset=dataset,
    )
    click.echo(trained.path)


@step.command()
@step_options
@server_option
def evaluate(task: str, run_id: str, workspace: str, server: str) -> None:
    """Judge the trained network on the test split."""
    from nightshift.data.manifest import Dataset
    from nightshift.steps.evaluate import evaluate as do
    from nightshift.training.model import TrainedModel

    place, run, known = _recorded(workspace, run_id)
    judged = do(
        run,
        place,
        task=task,
        model=known["model"],
        seed=known["seed"],
        dataset=Dataset.open(Path(known["dataset_path"])),
        trained=TrainedModel.open(place.checkpoints / known["key"]),
        server=server,
    )
    click.echo(json.dumps(judged.evaluation["metrics"]))


@step.command()
@step_options
def export(task: str, run_id: str, workspace: str) -> None:
    """Write the SavedModel and prove it equal to the trained network through a model server."""
    from nightshift.data.manifest import Dataset
    from nightshift.steps.export import export as do
    from nightshift.training.model import TrainedModel

    place, run, known = _recorded(workspace, run_id)
    exported = do(
        run,
        task=task,
        model=known["model"],
        seed=known["seed"],
        dataset=Dataset.open(Path(known["dataset_path"])),
        trained=TrainedModel.open(place.checkpoints / known["key"]),
        evaluation=run.path / "evaluate",
    )
    click.echo(exported.path)


@step.command()
@step_options
@server_option
def deploy(task: str, run_id: str, workspace: str, server: str) -> None:
    """Release the SavedModel that export wrote."""
    from nightshift.steps.deploy import deploy as do

    place, run, known = _recorded(workspace, run_id)
    saved_model = run.statuses().get("export", {}).get("figures", {}).get("saved_model")
    if not saved_model:
        raise click.ClickException(f"{run.path}: export has not been done; run `nightshift step export {task}` first")
    click.echo(do(run, place, model=known["model"], saved_model=Path(saved_model), server=server).version)


@step.command()
@click.option("--run", "run_id", required=True, metavar="NAME")
@workspace_option
def report(run_id: str, workspace: str) -> None:
    """Draw the run's page."""
    from nightshift.steps.report import report as do

    do(_workspace(workspace).run(run_id))


if __name__ == "__main__":
    sys.exit(main())
