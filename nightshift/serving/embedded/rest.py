"""TensorFlow Serving's REST API over a manager: predict, classify, and the status and the metadata of models."""

import concurrent.futures
import json
import logging
import re
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

import grpc
from google.protobuf import json_format

from nightshift.protos import classification_pb2, get_model_metadata_pb2, get_model_status_pb2, predict_pb2
from nightshift.serving.embedded.http import Answer, Request
from nightshift.serving.embedded.json_classify import answer_to_classify, fill_examples
from nightshift.serving.embedded.json_document import parse
from nightshift.serving.embedded.json_predict import Form, answer_to, fill_inputs, signature_name
from nightshift.serving.embedded.limits import PARSED_MESSAGES
from nightshift.serving.embedded.measures import REST, Measured, Measures
from nightshift.serving.embedded.metrics import CONTENT_TYPE
from nightshift.serving.embedded.request_threads import RequestThreads
from nightshift.serving.manager import Manager
from nightshift.serving.predict import DEFAULT_SIGNATURE
from nightshift.serving.servable import Runnable
from nightshift.serving.services import SIGNATURE_DEF, PredictionService, model_metadata, model_status, refuse
from nightshift.serving.status import StatusError, invalid_argument, not_found, resource_exhausted, unavailable

logger = logging.getLogger(__name__)

_API = re.compile(r"(?i)/v1/.*")
_WHICH = r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_MODEL = re.compile(rf"(?i)/v1/models(?:/(?P<name>[^/:]+))?{_WHICH}(?P<metadata>/metadata)?")
_PREDICTION = re.compile(rf"(?i)/v1/models/(?P<name>[^/:]+){_WHICH}:(?P<method>classify|regress|predict)")
_MAX_VERSION = 2**63 - 1

_HTTP_CODES = {
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}
"""Those of TensorFlow Serving; whatever is not here is 500."""


_PATIENCE_SECONDS = 1.0
"""A client that has finished sending looks as if it had left. It is taken for gone only if its request has waited."""

_WIDEST = 8
"""Small integers take a byte in a message and up to eight in an array."""


@dataclass(frozen=True)
class RestOptions:
    """How REST runs.

    Attributes:
        threads: those that answer requests.
        body_bytes: the longest body, decompressed; also the largest message that is made of it.
        seconds: how long a request may wait for a thread.
        metrics_path: where Prometheus finds the metrics; '' if nowhere.
    """

    threads: RequestThreads
    body_bytes: int
    seconds: float
    metrics_path: str = ""


class RestApi:
    """Answers what stands behind /v1/models, and the path of the metrics."""

    def __init__(
        self,
        manager: Manager,
        service: PredictionService,
        measures: Measures,
        stopping: Callable[[], bool],
        options: RestOptions,
    ) -> None:
        """Over a manager.

        Args:
            manager: of the models.
            service: answers what models are asked.
            measures: what is counted and timed.
            stopping: whether the server is about to end; then every answer is 503, so that whoever asks whether it is
                ready hears that it is not.
            options: how it runs.
        """
        self._manager = manager
        self._service = service
        self._measures = measures
        self._stopping = stopping
        self._options = options

    def __call__(self, request: Request) -> Answer:
        """The answer to a request; metrics are answered to the end."""
        if self._options.metrics_path and request.path.partition("?")[0] == self._options.metrics_path:
            return self._metrics(request.method)
        try:
            with self._measures.request("", REST) as measured:
                if self._stopping():
                    raise unavailable("the server is stopping")
                return Answer(200, self._answer(request, measured))
        except StatusError as error:
            return Answer(_HTTP_CODES.get(error.code, 500), _json({"error": error.message}))
        except Exception as error:
            logger.exception("REST: a request failed")
            return Answer(500, _json({"error": f"{type(error).__name__} in the server; its log has the rest"}))

    def _metrics(self, method: str) -> Answer:
        if method not in ("GET", "HEAD"):
            return Answer(405, _json({"error": f"found {method}, expected GET"}))
        return Answer(200, self._measures.page(), CONTENT_TYPE)

    def _answer(self, request: Request, measured: Measured) -> bytes:
        method, path = request.method, request.path
        if not _API.fullmatch(path):
            raise not_found(f"{path}: expected /v1/models/MODEL")
        if method == "POST" and (asked := _PREDICTION.fullmatch(path)):
            return self._predicted(request, asked, measured)
        asked = _MODEL.fullmatch(path) if method == "GET" else None
        if asked is None:
            raise invalid_argument(f"Malformed request: {method} {path}")
        if not asked["name"]:
            raise invalid_argument("Missing model name in request.")
        measured.model = _decoded(asked["name"], "model name")
        return self._metadata(asked) if asked["metadata"] else self._status(asked)

    def _predicted(self, request: Request, asked: re.Match[str], measured: Measured) -> bytes:
        measured.api, measured.model = asked["method"].lower(), _decoded(asked["name"], "model name")
        if measured.api == "regress":
            refuse("regress")
        work = {"predict": self._predict, "classify": self._classify}[measured.api]
        started = time.monotonic()
        deadline = started + self._options.seconds

        def wanted() -> bool:
            now = time.monotonic()
            return now < deadline and (now < started + _PATIENCE_SECONDS or not request.gone())

        return self._in_time(lambda: work(_whole(request, self._options.body_bytes), asked, measured, wanted), deadline)

    def _in_time(self, work: Callable[[], bytes], deadline: float) -> bytes:
        """What `work` gives on one of the request threads, unless none is free before the deadline."""
        try:
            future = self._options.threads.submit(work)
        except RuntimeError as error:  # the threads have ended since it was asked
            raise unavailable("the server is stopping") from error
        concurrent.futures.wait([future], max(deadline - time.monotonic(), 0.0))
        try:
            if future.cancel():
                raise self._late()
            answer: bytes = future.result()
            return answer
        except StatusError as error:
            if error.code is grpc.StatusCode.CANCELLED and time.monotonic() >= deadline:
                raise self._late() from error
            raise
        finally:
            # Its error would hold this frame, and so itself, and all that the request took, until it is collected.
            del future

    def _late(self) -> StatusError:
        message = f"the request was not begun within {self._options.seconds:g} s"
        return StatusError(grpc.StatusCode.DEADLINE_EXCEEDED, message)

    def _predict(
        self, body: bytes | bytearray, asked: re.Match[str], measured: Measured, wanted: Callable[[], bool]
    ) -> bytes:
        request, form = predict_pb2.PredictRequest(), Form.ROWS

        def fill(servable: Runnable) -> None:
            nonlocal form
            document = self._parsed(body)
            request.model_spec.signature_name = signature_name(document)
            infos = _inputs(servable, request.model_spec.signature_name)
            form = fill_inputs(document, infos, request.inputs, max_bytes=self._options.body_bytes)

        _name(request.model_spec, asked)
        response = self._service.predict(request, measured, wanted, fill)
        _check_size(response, self._options.body_bytes)
        return answer_to(response.outputs, form, max_bytes=_WIDEST * self._options.body_bytes)

    def _classify(
        self, body: bytes | bytearray, asked: re.Match[str], measured: Measured, wanted: Callable[[], bool]
    ) -> bytes:
        request = classification_pb2.ClassificationRequest()
        _name(request.model_spec, asked)
        document = self._parsed(body)
        request.model_spec.signature_name = signature_name(document)
        fill_examples(document, request.input)
        del document
        response = self._service.classify(request, measured, wanted)
        _check_size(response, self._options.body_bytes)
        return answer_to_classify(response.result)

    def _parsed(self, body: bytes | bytearray) -> dict[str, Any]:
        return parse(body, max_memory=PARSED_MESSAGES * self._options.body_bytes)

    def _status(self, asked: re.Match[str]) -> bytes:
        request = get_model_status_pb2.GetModelStatusRequest()
        _name(request.model_spec, asked)
        return _json(_fields(model_status(self._manager, request)))

    def _metadata(self, asked: re.Match[str]) -> bytes:
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=[SIGNATURE_DEF])
        _name(request.model_spec, asked)
        response = model_metadata(self._manager, request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata[SIGNATURE_DEF].Unpack(signatures)
        return _json({"model_spec": _fields(response.model_spec), "metadata": {SIGNATURE_DEF: _fields(signatures)}})


def _whole(request: Request, max_bytes: int) -> bytes | bytearray:
    """The body, decompressed.

    Raises:
        StatusError: it is damaged, or larger than that.
    """
    if not request.encoding:
        return request.body
    decompress = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        body = decompress.decompress(request.body, max_bytes + 1)
    except zlib.error as error:
        raise invalid_argument(f"body: expected gzip: {error}") from error
    if len(body) > max_bytes:
        raise resource_exhausted(f"body: found more than {max_bytes} bytes, decompressed")
    if not decompress.eof or decompress.unused_data:
        raise invalid_argument("body: expected gzip, one whole member")
    return body


def _inputs(servable: Runnable, name: str) -> Mapping[str, Any]:
    """Name to TensorInfo of a signature's inputs."""
    name = name or DEFAULT_SIGNATURE
    signature = servable.signature(name)
    if signature is None:
        raise invalid_argument(f'Serving signature name: "{name}" not found in signature def')
    if not signature.inputs:
        raise invalid_argument(f"Failed to get input map for signature: {name}")
    return dict(signature.inputs)


def _check_size(response: Any, most: int) -> None:
    if (size := response.ByteSize()) > most:
        raise resource_exhausted(f"the answer is larger than max ({size} vs. {most})")


def _name(spec: Any, asked: re.Match[str]) -> None:
    spec.name = _decoded(asked["name"], "model name")
    if asked["version"]:
        if int(asked["version"]) > _MAX_VERSION:
            raise invalid_argument(f"Failed to convert version: {asked['version']} to numeric.")
        spec.version.value = int(asked["version"])
    if asked["label"]:
        spec.version_label = _decoded(asked["label"], "model version label")


def _decoded(text: str, what: str) -> str:
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError as error:
        raise invalid_argument(f"Failed to decode {what}:{text}") from error


def _fields(message: Any) -> dict[str, Any]:
    return json_format.MessageToDict(
        message, always_print_fields_with_no_presence=True, preserving_proto_field_name=True
    )


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()
