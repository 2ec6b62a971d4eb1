"""A client of model servers that speak TensorFlow Serving's gRPC API; it does not import TensorFlow."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

import grpc
import numpy as np
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2, health_pb2_grpc

from nightshift.errors import ServingError
from nightshift.protos import (
    classification_pb2,
    example_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from nightshift.serving.channel import Tls, environment_tls, guess, open_channel, refusal
from nightshift.serving.samples import Sampler
from nightshift.serving.tensors import dtype_name, to_array, to_proto

_MAX_MESSAGE_BYTES = 64 * 2**20
_MAX_TENSOR_BYTES = 8 * _MAX_MESSAGE_BYTES
"""Small integers take a byte in a message and up to eight in an array."""

_FIRST_BACKOFF_SECONDS = 0.1
_MAX_BACKOFF_SECONDS = 2.0
_JITTER = random.Random()
"""Our own: a program that seeds Python's for its experiments gets the same numbers however often a call repeats."""

_RELOAD_SECONDS = 120.0
_AGAIN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
"""What a request meets at a server that is not there, or stops: asking again does no harm, whatever was asked."""

_INIT_OP = "__saved_model_init_op"


class ServerRefusedError(ServingError):
    """A model server answered with an error. `code` is gRPC's name for it, such as NOT_FOUND."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class ServerUnavailableError(ServingError):
    """No model server answered, or none in time. `code` is UNAVAILABLE, CANCELLED or DEADLINE_EXCEEDED."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Prediction:
    """What a model answered.

    Attributes:
        outputs: name to array; strings are object arrays of bytes.
        version: the version that answered.
        seconds: how long the call took, retries included.
    """

    outputs: dict[str, np.ndarray[Any, Any]]
    version: int
    seconds: float


@dataclass(frozen=True)
class TensorSpec:
    """What a signature takes or gives: a dtype's name, and the sizes, None where any will do (or for any rank)."""

    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class Signature:
    """The inputs and outputs of a signature."""

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]


@dataclass(frozen=True)
class Metadata:
    """The signatures of a model, and the version whose they are."""

    version: int
    signatures: dict[str, Signature]


@dataclass(frozen=True)
class VersionStatus:
    """A version that a server has or had.

    Attributes:
        version: its number.
        state: START, LOADING, AVAILABLE, UNLOADING or END.
        error: why it is at its end; empty if nothing went wrong.
    """

    version: int
    state: str
    error: str


class Client:
    """Talks to one model server; a context manager.

    Where a version and a label can be given the version counts, and with neither the server chooses: the highest that
    is ready, which may be one that is still to be proven.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout: float = 10.0,
        retries: int = 4,
        tls: Tls | Literal["environment"] | None = "environment",
        sampler: Sampler | None = None,
    ) -> None:
        """Connect on the first call.

        Args:
            target: HOST:PORT.
            timeout: seconds that a call may take, retries included.
            retries: how often a call is repeated when the server is unavailable or stops.
            tls: how the connection is encrypted; None: not at all; `environment`: as NIGHTSHIFT_TLS_CA and its like
                say.
            sampler: is offered every answered request; None: nothing is kept. It may serve several clients, and whoever
                made it closes it.

        Raises:
            ConfigurationError: what the environment says of TLS cannot be used.
        """
        self.target = target
        self._host = target.rpartition(":")[0]
        self._tls = environment_tls() if tls == "environment" else tls
        self._certified = self._tls.name if self._tls and self._tls.name else self._host
        self._sampler = sampler
        self._timeout = timeout
        self._retries = retries
        self._channel = open_channel(
            target,
            self._tls,
            [
                ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
                # gRPC waits a second and more before it connects again, longer than our own backoff.
                ("grpc.initial_reconnect_backoff_ms", 100),
                # Not a backoff, but how long an attempt may take: a busy server needs more than a moment.
                ("grpc.min_reconnect_backoff_ms", 3000),
                ("grpc.max_reconnect_backoff_ms", 1000),
                # A request that met the end of its connection (a server that limits the age of connections, or stops)
                # before the server saw it goes out again on the next one, if gRPC has kept it; by default it keeps
                # those of 256 KiB.
                ("grpc.enable_retries", 1),
                ("grpc.per_rpc_retry_buffer_size", _MAX_MESSAGE_BYTES),
            ],
        )
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def predict(
        self,
        model: str,
        inputs: Mapping[str, np.ndarray[Any, Any]],
        *,
        signature: str = "serving_default",
        version: int | None = None,
        label: str | None = "stable",
        outputs: Sequence[str] = (),
    ) -> Prediction:
        """Run a signature.

        Args:
            model: its name on the server.
            inputs: an array for each input; strings as object arrays of bytes.
            signature: its name.
            version: the version to ask.
            label: the label of the version to ask.
            outputs: the outputs to send back; none means all.

        Raises:
            TensorError: an input cannot be sent.
            ServerRefusedError: the server or the model refused.
            ServerUnavailableError: nothing answered in time.
        """
        request = predict_pb2.PredictRequest(output_filter=outputs)
        _name_version(request.model_spec, model, version, label)
        request.model_spec.signature_name = signature
        for name, array in inputs.items():
            request.inputs[name].CopyFrom(to_proto(array))
        started = time.monotonic()
        response = self._call(self._prediction.Predict, request, f"model {model}")
        seconds = time.monotonic() - started
        self._offer(model, request, response)
        arrays = {name: to_array(proto, max_bytes=_MAX_TENSOR_BYTES) for name, proto in response.outputs.items()}
        return Prediction(arrays, response.model_spec.version.value, seconds)

    def classify(
        self, model: str, examples: Sequence[bytes], *, version: int | None = None, label: str | None = "stable"
    ) -> list[list[tuple[str, float]]]:
        """Label with score for each class, for each serialised tf.Example, by the signature `classify`.

        Raises:
            ServingError: one of the examples is not a tf.Example.
            ServerRefusedError: the server or the model refused.
            ServerUnavailableError: nothing answered in time.
        """
        request = classification_pb2.ClassificationRequest()
        _name_version(request.model_spec, model, version, label)
        request.model_spec.signature_name = "classify"
        try:
            request.input.example_list.examples.extend(example_pb2.Example.FromString(one) for one in examples)
        except DecodeError as error:
            raise ServingError(f"examples: expected serialised tf.Examples: {error}") from error
        response = self._call(self._prediction.Classify, request, f"model {model}")
        self._offer(model, request, response)
        rows = response.result.classifications
        return [[(entry.label, entry.score) for entry in row.classes] for row in rows]

    def _offer(self, model: str, request: Any, response: Any) -> None:
        if self._sampler:
            self._sampler.offer(model, response.model_spec.version.value, request, response)

    def metadata(self, model: str, *, version: int | None = None, label: str | None = "stable") -> Metadata:
        """The signatures of a model.

        Raises:
            ServerRefusedError: the server refused.
            ServerUnavailableError: nothing answered in time.
        """
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        _name_version(request.model_spec, model, version, label)
        response = self._call(self._prediction.GetModelMetadata, request, f"model {model}")
        found = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(found)
        signatures = {
            name: Signature(_specs(definition.inputs), _specs(definition.outputs))
            for name, definition in found.signature_def.items()
            if name != _INIT_OP
        }
        return Metadata(response.model_spec.version.value, signatures)

    def status(self, model: str) -> list[VersionStatus]:
        """Every version that the server has or had of a model, the highest first; none if it does not know the model.

        Raises:
            ServerRefusedError: the server refused.
            ServerUnavailableError: nothing answered in time.
        """
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model
        try:
            response = self._call(self._models.GetModelStatus, request, f"model {model}")
        except ServerRefusedError as error:
            if error.code == "NOT_FOUND":
                return []
            raise
        state = get_model_status_pb2.ModelVersionStatus.State
        found = [
            VersionStatus(entry.version, state.Name(entry.state), entry.status.error_message)
            for entry in response.model_version_status
        ]
        return sorted(found, key=lambda one: -one.version)

    def reload(self, config: Any) -> None:
        """Replace the server's list of models by a ModelServerConfig; waits until models that are new are loaded.

        Raises:
            ServerRefusedError: the server refused it, or a new model did not become available.
            ServerUnavailableError: nothing answered in time.
        """
        request = model_management_pb2.ReloadConfigRequest(config=config)
        seconds = max(self._timeout, _RELOAD_SECONDS)
        self._call(self._models.HandleReloadConfigRequest, request, "the list of models", seconds)

    def ready(self) -> bool:
        """Whether the server says that it serves; False when nothing answers."""
        return self._serving(min(self._timeout, 1.0))

    def _serving(self, seconds: float) -> bool:
        try:
            response = self._health.Check(health_pb2.HealthCheckRequest(), timeout=seconds)
        except grpc.RpcError:
            return False
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)

    def has_service(self, name: str) -> bool:
        """Whether the server's health service knows a service of this name.

        Raises:
            ServerUnavailableError: nothing answered in time.
        """
        try:
            self._call(self._health.Check, health_pb2.HealthCheckRequest(service=name), f"service {name}")
        except ServerRefusedError:
            return False
        return True

    def wait_ready(self, seconds: float) -> None:
        """Wait until the server says that it serves.

        Raises:
            ServerUnavailableError: it did not, in that many seconds.
        """
        deadline = time.monotonic() + seconds
        while not self._serving(min(1.0, max(0.05, deadline - time.monotonic()))):
            if time.monotonic() >= deadline:
                raise ServerUnavailableError(
                    f"the model server at {self.target} was not ready within {seconds:g} s", "UNAVAILABLE"
                )
            time.sleep(0.1)

    def _call(self, method: Callable[..., Any], request: Any, subject: str, seconds: float | None = None) -> Any:
        limit = self._timeout if seconds is None else seconds
        deadline = time.monotonic() + limit
        for attempt in range(self._retries + 1):
            try:
                return method(request, timeout=max(deadline - time.monotonic(), 0.001))
            except grpc.RpcError as error:
                pause = _backoff(attempt)
                again = attempt < self._retries and time.monotonic() + pause < deadline
                if error.code() not in _AGAIN or not again or refusal(error.details(), self._certified):
                    raise self._failure(error, subject, limit) from error
            time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _failure(self, error: Any, subject: str, seconds: float) -> ServingError:
        code, said = error.code().name, error.details()
        if error.code() in _AGAIN:
            if reason := refusal(said, self._certified) or guess(said, self._tls):
                return ServerUnavailableError(f"{self.target}: {reason} ({said})", code)
            advice = "start one with `nightshift serve`"
            return ServerUnavailableError(f"no model server answers at {self.target}; {advice} ({said})", code)
        if code == "DEADLINE_EXCEEDED":
            return ServerUnavailableError(f"{self.target}: {subject}: no answer within {seconds:g} s", code)
        if said.startswith("Unrecognized servable version label"):
            said += f"; nothing is released there as {subject.removeprefix('model ')} (`nightshift releases` lists)"
        return ServerRefusedError(f"{self.target}: {subject}: {code}: {said}", code)


def _backoff(attempt: int) -> float:
    return min(_FIRST_BACKOFF_SECONDS * 2.0**attempt, _MAX_BACKOFF_SECONDS) * _JITTER.uniform(0.5, 1.0)


def _name_version(spec: Any, model: str, version: int | None, label: str | None) -> None:
    spec.name = model
    if version is not None:
        spec.version.value = version
    elif label is not None:
        spec.version_label = label


def _specs(tensors: Mapping[str, Any]) -> dict[str, TensorSpec]:
    return {name: TensorSpec(dtype_name(info.dtype), _sizes(info.tensor_shape)) for name, info in tensors.items()}


def _sizes(shape: Any) -> tuple[int | None, ...] | None:
    if shape.unknown_rank:
        return None
    return tuple(None if dimension.size < 0 else dimension.size for dimension in shape.dim)
