"""`nightshift conformance`: whether a model server does what TensorFlow Serving does."""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nightshift.cli_serving import json_option
from nightshift.options import Address

if TYPE_CHECKING:
    from nightshift.serving.conformance.server import Server

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.option("--target", type=Address(), help="gRPC port of the server; if not given, the embedded one is started.")
@click.option("--rest", type=Address(), help="Its REST port.")
@click.option("--polling", type=Address(), help="gRPC port of a second server, which follows its configuration file.")
@click.option("--models", type=_FOLDER, help="The folder of --write-models, which the server reads too.")
@click.option(
    "--models-at",
    metavar="DIR",
    help="The same folder as the server sees it.  [default: --models; for --write-models /conformance, a container's]",
)
@click.option("--write-models", type=_FOLDER, help="Write that folder, print how to start TensorFlow Serving on it.")
@json_option
def conformance(
    target: str | None,
    rest: str | None,
    polling: str | None,
    models: Path | None,
    models_at: str | None,
    write_models: Path | None,
    as_json: bool,
) -> None:
    """Hold a model server to what TensorFlow Serving does, case by case.

    Without --target, the embedded server. Exits 1 if the server differs in a case. What cannot be asked is `skipped`
    with the reason; a call that the server says it does not have is `left out`.
    """
    if write_models is not None:
        if target or rest or polling or models:
            raise click.UsageError("--write-models only writes; run the cases in a command of their own")
        _write(write_models, models_at)
        return
    if target is None and (rest or polling or models or models_at):
        raise click.UsageError("--rest, --polling, --models and --models-at belong to a server that --target names")
    if models_at and not models:
        raise click.UsageError("--models-at says where the server sees --models, which is missing")
    with _embedded() if target is None else _remote(target, rest, polling, models, models_at) as server:
        differs = _run(server, as_json)
    sys.exit(1 if differs else 0)


def _write(path: Path, seen_at: str | None) -> None:
    from nightshift.serving.conformance.folder import CONTAINER, Folder, commands, write_folder

    folder = Folder(path.absolute(), seen_at or CONTAINER)
    write_folder(folder)
    click.echo(commands(folder))


@contextlib.contextmanager
def _embedded() -> Iterator["Server"]:
    from nightshift.serving.conformance.embedded import embedded_server

    with embedded_server() as server:
        yield server


@contextlib.contextmanager
def _remote(
    target: str, rest: str | None, polling: str | None, models: Path | None, models_at: str | None
) -> Iterator["Server"]:
    from nightshift.serving.conformance.folder import existing_folder
    from nightshift.serving.conformance.server import Connection, Server

    folder = existing_folder(models.absolute(), models_at) if models else None
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Connection(one)) for one in (target, polling) if one]
        server = Server(connections[0], rest, connections[1] if polling else None, folder)
        server.check()
        yield server


def _run(server: "Server", as_json: bool) -> bool:
    from rich.console import Console
    from rich.progress import track

    from nightshift.serving.conformance.case import Status
    from nightshift.serving.conformance.suite import CASES, run
    from nightshift.serving.conformance.table import as_facts, print_table

    outcomes = []
    err = Console(stderr=True)
    for outcome in track(run(server), "conformance", len(CASES), console=err, disable=not err.is_terminal):
        outcomes.append(outcome)
        if as_json:
            click.echo(json.dumps(as_facts(outcome), ensure_ascii=False))
    if not as_json:
        whose = "the embedded server" if server.embedded else server.connection.target
        print_table(outcomes, f"{whose}, held to TensorFlow Serving", Console())
    return any(outcome.status is Status.DIFFERS for outcome in outcomes)
