"""What the server counts and times, by TensorFlow Serving's names where it has them."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nightshift.serving.embedded.limits import STATM, memory_used
from nightshift.serving.embedded.metrics import Counter, Gauge, Histogram, Labels, page
from nightshift.serving.manager import Manager, State
from nightshift.serving.servable import Outcome, Runnable, always
from nightshift.serving.status import StatusError

GRPC, REST = "GRPC", "REST"
_RUNTIME = "TF1"
"""TensorFlow Serving's name for a Session."""


@dataclass
class Measured:
    """One request. Whoever answers it says which version that was, and which status it had instead of an error."""

    api: str
    model: str
    version: int = 0
    status: str = "OK"


class Measures:
    """The server's metrics."""

    def __init__(self, manager: Manager) -> None:
        """Nothing has happened yet.

        Args:
            manager: knows which names of models may become labels.
        """
        self._manager = manager
        self._in_flight = {GRPC: 0, REST: 0}
        self._lock = threading.Lock()
        self._gauges: list[Gauge] = []
        self._requests = Counter(
            ":tensorflow:serving:request_count", "The total number of requests.", ("model_name", "status")
        )
        self._latency = Histogram(
            ":tensorflow:serving:request_latency",
            "Microseconds that answered requests took.",
            ("model_name", "API", "entrypoint"),
        )
        self._runtime = Histogram(
            ":tensorflow:serving:runtime_latency",
            "Microseconds that TensorFlow took, and the wait for a batch.",
            ("model_name", "API", "runtime"),
        )
        self._loads = Counter(
            ":tensorflow:cc:saved_model:load_attempt_count", "Versions that were loaded.", ("model_path", "status")
        )
        self._load_time = Counter(
            ":tensorflow:cc:saved_model:load_latency",
            "Microseconds that versions took to load, warm-up included.",
            ("model_path",),
        )
        self._of_version = Counter(
            "nightshift_version_requests_total",
            "Requests by the version that answered or refused them.",
            ("model_name", "version", "status"),
        )
        self._version_latency = Histogram(
            "nightshift_version_request_latency_microseconds",
            "Microseconds that answered requests took.",
            ("model_name", "version"),
        )
        self.look("nightshift_requests_in_flight", "Requests that are being answered.", ("entrypoint",), self._flying)
        self.look(
            "nightshift_version_state",
            "1 for the state that a version is in; versions that have ended well are left out.",
            ("model_name", "version", "state"),
            self._states,
        )
        if STATM.exists():
            self.number("nightshift_resident_memory_bytes", "Memory of the server's process.", memory_used)

    def look(self, name: str, help: str, labels: Labels, look: Callable[[], Mapping[Labels, float]]) -> None:
        """Add a gauge that is looked at when the metrics are asked for."""
        self._gauges.append(Gauge(name, help, labels, look))

    def number(self, name: str, help: str, look: Callable[[], int]) -> None:
        """Add a gauge without labels."""
        self.look(name, help, (), lambda: {(): float(look())})

    def page(self) -> bytes:
        """All of them as Prometheus reads them."""
        counters = [self._requests, self._loads, self._load_time, self._of_version]
        return page([*counters, self._latency, self._runtime, self._version_latency, *self._gauges])

    @contextlib.contextmanager
    def request(self, api: str, entrypoint: str, model: str = "") -> Iterator[Measured]:
        """Count and time a request for as long as the block lasts; an error that leaves it is its status.

        Args:
            api: its method, as `Predict`.
            entrypoint: GRPC or REST.
            model: the name that it asks for; may be said later.
        """
        measured, started = Measured(api, model), time.perf_counter()
        with self._lock:
            self._in_flight[entrypoint] += 1
        try:
            yield measured
        except StatusError as error:
            measured.status = error.code.name
            raise
        except BaseException:
            measured.status = "INTERNAL"
            raise
        finally:
            with self._lock:
                self._in_flight[entrypoint] -= 1
            self._note(measured, entrypoint, 1e6 * (time.perf_counter() - started))

    def _note(self, measured: Measured, entrypoint: str, microseconds: float) -> None:
        model = self._label(measured.model)
        self._requests.add(model, measured.status)
        if measured.status == "OK":
            self._latency.observe(microseconds, model, measured.api, entrypoint)
        if measured.version:
            self._of_version.add(model, str(measured.version), measured.status)
            if measured.status == "OK":
                self._version_latency.observe(microseconds, model, str(measured.version))

    def _label(self, model: str) -> str:
        return model if self._manager.knows(model) else ""

    def timed(self, servable: Runnable, measured: Measured) -> Runnable:
        """The servable, whose runs are timed as part of that request."""
        return _Timed(servable, lambda seconds: self._ran(measured, seconds))

    def _ran(self, measured: Measured, seconds: float) -> None:
        self._runtime.observe(1e6 * seconds, self._label(measured.model), measured.api, _RUNTIME)

    @contextlib.contextmanager
    def loading(self, path: Path) -> Iterator[None]:
        """Count and time the loading of a version's folder."""
        started = time.perf_counter()
        try:
            yield
        except BaseException:
            self._loads.add(str(path), "fail")
            raise
        self._loads.add(str(path), "success")
        self._load_time.add(str(path), by=round(1e6 * (time.perf_counter() - started)))

    def _flying(self) -> Mapping[Labels, float]:
        with self._lock:
            return {(entrypoint,): float(count) for entrypoint, count in self._in_flight.items()}

    def _states(self) -> Mapping[Labels, float]:
        return {
            (model, str(number), state.name): 1.0
            for model in self._manager.models()
            for number, state, error in self._manager.versions(model)
            if state is not State.END or error
        }


class _Timed:
    """A Runnable whose answered runs are timed."""

    def __init__(self, servable: Runnable, observe: Callable[[float], None]) -> None:
        self.signatures = servable.signatures
        self._servable = servable
        self._observe = observe

    def signature(self, name: str) -> Any | None:
        return self._servable.signature(name)

    def run(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray[Any, Any]],
        outputs: Sequence[str],
        wanted: Callable[[], bool] = always,
    ) -> dict[str, np.ndarray[Any, Any]]:
        started = time.perf_counter()
        answer = self._servable.run(signature, inputs, outputs, wanted)
        self._observe(time.perf_counter() - started)
        return answer

    def start(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray[Any, Any]],
        outputs: Sequence[str],
        wanted: Callable[[], bool],
        done: Callable[[Outcome], None],
    ) -> None:
        started = time.perf_counter()

        def timed(outcome: Outcome) -> None:
            if not isinstance(outcome, Exception):
                self._observe(time.perf_counter() - started)
            done(outcome)

        self._servable.start(signature, inputs, outputs, wanted, timed)

    def close(self) -> None:
        self._servable.close()
