"""gRPC's health service: whether the server is ready, when asked (Check) and when it changes (Watch).

Not grpcio-health-checking's own servicer: that holds one lock while it sends and while it hears that a watcher has
left, and sending waits for the thread that says so. A watcher that leaves while the server stops would keep it from
ending.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

_Status = health_pb2.HealthCheckResponse
_MAX_WATCHERS = 64


class Health:
    """Answers for services that are all ready or all not; the methods' names are the protocol's."""

    def __init__(self, services: Iterable[str]) -> None:
        """Not ready yet.

        Args:
            services: those that are known; '' is the server as a whole.
        """
        self._services = frozenset(services)
        self._ready = self._ended = False
        self._watchers: set[_Watcher] = set()
        self._lock = threading.Lock()

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Answer a HealthCheckRequest."""
        if request.service not in self._services:
            context.abort(grpc.StatusCode.NOT_FOUND, f"unknown service {request.service!r}")
        return _Status(status=self._status_of(request.service))

    def Watch(self, request: Any, context: Any, send_response_callback: Callable[[Any], None]) -> None:  # noqa: N802
        """Send the status now and whenever it changes, until the server stops; no thread waits meanwhile."""
        watcher = _Watcher(lambda: self._status_of(request.service), send_response_callback)
        with self._lock:
            if len(self._watchers) >= _MAX_WATCHERS:
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"more than {_MAX_WATCHERS} watch already")
            self._watchers.add(watcher)
        if not context.add_callback(lambda: self._forget(watcher)):
            self._forget(watcher)  # it has left already
        watcher.tell()
        if self._ended:
            watcher.end()

    # gRPC calls Watch with a callback, and its thread is free again when that returns.
    Watch.experimental_non_blocking = True  # type: ignore[attr-defined]

    def serve(self) -> None:
        """Be ready from now on."""
        self._ready = True
        for watcher in self._everyone():
            watcher.tell()

    def end(self) -> None:
        """Be ready no more, tell whoever watches, and let them go: open calls would hold up the server's end."""
        self._ended = True
        for watcher in self._everyone():
            watcher.tell()
            watcher.end()

    def _status_of(self, service: str) -> int:
        if service not in self._services:
            return int(_Status.SERVICE_UNKNOWN)
        return int(_Status.SERVING if self._ready and not self._ended else _Status.NOT_SERVING)

    def _everyone(self) -> list["_Watcher"]:
        with self._lock:
            return list(self._watchers)

    def _forget(self, watcher: "_Watcher") -> None:
        with self._lock:
            self._watchers.discard(watcher)


class _Watcher:
    """One call of Watch. Its lock is its own: sending waits for gRPC's thread, which must not wait for it."""

    def __init__(self, status: Callable[[], int], send: Callable[[Any], None]) -> None:
        self._status, self._send = status, send
        self._told: int | None = None
        self._ended = False
        self._lock = threading.Lock()

    def tell(self) -> None:
        """Send the status, if it is news."""
        with self._lock:
            status = self._status()
            if status != self._told and not self._ended:
                self._told = status
                self._send(_Status(status=status))

    def end(self) -> None:
        """Finish the call."""
        with self._lock:
            if not self._ended:
                self._ended = True
                self._send(None)
