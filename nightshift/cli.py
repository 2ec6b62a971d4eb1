"""`nightshift`: ask the endpoints, serve, look at what serves, roll back, and do every step by hand.

Imports happen inside the commands: asking a model takes no TensorFlow, and `--help` takes nothing.
"""

import json
import sys
from pathlib import Path

import click

from nightshift import __version__
from nightshift.cli_benchmark import benchmark
from nightshift.cli_conformance import conformance
from nightshift.cli_detect import detect
from nightshift.cli_drift import drift
from nightshift.cli_serving import json_option, releases, rollback, status
from nightshift.cli_solve import solve
from nightshift.cli_steps import step
from nightshift.cli_worker import worker
from nightshift.errors import ConfigurationError, DataError
from nightshift.options import (
    Commands,
    images_argument,
    server_option,
    store_of,
    timeout_option,
    workspace_of,
    workspace_option,
)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Image models trained every night and served over TensorFlow Serving's API."""


@main.command()
@click.argument("model")
@images_argument
@server_option
@timeout_option
@json_option
def predict(model: str, images: tuple[Path, ...], server: str, timeout: float, as_json: bool) -> None:
    """Ask a classifier which class each picture (JPEG or PNG) shows; those refused are told on standard error."""
    from nightshift.serving.ask import PictureRefusedError, classify_file
    from nightshift.serving.client import Client

    refused = False
    with Client(server, timeout=timeout) as client:
        for path in images:
            try:
                answer = classify_file(client, model, path)
            except (DataError, PictureRefusedError) as error:
                refused = True
                click.echo(f"Error: {error}", err=True)
                continue
            if as_json:
                click.echo(json.dumps({"image": str(path)} | answer.facts(), ensure_ascii=False))
            else:
                click.echo(f"{path}: {answer.in_words()}; {model} version {answer.version}")
    if refused:
        sys.exit(1)


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8500, show_default=True, type=click.IntRange(0, 65535), help="Port of gRPC; 0 picks a free one."
)
@click.option(
    "--rest-port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Answer over REST too, and Prometheus' metrics; 0 picks a free port.",
)
@click.option(
    "--ssl-config-file",
    type=click.Path(path_type=Path),
    help="TLS for gRPC: an SSLConfig in text form; docs/serving.md.",
)
@click.option("--until-stdin-closes", is_flag=True, help="Stop when the process that started this one ends.")
@click.option(
    "--sample",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 1),
    metavar="RATE",
    help="Share of the requests that is kept, answers included, in the workspace's samples/; see docs/drift.md.",
)
@workspace_option
def serve(
    host: str,
    port: int,
    rest_port: int | None,
    ssl_config_file: Path | None,
    until_stdin_closes: bool,
    sample: float,
    workspace: str,
) -> None:
    """Serve what has been released, over TensorFlow Serving's gRPC API, until stopped."""
    import logging
    import os

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is imported, which reads it then
    store = store_of(workspace)
    if not isinstance(store.root, Path):
        raise ConfigurationError(f"{store.root}: this server reads folders; a bucket takes TensorFlow Serving")
    from nightshift.serving.light import load_light_runtime

    load_light_runtime()
    from nightshift.serving.embedded.monitoring import DEFAULT_PATH
    from nightshift.serving.embedded.server import ServerOptions
    from nightshift.serving.embedded.server import serve as run
    from nightshift.serving.embedded.tls import read_tls
    from nightshift.serving.samples import Sampler, samples_place

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # The ledger says which version is stable before that version is loaded.
    sampler = Sampler(samples_place(workspace_of(workspace).root), sample) if sample else None
    options = ServerOptions(
        host=host,
        rest_port=rest_port,
        tls=read_tls(ssl_config_file) if ssl_config_file else None,
        metrics_path="" if rest_port is None else DEFAULT_PATH,
        labels_for_unavailable=True,
        store=store.identity,
        sampler=sampler,
    )
    run(store.server_config(), port, options, until_stdin_closes=until_stdin_closes)


for command in (benchmark, conformance, detect, drift, solve, releases, rollback, status, step, worker):
    main.add_command(command)

if __name__ == "__main__":
    sys.exit(main())
