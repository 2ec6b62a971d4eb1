"""TensorFlow Serving's REST API over a manager: the status and the metadata of models. Predict is asked over gRPC."""

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_to_bytes

import grpc
from google.protobuf import json_format

from nightshift.protos import get_model_metadata_pb2, get_model_status_pb2
from nightshift.serving.embedded.http import Answer
from nightshift.serving.manager import Manager
from nightshift.serving.services import SIGNATURE_DEF, model_metadata, model_status
from nightshift.serving.status import StatusError, invalid_argument, not_found, unavailable, unimplemented

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


class RestApi:
    """Answers what stands behind /v1/models."""

    def __init__(self, manager: Manager, stopping: Callable[[], bool]) -> None:
        """Over a manager.

        Args:
            manager: of the models.
            stopping: whether the server is about to end; then every answer is 503, so that whoever asks whether it is
                ready hears that it is not.
        """
        self._manager = manager
        self._stopping = stopping

    def __call__(self, method: str, path: str) -> Answer:
        """The answer to a request.

        Args:
            method: GET and so on.
            path: with its query, percent-encoded.
        """
        try:
            if self._stopping():
                raise unavailable("the server is stopping")
            return Answer(200, self._answer(method, path))
        except StatusError as error:
            return Answer(_HTTP_CODES.get(error.code, 500), _json({"error": error.message}))

    def _answer(self, method: str, path: str) -> bytes:
        if not _API.fullmatch(path):
            raise not_found(f"{path}: expected /v1/models/MODEL")
        if method == "POST" and (asked := _PREDICTION.fullmatch(path)):
            raise unimplemented(f"{asked['method']} is not implemented over REST by this server; ask over gRPC")
        asked = _MODEL.fullmatch(path) if method == "GET" else None
        if asked is None:
            raise invalid_argument(f"Malformed request: {method} {path}")
        if not asked["name"]:
            raise invalid_argument("Missing model name in request.")
        return self._metadata(asked) if asked["metadata"] else self._status(asked)

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
