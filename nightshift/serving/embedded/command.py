"""The embedded model server's command line.

Flags that TensorFlow Serving has too are spelled as there and mean the same, so that one container specification serves
for both; a flag that is not known here is refused. It listens on loopback unless told otherwise, because whoever
reaches it may have it load any folder (HandleReloadConfigRequest).
"""

import logging
import sys
from pathlib import Path
from typing import Any

import click

from nightshift.errors import ConfigurationError, NightshiftError
from nightshift.serving.batching_parameters import BatchingParameters, read_batching_parameters
from nightshift.serving.config import model_config, read_config, server_config
from nightshift.serving.embedded.flags import channel_arguments, truth
from nightshift.serving.embedded.monitoring import read_metrics_path
from nightshift.serving.embedded.server import ServerOptions, serve
from nightshift.serving.embedded.tls import read_tls
from nightshift.serving.samples import Sampler

_PORT = click.IntRange(0, 65535)
_COUNT = click.IntRange(0)
_SHARE = click.FloatRange(0, 1, min_open=True)
_FILE = click.Path(path_type=Path)
_LEAST_MESSAGE_BYTES = 64 * 2**10
"""Metadata, a configuration and a small picture have room; with less a server starts that can answer nothing."""


def _message_bytes(context: click.Context, option: click.Parameter, value: int) -> int:
    if 0 < value < _LEAST_MESSAGE_BYTES:
        raise click.BadParameter(
            f"found {value}, expected 0 for by the memory limit, or {_LEAST_MESSAGE_BYTES:,} bytes at least"
        )
    return value


@click.command()
@click.option("--host", default=ServerOptions.host, show_default=True, help="Address to listen on.")
@click.option("--port", default=8500, show_default=True, type=_PORT, help="Port of gRPC; 0 picks a free one.")
@click.option("--rest_api_port", default=0, show_default=True, type=_PORT, help="Port of REST; 0: none.")
@click.option(
    "--rest_api_timeout_in_ms",
    default=30_000,
    show_default=True,
    type=click.IntRange(1),
    help="How long a request over REST may wait until it is begun.",
)
@click.option("--monitoring_config_file", type=_FILE, help="A MonitoringConfig in text form: Prometheus, over REST.")
@click.option("--ssl_config_file", type=_FILE, help="An SSLConfig in text form: TLS for gRPC.")
@click.option("--model_config_file", type=_FILE, help="A ModelServerConfig in text form.")
@click.option("--model_config_file_poll_wait_seconds", default=0, show_default=True, type=_COUNT, help="0: read once.")
@click.option("--model_name", help='Serve one model of this name ("default" if not given) ...')
@click.option("--model_base_path", type=_FILE, help="... from this folder.")
@click.option("--file_system_poll_wait_seconds", default=1, show_default=True, type=_COUNT, help="0: look once.")
@click.option("--max_num_load_retries", default=0, show_default=True, type=_COUNT)
@click.option("--load_retry_interval_micros", default=60_000_000, show_default=True, type=int)
@truth("--allow_version_labels_for_unavailable_models", False, "A new label may name a version that is not loaded.")
@truth("--enable_grpc_healthcheck_service", True, "Answer grpc.health.v1.")
@click.option(
    "--grpc_channel_arguments",
    type=channel_arguments,
    default="",
    metavar="KEY=VALUE,...",
    help="As grpc.max_connection_age_ms=2000.",
)
@click.option(
    "--grpc_max_threads", default=0, show_default=True, type=_COUNT, help="Requests at once; 0: by the CPU limit."
)
@click.option(
    "--tensorflow_intra_op_parallelism", default=0, type=_COUNT, help="Threads an operation; 0: by the CPU limit."
)
@click.option(
    "--tensorflow_inter_op_parallelism", default=0, type=_COUNT, help="Operations at once; 0: by the CPU limit."
)
@click.option(
    "--max-message-bytes",
    default=0,
    show_default=True,
    type=_COUNT,
    callback=_message_bytes,
    help="64 KiB at least; 0: by the memory limit, at most 64 MiB.",
)
@click.option("--sample_requests_to", default="", metavar="PLACE", help="Keep sampled requests in a folder or gs://.")
@click.option("--sample_rate", default=0.01, show_default=True, type=_SHARE, help="Share of the requests that is kept.")
@truth("--enable_batching", False, "Compute requests together that come at the same time.")
@click.option("--batching_parameters_file", type=_FILE, help="BatchingParameters in text form.")
@click.option("--until-stdin-closes", is_flag=True, help="Stop when the process that started this one ends.")
def main(
    host: str,
    port: int,
    rest_api_port: int,
    rest_api_timeout_in_ms: int,
    monitoring_config_file: Path | None,
    ssl_config_file: Path | None,
    model_config_file: Path | None,
    model_config_file_poll_wait_seconds: int,
    model_name: str | None,
    model_base_path: Path | None,
    file_system_poll_wait_seconds: int,
    max_num_load_retries: int,
    load_retry_interval_micros: int,
    allow_version_labels_for_unavailable_models: bool,
    enable_grpc_healthcheck_service: bool,
    grpc_channel_arguments: tuple[tuple[str, int | str], ...],
    grpc_max_threads: int,
    tensorflow_intra_op_parallelism: int,
    tensorflow_inter_op_parallelism: int,
    max_message_bytes: int,
    sample_requests_to: str,
    sample_rate: float,
    enable_batching: bool,
    batching_parameters_file: Path | None,
    until_stdin_closes: bool,
) -> None:
    """Serve SavedModels over TensorFlow Serving's gRPC API."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        tls = read_tls(ssl_config_file) if ssl_config_file else None
        metrics_path = read_metrics_path(monitoring_config_file) if monitoring_config_file else ""
        if metrics_path and not rest_api_port:
            raise ConfigurationError("--monitoring_config_file needs --rest_api_port: metrics are answered there")
        batching = _batching(enable_batching, batching_parameters_file)
        sampler = Sampler(sample_requests_to, sample_rate) if sample_requests_to else None
    except NightshiftError as error:
        sys.exit(f"error: {error}")
    options = ServerOptions(
        host=host,
        rest_port=rest_api_port or None,
        threads=grpc_max_threads,
        poll_seconds=file_system_poll_wait_seconds,
        load_retries=max_num_load_retries,
        load_retry_seconds=max(load_retry_interval_micros, 0) / 1e6,
        max_message_bytes=max_message_bytes,
        labels_for_unavailable=allow_version_labels_for_unavailable_models,
        health=enable_grpc_healthcheck_service,
        channel_arguments=grpc_channel_arguments,
        intra_op_threads=tensorflow_intra_op_parallelism,
        inter_op_threads=tensorflow_inter_op_parallelism,
        tls=tls,
        rest_seconds=rest_api_timeout_in_ms / 1000,
        metrics_path=metrics_path,
        batching=batching,
        sampler=sampler,
    )
    try:
        serve(
            _config(model_config_file, model_name, model_base_path),
            port,
            options,
            until_stdin_closes=until_stdin_closes,
            config_file=model_config_file,
            config_poll_seconds=model_config_file_poll_wait_seconds,
        )
    except NightshiftError as error:
        sys.exit(f"error: {error}")


def _batching(enabled: bool, file: Path | None) -> BatchingParameters | None:
    if file is not None and not enabled:
        raise ConfigurationError("--batching_parameters_file is set without --enable_batching")
    if file is not None:
        return read_batching_parameters(file)
    return BatchingParameters() if enabled else None


def _config(file: Path | None, name: str | None, base_path: Path | None) -> Any:
    if file is not None and name is None and base_path is None:
        return read_config(file)
    if file is None and base_path is not None:
        return server_config([model_config(name or "default", base_path.absolute())])
    raise ConfigurationError("expected either --model_config_file or --model_base_path, with or without --model_name")
