"""The embedded model server: TensorFlow Serving's gRPC API, gRPC's health service and REST over one manager."""

import gc
import logging
import os
import signal
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc

from nightshift.errors import ConfigurationError
from nightshift.protos import model_service_pb2_grpc, prediction_service_pb2_grpc
from nightshift.serving.batch_scheduler import BatchScheduler
from nightshift.serving.batching import BatchedServable
from nightshift.serving.batching_parameters import BatchingParameters
from nightshift.serving.embedded.deferred import DeferredPredict, can_defer
from nightshift.serving.embedded.follow import follow
from nightshift.serving.embedded.health import Health
from nightshift.serving.embedded.http import HttpServer
from nightshift.serving.embedded.limits import REST_MESSAGES, capacity, container_limits, memory_used
from nightshift.serving.embedded.measures import Measures
from nightshift.serving.embedded.request_threads import RequestThreads
from nightshift.serving.embedded.rest import RestApi, RestOptions
from nightshift.serving.embedded.tls import ServerTls
from nightshift.serving.embedded.unreadable import RefuseUnreadable
from nightshift.serving.manager import Manager
from nightshift.serving.samples import Sampler
from nightshift.serving.servable import Runnable, Servable
from nightshift.serving.services import ModelService, PredictionService
from nightshift.serving.status import StatusError
from nightshift.serving.store import STORE_SERVICE
from nightshift.serving.warmup import warm_up

logger = logging.getLogger(__name__)

_SERVICES = (
    "",
    "tensorflow.serving.PredictionService",
    "tensorflow.serving.ModelService",
    # As TensorFlow Serving calls them in its health service.
    "PredictionService",
    "ModelService",
)
_MAX_CONCURRENT = 256
"""Requests at once, waiting ones included; beyond that they are refused as RESOURCE_EXHAUSTED."""

_BATCHED_REQUESTS = 80
"""Requests side by side where they are computed together, at most; most of them wait for their batch, in no thread."""


@dataclass(frozen=True)
class ServerOptions:
    """How the server runs. Threads and sizes of 0 are those that the container's limits allow (limits.py).

    Attributes:
        host: the address to listen on; 0.0.0.0 is every address of both families.
        rest_port: where to answer over REST; 0 picks a free port; None: nowhere.
        threads: requests that are answered side by side.
        poll_seconds: how often folders are listed for versions; 0 means only when a configuration is applied.
        load_retries: how often a version that fails to load is tried again.
        load_retry_seconds: the pause before each further try.
        max_message_bytes: the largest message, and the most memory that one tensor in it may take.
        grace_seconds: how long requests under way may take to finish when the server stops.
        labels_for_unavailable: whether a new label may name a version that is not available.
        health: whether it has gRPC's health service.
        channel_arguments: gRPC's, over those that are set here.
        intra_op_threads: TensorFlow's threads an operation.
        inter_op_threads: TensorFlow's threads for operations side by side.
        batching: how requests are computed together; None: each alone.
        tls: what the gRPC port proves itself with; None: it is not encrypted. REST never is.
        rest_seconds: how long a request over REST may wait until it is begun.
        metrics_path: where on the REST port Prometheus finds the metrics; '' if nowhere.
        store: identity of the store that it serves, '' if it serves none: who releases to it can tell.
        sampler: is offered every answered request, and closed when the server stops; None: nothing is kept.
    """

    host: str = "127.0.0.1"
    rest_port: int | None = None
    threads: int = 0
    poll_seconds: float = 1.0
    load_retries: int = 0
    load_retry_seconds: float = 60.0
    max_message_bytes: int = 0
    grace_seconds: float = 30.0
    labels_for_unavailable: bool = False
    health: bool = True
    channel_arguments: tuple[tuple[str, int | str], ...] = ()
    intra_op_threads: int = 0
    inter_op_threads: int = 0
    batching: BatchingParameters | None = None
    tls: ServerTls | None = None
    rest_seconds: float = 30.0
    metrics_path: str = ""
    store: str = ""
    sampler: Sampler | None = None


def _sized(options: ServerOptions) -> ServerOptions:
    """With the container's limits where nothing was said.

    Raises:
        ConfigurationError: they leave no room for a request.
    """
    limits = container_limits()
    used = 0 if limits.memory is None else memory_used()
    threads = options.threads or (_BATCHED_REQUESTS if options.batching else 0)
    rest = options.rest_port is not None
    size = capacity(limits, used, threads=threads, message_bytes=options.max_message_bytes, rest=rest)
    logger.info("%s: %s", limits, size)
    batching = options.batching
    if batching:
        batching = replace(batching, num_batch_threads=batching.num_batch_threads or size.tensorflow_threads)
    return replace(
        options,
        threads=size.threads,
        max_message_bytes=size.message_bytes,
        intra_op_threads=options.intra_op_threads or size.tensorflow_threads,
        inter_op_threads=options.inter_op_threads or size.tensorflow_threads,
        batching=batching,
    )


def _in_batches(options: ServerOptions) -> int:
    """How many of the requests side by side wait for their batch in no thread: most, or none without batching."""
    if options.batching is None or not can_defer():
        return 0
    return options.threads * 9 // 10


class RunningServer:
    """A server that listens; its models load in the background.

    Attributes:
        host: the address it listens on.
        port: the port it listens on for gRPC.
    """

    def __init__(self, config: Any, port: int, options: ServerOptions) -> None:
        self._options = options = _sized(options)
        self._stopping = threading.Event()
        self._scheduler = BatchScheduler(options.batching) if options.batching else None
        self._manager = Manager(
            self._load,
            poll_seconds=options.poll_seconds,
            labels_for_unavailable=options.labels_for_unavailable,
            load_retries=options.load_retries,
            load_retry_seconds=options.load_retry_seconds,
        )
        self._manager.starting = True
        self._measures = Measures(self._manager)
        self._prediction = PredictionService(
            self._manager, max_bytes=options.max_message_bytes, measures=self._measures, sampler=options.sampler
        )
        stores = (STORE_SERVICE, f"{STORE_SERVICE}/{options.store}") if options.store else ()
        self._health = Health((*_SERVICES, *stores))
        self._in_batches = _in_batches(options)
        self._threads = RequestThreads(options.threads - self._in_batches)
        self._server = self._grpc_server()
        self._rest: HttpServer | None = None
        self.host = options.host
        try:
            self._manager.apply(config)
            self.port = _bind(self._server, options.host, port, options.tls)
            if options.rest_port is not None:
                self._rest = self._rest_server(options.rest_port)
            self._server.start()
        except BaseException as error:
            if self._rest:
                self._rest.stop()
            self._manager.stop()
            if self._scheduler:
                self._scheduler.close()
            if isinstance(error, StatusError):
                raise ConfigurationError(f"model configuration: {error.message}") from error
            raise

    def _grpc_server(self) -> Any:
        options = self._options
        arguments: dict[str, int | str] = {
            "grpc.max_receive_message_length": options.max_message_bytes,
            "grpc.max_send_message_length": options.max_message_bytes,
            # Two servers on one port would share its connections by chance.
            "grpc.so_reuseport": 0,
            # A request that waits for a thread is held back in the client; with this it would be read ahead by
            # megabytes.
            "grpc.http2.bdp_probe": 0,
        }
        arguments.update(options.channel_arguments)
        server = grpc.server(
            self._threads,
            interceptors=[RefuseUnreadable()],
            maximum_concurrent_rpcs=_MAX_CONCURRENT,
            options=list(arguments.items()),
        )
        if self._in_batches:
            size = options.max_message_bytes
            DeferredPredict(self._prediction, max_bytes=size, most=self._in_batches).add_to(server)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(self._prediction, server)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(self._manager), server)
        if options.health:
            health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        return server

    def _rest_server(self, port: int) -> HttpServer:
        options = self._options
        size = options.max_message_bytes
        rest = RestOptions(self._threads, size, options.rest_seconds, options.metrics_path)
        api = RestApi(self._manager, self._prediction, self._measures, self._stopping.is_set, rest)
        server = HttpServer(options.host, port, api, body_bytes=size, room=REST_MESSAGES * size)
        self._measures.number(
            "nightshift_requests_waiting", "Requests that wait for a thread.", lambda: self._threads.waiting
        )
        self._measures.number(
            "nightshift_rest_connections", "Connections that are open for REST.", lambda: server.connections
        )
        self._measures.number(
            "nightshift_request_threads", "Requests that are answered side by side.", lambda: options.threads
        )
        self._measures.number("nightshift_max_message_bytes", "The size of the largest message.", lambda: size)
        return server

    def _load(self, path: Path) -> Runnable:
        with self._measures.loading(path):
            return _load(path, self._options, self._scheduler)

    @property
    def rest_port(self) -> int | None:
        """The port it listens on for REST; None: it does not."""
        return self._rest.port if self._rest else None

    def apply(self, config: Any) -> None:
        """Replace the list of models; new ones load in the background.

        Raises:
            StatusError: it is refused, and nothing has changed.
        """
        self._manager.apply(config)

    def wait_loaded(self, stopping: threading.Event | None = None) -> bool:
        """Wait until every model is loaded or has failed, and then report SERVING; False if `stopping` came first."""
        if not self._manager.wait_settled(waiting=lambda: stopping is None or not stopping.is_set()):
            return False
        self._manager.starting = False
        self._health.serve()
        return True

    def stop(self) -> None:
        """Report that it is not ready, take no more requests, finish those under way and free the models.

        REST goes on to the end, with 503 for an answer.
        """
        self._stopping.set()
        self._health.end()
        self._server.stop(self._options.grace_seconds).wait()
        self._threads.shutdown()
        if self._rest:
            self._rest.stop()
        self._manager.stop()
        if self._scheduler:
            self._scheduler.close()
        if self._options.sampler:
            self._options.sampler.close()


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


def _load(path: Path, options: ServerOptions, scheduler: BatchScheduler | None) -> Runnable:
    servable = Servable(path, intra_op_threads=options.intra_op_threads, inter_op_threads=options.inter_op_threads)
    try:
        warm_up(servable, path, max_bytes=options.max_message_bytes)
    except BaseException:
        servable.close()
        raise
    return BatchedServable(servable, scheduler) if scheduler else servable


def _bind(server: Any, host: str, port: int, tls: ServerTls | None) -> int:
    address = f"[{host}]" if ":" in host and not host.startswith("[") else host
    try:
        if tls is not None:
            return int(server.add_secure_port(f"{address}:{port}", tls.credentials()))
        return int(server.add_insecure_port(f"{address}:{port}"))
    except RuntimeError as error:
        raise ConfigurationError(f"port: found {port} on {host}, which is taken or not this machine's") from error


def serve(
    config: Any,
    port: int,
    options: ServerOptions,
    *,
    until_stdin_closes: bool = False,
    config_file: Path | None = None,
    config_poll_seconds: float = 0.0,
) -> None:
    """Serve until SIGTERM or SIGINT, in the main thread of a process.

    Args:
        config: a ModelServerConfig.
        port: where to listen; 0 picks a free one.
        options: how it runs.
        until_stdin_closes: stop, too, when nobody holds the standard input open any more: a process that started this
            one has ended, in whatever way.
        config_file: where the configuration was read from.
        config_poll_seconds: how often to look whether the file has changed, and apply it; 0: never.

    Raises:
        ConfigurationError: the configuration is refused, a port is taken, or there is not enough memory.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    # What has been imported stays. Looking through it for garbage takes 0.2 s, in which nothing is answered, and a
    # large body of JSON makes enough lists to have that done again and again.
    gc.collect()
    gc.freeze()
    if until_stdin_closes:
        threading.Thread(target=_await_end_of_input, args=(stopping,), daemon=True).start()
    server = RunningServer(config, port, options)
    if config_file and config_poll_seconds:
        following = (config_file, config, config_poll_seconds, server.apply, stopping)
        threading.Thread(target=follow, args=following, daemon=True).start()
    try:
        if server.wait_loaded(stopping):
            if server.rest_port:
                print(f"REST on port {server.rest_port}")
            print(f"serving on {server.host}:{server.port}", flush=True)
            stopping.wait()
    finally:
        server.stop()


def _await_end_of_input(stopping: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    stopping.set()
