"""A small model server with TensorFlow Serving's gRPC API, for machines that have no TensorFlow Serving.

    python -m nightshift.serving.embedded --port 8500 --model-name digits --model-base-path /models/digits

It is ready after 3 to 10 seconds, most of them TensorFlow's import, and prints `serving on HOST:PORT`. It listens on
loopback unless told otherwise, because whoever reaches it may have it load any folder (HandleReloadConfigRequest).
"""

import logging
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from nightshift.errors import ConfigurationError, NightshiftError
from nightshift.protos import model_service_pb2_grpc, prediction_service_pb2_grpc
from nightshift.serving.config import model_config, read_config, server_config
from nightshift.serving.manager import Manager
from nightshift.serving.servable import Servable
from nightshift.serving.services import ModelService, PredictionService
from nightshift.serving.status import StatusError
from nightshift.serving.store import STORE_SERVICE
from nightshift.serving.warmup import warm_up

_SERVICES = ("", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")
_MAX_CONCURRENT = 256
"""Requests at once, waiting ones included; beyond that they are refused as RESOURCE_EXHAUSTED."""


@dataclass(frozen=True)
class ServerOptions:
    """How the server runs; the defaults suit two cores.

    Attributes:
        host: the address to listen on.
        threads: requests that are answered side by side.
        poll_seconds: how often folders are listed for versions; 0 means only when a configuration is applied.
        max_message_bytes: the largest message, and the most memory that one tensor in it may take.
        grace_seconds: how long requests under way may take to finish when the server stops.
        labels_for_unavailable: whether a new label may name a version that is not available.
        intra_op_threads: TensorFlow's threads an operation, 0 for one a core.
        inter_op_threads: TensorFlow's threads for operations side by side, 0 for one a core.
        store: identity of the store that it serves, '' if it serves none: who releases to it can tell.
    """

    host: str = "127.0.0.1"
    threads: int = 8
    poll_seconds: float = 1.0
    max_message_bytes: int = 64 * 2**20
    grace_seconds: float = 30.0
    labels_for_unavailable: bool = False
    intra_op_threads: int = 0
    inter_op_threads: int = 0
    store: str = ""


class RunningServer:
    """A server that listens; its models load in the background.

    Attributes:
        host: the address it listens on.
        port: the port it listens on.
    """

    def __init__(self, config: Any, port: int, options: ServerOptions) -> None:
        self._options = options
        self._manager = Manager(
            partial(_load, options=options),
            poll_seconds=options.poll_seconds,
            labels_for_unavailable=options.labels_for_unavailable,
        )
        self._health = health.HealthServicer()
        self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        self._threads = ThreadPoolExecutor(options.threads, thread_name_prefix="request")
        self._server = _grpc_server(self._manager, self._health, self._threads, options)
        self.host = options.host
        try:
            self._manager.apply(config)
            self.port = _bind(self._server, options.host, port)
            self._server.start()
        except BaseException as error:
            self._manager.stop()
            if isinstance(error, StatusError):
                raise ConfigurationError(f"model configuration: {error.message}") from error
            raise

    def wait_loaded(self, stopping: threading.Event | None = None) -> bool:
        """Wait until every model is loaded or has failed, and then report SERVING; False if `stopping` came first."""
        if not self._manager.wait_settled(waiting=lambda: stopping is None or not stopping.is_set()):
            return False
        self._set_health(health_pb2.HealthCheckResponse.SERVING)
        return True

    def stop(self) -> None:
        """Report NOT_SERVING, take no more requests, finish those under way and free the models."""
        self._health.enter_graceful_shutdown()
        self._server.stop(self._options.grace_seconds).wait()
        self._threads.shutdown()
        self._manager.stop()

    def _set_health(self, status: Any) -> None:
        stores = (STORE_SERVICE, f"{STORE_SERVICE}/{self._options.store}") if self._options.store else ()
        for service in (*_SERVICES, *stores):
            self._health.set(service, status)


def start(config: Any, port: int = 0, options: ServerOptions | None = None) -> RunningServer:
    """Start a server and return when each of its models is loaded or has definitely failed.

    Args:
        config: a ModelServerConfig.
        port: where to listen; 0 picks a free one.
        options: how it runs.

    Raises:
        ConfigurationError: the configuration is refused or the port is taken.
    """
    server = RunningServer(config, port, options or ServerOptions())
    server.wait_loaded()
    return server


def _load(path: Path, options: ServerOptions) -> Servable:
    servable = Servable(path, intra_op_threads=options.intra_op_threads, inter_op_threads=options.inter_op_threads)
    try:
        warm_up(servable, path, max_bytes=options.max_message_bytes)
    except BaseException:
        servable.close()
        raise
    return servable


def _grpc_server(manager: Manager, health_service: Any, threads: ThreadPoolExecutor, options: ServerOptions) -> Any:
    server = grpc.server(
        threads,
        maximum_concurrent_rpcs=_MAX_CONCURRENT,
        options=[
            ("grpc.max_receive_message_length", options.max_message_bytes),
            ("grpc.max_send_message_length", options.max_message_bytes),
            # Two servers on one port would share its connections by chance.
            ("grpc.so_reuseport", 0),
        ],
    )
    prediction = PredictionService(manager, max_bytes=options.max_message_bytes)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(prediction, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(manager), server)
    health_pb2_grpc.add_HealthServicer_to_server(health_service, server)
    return server


def _bind(server: Any, host: str, port: int) -> int:
    try:
        return int(server.add_insecure_port(f"{host}:{port}"))
    except RuntimeError as error:
        raise ConfigurationError(f"port: found {port} on {host}, which is taken or not this machine's") from error


def serve(config: Any, port: int, options: ServerOptions, *, until_stdin_closes: bool = False) -> None:
    """Serve until SIGTERM or SIGINT, in the main thread of a process.

    Args:
        config: a ModelServerConfig.
        port: where to listen; 0 picks a free one.
        options: how it runs.
        until_stdin_closes: stop, too, when nobody holds the standard input open any more: a process that started this
            one has ended, in whatever way.

    Raises:
        ConfigurationError: the configuration is refused or the port is taken.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    if until_stdin_closes:
        threading.Thread(target=_await_end_of_input, args=(stopping,), daemon=True).start()
    server = RunningServer(config, port, options)
    try:
        if server.wait_loaded(stopping):
            print(f"serving on {server.host}:{server.port}", flush=True)
            stopping.wait()
    finally:
        server.stop()


def _await_end_of_input(stopping: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    stopping.set()


@click.command()
@click.option("--host", default=ServerOptions.host, show_default=True, help="Address to listen on.")
@click.option("--port", default=8500, show_default=True, help="Port of gRPC; 0 picks a free one.")
@click.option("--model-config", type=click.Path(path_type=Path), help="A ModelServerConfig in text form.")
@click.option("--model-name", help="Serve one model of this name ...")
@click.option("--model-base-path", type=click.Path(path_type=Path), help="... from this folder.")
@click.option("--file-system-poll-wait-seconds", default=ServerOptions.poll_seconds, show_default=True)
@click.option("--allow-version-labels-for-unavailable-models", is_flag=True)
@click.option("--max-message-bytes", default=ServerOptions.max_message_bytes, show_default=True)
@click.option("--threads", default=ServerOptions.threads, show_default=True, help="Requests at once.")
@click.option("--intra-op-threads", default=0, show_default=True, help="Threads an operation; 0: one a core.")
@click.option("--inter-op-threads", default=0, show_default=True, help="Operations at once; 0: one a core.")
@click.option("--until-stdin-closes", is_flag=True, help="Stop when the process that started this one ends.")
def main(
    host: str,
    port: int,
    model_config: Path | None,
    model_name: str | None,
    model_base_path: Path | None,
    file_system_poll_wait_seconds: float,
    allow_version_labels_for_unavailable_models: bool,
    max_message_bytes: int,
    threads: int,
    intra_op_threads: int,
    inter_op_threads: int,
    until_stdin_closes: bool,
) -> None:
    """Serve SavedModels over TensorFlow Serving's gRPC API."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    options = ServerOptions(
        host=host,
        threads=threads,
        poll_seconds=file_system_poll_wait_seconds,
        max_message_bytes=max_message_bytes,
        labels_for_unavailable=allow_version_labels_for_unavailable_models,
        intra_op_threads=intra_op_threads,
        inter_op_threads=inter_op_threads,
    )
    try:
        serve(_config(model_config, model_name, model_base_path), port, options, until_stdin_closes=until_stdin_closes)
    except NightshiftError as error:
        sys.exit(f"error: {error}")


def _config(file: Path | None, name: str | None, base_path: Path | None) -> Any:
    if file is not None and name is None and base_path is None:
        return read_config(file)
    if file is None and name is not None and base_path is not None:
        return server_config([model_config(name, base_path.absolute())])
    raise ConfigurationError("expected --model-config, or --model-name with --model-base-path")


if __name__ == "__main__":
    main()
