"""Predict where requests are computed together: no thread waits for a batch.

A thread a waiting request costs more than the request. With 64 requests in flight, waking a thread for each took more
processor time than everything else that the server does for it. So a request leaves its thread when it has been queued,
and the batch's thread answers it.

gRPC for Python has no public way to answer a call with one response from another thread. `experimental_non_blocking`
has for those with a stream of responses, and on the wire a stream of one is the same. But it sends message and status
one after the other and waits between them, for as long as a client likes to take. So the last step goes past it, to
what gRPC itself ends a call with; `can_defer` says whether that is there, and without it threads wait.
"""

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import grpc
from grpc import _server

from nightshift.protos import predict_pb2
from nightshift.serving.embedded.measures import GRPC
from nightshift.serving.predict import question, response_of
from nightshift.serving.servable import Outcome
from nightshift.serving.services import PredictionService, refusal

SERVICE = "tensorflow.serving.PredictionService"


def can_defer() -> bool:
    """Whether this gRPC can answer a call after its handler has returned."""
    annotations = getattr(getattr(_server, "_Context", None), "__annotations__", {})
    return callable(getattr(_server, "_status", None)) and {"_rpc_event", "_state"} <= annotations.keys()


class DeferredPredict:
    """Answers PredictRequests on the threads of their batches."""

    # gRPC gives the handler a callback, which is not used, and the call stays open when that returns.
    experimental_non_blocking = True

    def __init__(self, service: PredictionService, *, max_bytes: int, most: int) -> None:
        """Over a service that has the models.

        Args:
            service: answers what is not deferred.
            max_bytes: the most memory that one input may take.
            most: requests that wait at once; those beyond hold up a thread.
        """
        self._service = service
        self._max_bytes = max_bytes
        self._places = threading.Semaphore(most)

    def add_to(self, server: Any) -> None:
        """Have a gRPC server answer Predict so; before the service is added that has the other methods."""
        handler = grpc.unary_stream_rpc_method_handler(
            self, predict_pb2.PredictRequest.FromString, predict_pb2.PredictResponse.SerializeToString
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Predict": handler}),))

    def __call__(self, request: Any, context: Any, _: Callable[[Any], None]) -> None:
        """Queue a PredictRequest, or refuse it."""
        under_way = contextlib.ExitStack()
        try:
            self._places.acquire()
            under_way.callback(self._places.release)
            measured = under_way.enter_context(self._service.measures.request("Predict", GRPC, request.model_spec.name))
            servable, version = under_way.enter_context(self._service.asked(request, measured))
            asked = question(servable, request, max_bytes=self._max_bytes)
        except Exception as error:
            _end(under_way, error)
            _refuse(context, error)
            return

        def done(outcome: Outcome) -> None:
            try:
                with under_way:
                    if isinstance(outcome, Exception):
                        raise outcome
                    response = response_of(asked, outcome, request.model_spec.name, version)
                self._service.offer(measured, request, response)
                _send(context, response.SerializeToString())
            except Exception as error:
                _refuse(context, error)

        servable.start(asked.signature, asked.inputs, asked.outputs, context.is_active, done)


def _end(under_way: contextlib.ExitStack, error: Exception) -> None:
    """Leave what has been entered as if the error had been raised inside."""
    with contextlib.suppress(type(error)), under_way:
        raise error


def _refuse(context: Any, error: Exception) -> None:
    code, message = refusal(error)
    context.set_code(code)
    context.set_details(message)
    _send(context, None)


def _send(context: Any, message: bytes | None) -> None:
    """End the call, with a message if there is one; does not wait for the client."""
    _server._status(context._rpc_event, context._state, message)
