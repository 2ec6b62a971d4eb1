"""TensorFlow Serving's two gRPC services over a manager."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from nightshift.protos import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
)
from nightshift.serving.classify import classify
from nightshift.serving.embedded.measures import GRPC, Measured, Measures
from nightshift.serving.manager import Manager
from nightshift.serving.predict import predict
from nightshift.serving.samples import Sampler
from nightshift.serving.servable import Runnable, always
from nightshift.serving.status import StatusError, invalid_argument, not_found, unavailable, unimplemented

logger = logging.getLogger(__name__)

_MESSAGE_LIMIT = 1024
SIGNATURE_DEF = "signature_def"


class PredictionService:
    """Predict, Classify and GetModelMetadata; the methods' names are the protocol's.

    Attributes:
        measures: what is counted and timed.
    """

    def __init__(
        self, manager: Manager, *, max_bytes: int, measures: Measures | None = None, sampler: Sampler | None = None
    ) -> None:
        self._manager = manager
        self._max_bytes = max_bytes
        self.measures = measures or Measures(manager)
        self._sampler = sampler

    def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Answer a PredictRequest."""
        return _answer(context, lambda: self._measured("Predict", request, context, self.predict))

    def Classify(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Answer a ClassificationRequest."""
        return _answer(context, lambda: self._measured("Classify", request, context, self.classify))

    def GetModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Answer a GetModelMetadataRequest."""
        return _answer(context, lambda: model_metadata(self._manager, request))

    def Regress(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Refuse: no model here regresses."""
        return _answer(context, lambda: self._measured("Regress", request, context, lambda *_: refuse("Regress")))

    def MultiInference(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Refuse: it combines Classify and Regress."""
        return _answer(context, lambda: refuse("MultiInference"))

    def _measured(self, api: str, request: Any, context: Any, answer: Callable[..., Any]) -> Any:
        with self.measures.request(api, GRPC, request.model_spec.name) as measured:
            return answer(request, measured, context.is_active)

    def predict(
        self,
        request: Any,
        measured: Measured,
        wanted: Callable[[], bool] = always,
        fill: Callable[[Runnable], None] = lambda _: None,
    ) -> Any:
        """The PredictResponse to a PredictRequest.

        Args:
            request: the request.
            measured: to be told which version answers.
            wanted: whether somebody still waits for the answer.
            fill: completes the request, once it is known which signatures it may mean.

        Raises:
            StatusError: the request is refused.
        """
        with self.asked(request, measured) as (servable, number):
            fill(servable)
            response = predict(servable, number, request, max_bytes=self._max_bytes, wanted=wanted)
        self.offer(measured, request, response)
        return response

    def classify(self, request: Any, measured: Measured, wanted: Callable[[], bool] = always) -> Any:
        """The ClassificationResponse to a ClassificationRequest; arguments and errors as for `predict`."""
        with self.asked(request, measured) as (servable, number):
            response = classify(servable, number, request, wanted=wanted)
        self.offer(measured, request, response)
        return response

    @contextlib.contextmanager
    def asked(self, request: Any, measured: Measured) -> Iterator[tuple[Runnable, int]]:
        """Hold what a request's ModelSpec names, and the number of its version.

        Raises:
            StatusError: there is none.
        """
        _check_spec(request)
        with self._manager.serving(request.model_spec) as version:
            measured.version = version.number
            yield self.measures.timed(version.servable, measured), version.number

    def offer(self, measured: Measured, request: Any, response: Any) -> None:
        """Let an answered request be kept as a sample, if they are."""
        if self._sampler:
            self._sampler.offer(measured.model, measured.version, request, response)


class ModelService:
    """GetModelStatus and HandleReloadConfigRequest; the methods' names are the protocol's."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._reloading = threading.Lock()

    def GetModelStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Answer a GetModelStatusRequest."""
        return _answer(context, lambda: model_status(self._manager, request))

    def HandleReloadConfigRequest(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Replace the list of models and answer when those that are new in it are available or have failed."""
        return _answer(context, lambda: self._reload(request, context.is_active))

    def _reload(self, request: Any, waiting: Callable[[], bool]) -> Any:
        # The caller holds one of few threads while models load: others are told to come back.
        if not self._reloading.acquire(blocking=False):
            raise unavailable("another configuration is being applied")
        try:
            new = self._manager.apply(request.config, require_versions=True)
            self._manager.wait_settled(new, waiting=waiting)
            self._manager.check_available(new)
        finally:
            self._reloading.release()
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        return response


def model_metadata(manager: Manager, request: Any) -> Any:
    """The GetModelMetadataResponse to a GetModelMetadataRequest.

    Raises:
        StatusError: there is no such model, version or label, or another field than `signature_def` is asked for.
    """
    _check_spec(request)
    if not request.metadata_field:
        raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
    for name in request.metadata_field:
        if name != SIGNATURE_DEF:
            raise invalid_argument(f"Metadata field {name} is not supported")
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    with manager.serving(request.model_spec) as version:
        response.model_spec.name = version.model
        response.model_spec.version.value = version.number
        signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=version.servable.signatures)
    response.metadata[SIGNATURE_DEF].Pack(signatures)
    return response


def model_status(manager: Manager, request: Any) -> Any:
    """The GetModelStatusResponse to a GetModelStatusRequest; labels are ignored, as TensorFlow Serving does.

    Raises:
        StatusError: there is no such model or version.
    """
    _check_spec(request)
    name, wanted = request.model_spec.name, request.model_spec.version.value
    one = request.model_spec.HasField("version")
    response = get_model_status_pb2.GetModelStatusResponse()
    for number, state, error in manager.versions(name):
        if one and number != wanted:
            continue
        entry = response.model_version_status.add(version=number, state=int(state))
        entry.status.error_code = error.number if error else 0
        entry.status.error_message = error.message if error else ""
    if not response.model_version_status:
        what = f"version {wanted}" if one else "any versions"
        raise not_found(f"Could not find {what} of model {name}")
    return response


def _check_spec(request: Any) -> None:
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")


def refuse(method: str) -> Any:
    """Say that there is no such method here.

    Raises:
        StatusError: UNIMPLEMENTED.
    """
    raise unimplemented(f"{method} is not implemented by this server; use Predict or Classify")


def _answer(context: Any, work: Callable[[], Any]) -> Any:
    try:
        return work()
    except Exception as error:
        context.abort(*refusal(error))


def refusal(error: Exception) -> tuple[grpc.StatusCode, str]:
    """The status that a request is answered with which ended in an error; one that is ours is logged."""
    if not isinstance(error, StatusError):
        logger.error("a request failed", exc_info=error)
        return grpc.StatusCode.INTERNAL, f"{type(error).__name__} in the server; its log has the rest"
    message = error.message
    return error.code, message if len(message) <= _MESSAGE_LIMIT else message[:_MESSAGE_LIMIT] + "...TRUNCATED"
