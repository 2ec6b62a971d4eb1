"""The server under test, as the cases see it."""

import contextlib
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self

import grpc
import numpy as np

from nightshift.errors import ServingError
from nightshift.protos import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_server_config_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from nightshift.serving.config import PLATFORM
from nightshift.serving.conformance.expectations import eventually
from nightshift.serving.conformance.folder import (
    MODEL,
    POLLED,
    Folder,
    polled_at_start,
    served_at_start,
    write_config,
)
from nightshift.serving.conformance.models import half_plus, write_version
from nightshift.serving.tensors import to_array, to_proto

SECONDS = 60.0
"""For one call; configurations are answered when their models are loaded."""

MESSAGE_BYTES = 32 * 2**20


class Connection:
    """The calls of one server's gRPC port; a context manager."""

    def __init__(self, target: str) -> None:
        """Connect on the first call.

        Args:
            target: HOST:PORT.
        """
        sizes = [("grpc.max_send_message_length", MESSAGE_BYTES), ("grpc.max_receive_message_length", MESSAGE_BYTES)]
        self.target = target
        self.channel = grpc.insecure_channel(target, options=[*sizes, ("grpc.use_local_subchannel_pool", 1)])
        self.prediction: Any = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.model: Any = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.channel.close()

    def send(self, request: Any, *, timeout: float = SECONDS) -> Any:
        """The PredictResponse to a PredictRequest; every refusal is a grpc.RpcError."""
        return self.prediction.Predict(request, timeout=timeout)

    def predict(self, x: float, *, model: str = MODEL, **spec: Any) -> float:
        """What serving_default makes of one number; `spec` are fields of the ModelSpec."""
        response = self.send(predict_request({"x": floats(x)}, model=model, **spec))
        return float(to_array(response.outputs["y"])[0])

    def states(self, model: str) -> dict[int, str]:
        """Version -> state, and the error's code behind a space if there is one; {} if the model is unknown."""
        try:
            response = self.status(model)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return {}
            raise
        return {entry.version: _state(entry) for entry in response.model_version_status}

    def status(self, model: str, **spec: Any) -> Any:
        """A GetModelStatusResponse."""
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=model_spec(model, **spec))
        return self.model.GetModelStatus(request, timeout=SECONDS)

    def metadata(self, *fields: str, model: str = MODEL, **spec: Any) -> Any:
        """A GetModelMetadataResponse."""
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=model_spec(model, **spec), metadata_field=fields
        )
        return self.prediction.GetModelMetadata(request, timeout=SECONDS)

    def reload(self, config: Any) -> Any:
        """The ReloadConfigResponse to a ModelServerConfig."""
        request = model_management_pb2.ReloadConfigRequest(config=config)
        return self.model.HandleReloadConfigRequest(request, timeout=SECONDS)


def model_spec(name: str, *, version: int | None = None, label: str | None = None, signature: str = "") -> Any:
    """A ModelSpec."""
    request = predict_pb2.PredictRequest()
    spec = request.model_spec
    spec.name, spec.signature_name = name, signature
    if version is not None:
        spec.version.value = version
    if label is not None:
        spec.version_label = label
    return spec


def predict_request(
    inputs: Mapping[str, np.ndarray[Any, Any]], *, model: str = MODEL, outputs: tuple[str, ...] = (), **spec: Any
) -> Any:
    """A PredictRequest."""
    request = predict_pb2.PredictRequest(model_spec=model_spec(model, **spec), output_filter=outputs)
    for name, array in inputs.items():
        request.inputs[name].CopyFrom(to_proto(array))
    return request


def floats(*values: float) -> np.ndarray[Any, Any]:
    """A float32 vector."""
    return np.array(values, np.float32)


def _state(entry: Any) -> str:
    state = get_model_status_pb2.ModelVersionStatus.State.Name(entry.state)
    code = next(one.name for one in grpc.StatusCode if one.value[0] == entry.status.error_code)
    return state if code == "OK" else f"{state} {code}"


@dataclass
class Server:
    """What there is to ask.

    Attributes:
        connection: of its gRPC port.
        rest: HOST:PORT of its REST port; None: it has none, or none was named.
        polling: a second server, that follows its configuration file and knows no labels of missing versions.
        folder: the models' folder; None: this process does not share it.
        embedded: whether it is Nightshift's own.
    """

    connection: Connection
    rest: str | None = None
    polling: Connection | None = None
    folder: Folder | None = None
    embedded: bool = False

    def check(self) -> None:
        """See that it serves what the cases ask.

        Raises:
            ServingError: it does not answer, or serves something else.
        """
        for connection in (self.connection, *([self.polling] if self.polling else [])):
            try:
                _ask_once(connection)
            except grpc.RpcError as error:
                raise ServingError(
                    f"{connection.target}: {error.code().name}: {error.details()}; expected a server of the folder "
                    "that `nightshift conformance --write-models DIR` writes, started by the command that it prints"
                ) from error

    @contextlib.contextmanager
    def scene(self) -> Iterator["Scene"]:
        """A model of its own for a case, that is gone from the server and from the folder afterwards."""
        assert self.folder is not None
        start, reload = served_at_start(self.folder.seen_at), self.connection.reload
        with _ending(Scene(self.connection, self.folder, reload, start)) as scene:
            yield scene

    @contextlib.contextmanager
    def followed_scene(self) -> Iterator["Scene"]:
        """The same on the server that follows its file: `serve` and `leave` return when the file is written."""
        assert self.folder is not None
        assert self.polling is not None
        file, start = self.folder.path / POLLED, polled_at_start(self.folder.seen_at)
        with _ending(Scene(self.polling, self.folder, lambda config: write_config(file, config), start)) as scene:
            yield scene


@contextlib.contextmanager
def _ending(scene: "Scene") -> Iterator["Scene"]:
    try:
        yield scene
    finally:
        with contextlib.suppress(grpc.RpcError):
            scene.leave()
        shutil.rmtree(scene.path, ignore_errors=True)


def _ask_once(connection: Connection) -> None:
    connection.send(predict_request({"x": floats(2)}), timeout=10)


@dataclass
class Scene:
    """A model whose versions come and go.

    Attributes:
        connection: of the server that is told of it.
        folder: where the models are.
        apply: tells the server a ModelServerConfig.
        start: the ModelServerConfig without it.
        name: the model's; new each time, since servers remember the versions that were.
    """

    connection: Connection
    folder: Folder
    apply: Callable[[Any], object]
    start: Any
    name: str = field(default_factory=lambda: f"scene-{secrets.token_hex(6)}")

    @property
    def path(self) -> Path:
        """Its folder, as this process sees it."""
        return self.folder.path / "scenes" / self.name

    def publish(self, version: int | str, constant: float, extra: Mapping[str, bytes] | None = None) -> Path:
        """Write a version that answers x / 2 + constant."""
        write_version(self.path / str(version), half_plus(constant), extra)
        return self.path / str(version)

    def remove(self, version: int) -> None:
        """Take a version away, whole at once."""
        gone = (self.path / str(version)).rename(self.path / f"gone-{version}")
        shutil.rmtree(gone)

    def config(self, labels: Mapping[str, int] | None = None, policy: Mapping[str, Any] | None = None) -> Any:
        """The ModelConfig; `policy` are the fields of a ServableVersionPolicy."""
        return model_server_config_pb2.ModelConfig(
            name=self.name,
            base_path=str(PurePosixPath(self.folder.seen_at) / "scenes" / self.name),
            model_platform=PLATFORM,
            version_labels=labels or {},
            model_version_policy=policy,
        )

    def serve(self, labels: Mapping[str, int] | None = None, policy: Mapping[str, Any] | None = None) -> None:
        """Have the server serve it beside the model that is always there."""
        self.apply(self.beside(self.config(labels, policy)))

    def leave(self) -> None:
        """Have the server serve it no more."""
        self.apply(self.start)

    def beside(self, *configs: Any) -> Any:
        """The ModelServerConfig of these ModelConfigs and the model that is always there."""
        config = model_server_config_pb2.ModelServerConfig()
        config.CopyFrom(self.start)
        config.model_config_list.config.extend(configs)
        return config

    def becomes(self, states: Mapping[int, str]) -> None:
        """Wait until its versions are in these states."""
        eventually(f"the versions of {self.name}", lambda: self.connection.states(self.name), dict(states))

    def predict(self, x: float, **spec: Any) -> float:
        """What it answers."""
        return self.connection.predict(x, model=self.name, **spec)
