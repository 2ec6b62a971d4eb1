"""The folder that a server under test serves: models, configurations, and the commands that start it on them."""

import shlex
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from google.protobuf import text_format

from nightshift.errors import ConfigurationError
from nightshift.files import write_atomic
from nightshift.protos import model_server_config_pb2
from nightshift.serving.config import PLATFORM
from nightshift.serving.conformance.models import GRAPH, half_plus, write_version

MODEL = "half_plus_two"
"""y = x / 2 + 2, version 1 alone: what most cases ask, whichever version a server takes."""

VERSIONED = "three_versions"
"""y = x / 2 + 10 * VERSION, versions 1, 2 and 3."""

LABELS = {"stable": 2, "ahead": 9}
"""Of the versions; `ahead` names one that is not there."""

CONFIG, POLLED, MONITORING = "models.config", "polled.config", "monitoring.config"
OURS = "conformance.txt"
"""Says that the folder is one of this suite's: only such a one is written over."""
METRICS_PATH = "/monitoring/prometheus/metrics"
IMAGE = "tensorflow/serving:2.20.0"
EMBEDDED_MESSAGE_BYTES = 16 * 2**20
"""The largest message that the embedded server takes while it is under test."""

CONTAINER = "/conformance"
"""Where the printed commands mount the folder."""

_PORT, _REST_PORT, _POLLING_PORT = 8500, 8501, 8510


@dataclass(frozen=True)
class Folder:
    """Models that a server reads while cases change them.

    Attributes:
        path: as this process sees it.
        seen_at: as the server sees it.
    """

    path: Path
    seen_at: str

    def __post_init__(self) -> None:
        if not PurePosixPath(self.seen_at).is_absolute():
            raise ConfigurationError(f"--models-at: found {self.seen_at!r}, expected an absolute path")


def existing_folder(path: Path, seen_at: str | None) -> Folder:
    """The folder that `write_folder` wrote, for cases that change it; by default the server sees it where it is.

    Raises:
        ConfigurationError: it is not one, or `seen_at` is no absolute path.
    """
    if not (path / CONFIG).is_file():
        raise ConfigurationError(f"--models: found no {path / CONFIG}, expected the folder of --write-models")
    return Folder(path, seen_at or str(path))


def write_folder(folder: Folder) -> None:
    """Write the models' versions and the servers' configurations; versions that are the same already stay.

    Raises:
        ConfigurationError: the folder is there already, with other content.
        OSError: it cannot be written.
    """
    if folder.path.exists() and any(folder.path.iterdir()) and not (folder.path / OURS).is_file():
        raise ConfigurationError(
            f"--write-models: found other files in {folder.path}, expected a new folder, an empty one, or one that "
            f"--write-models wrote ({OURS} is in it)"
        )
    write_atomic(folder.path / OURS, b"Written by `nightshift conformance --write-models`, which may overwrite it.\n")
    offsets = {f"{MODEL}/1": 2.0} | {f"{VERSIONED}/{version}": 10.0 * version for version in (1, 2, 3)}
    for name, offset in offsets.items():
        target, model = folder.path / name, half_plus(offset)
        if not (target / GRAPH).is_file() or (target / GRAPH).read_bytes() != model:
            write_version(target, model)
    (folder.path / "scenes").mkdir(exist_ok=True)
    write_config(folder.path / CONFIG, served_at_start(folder.seen_at))
    write_config(folder.path / POLLED, polled_at_start(folder.seen_at))
    monitoring = f'prometheus_config {{ enable: true path: "{METRICS_PATH}" }}\n'
    write_atomic(folder.path / MONITORING, monitoring.encode())


def write_config(file: Path, config: Any) -> None:
    """Write a ModelServerConfig in text form, whole at once."""
    write_atomic(file, text_format.MessageToString(config).encode())


def served_at_start(seen_at: str) -> Any:
    """The ModelServerConfig of the server under test: every version of both models, and labels."""
    config = model_server_config_pb2.ModelServerConfig()
    _add(config, seen_at, MODEL)
    _add(config, seen_at, VERSIONED, model_version_policy={"all": {}}, version_labels=LABELS)
    return config


def polled_at_start(seen_at: str) -> Any:
    """The ModelServerConfig of the server that follows its file: without labels."""
    config = model_server_config_pb2.ModelServerConfig()
    _add(config, seen_at, MODEL)
    return config


def _add(config: Any, seen_at: str, name: str, **fields: Any) -> None:
    base_path = str(PurePosixPath(seen_at) / name)
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform=PLATFORM, **fields)


def flags(seen_at: str) -> list[str]:
    """The flags of the server under test, all of them TensorFlow Serving's; ports are left to the caller."""
    folder = PurePosixPath(seen_at)
    return [
        f"--model_config_file={folder / CONFIG}",
        f"--monitoring_config_file={folder / MONITORING}",
        "--file_system_poll_wait_seconds=1",
        "--max_num_load_retries=0",
        "--allow_version_labels_for_unavailable_models=true",
        "--enable_grpc_healthcheck_service=true",
    ]


def polling_flags(seen_at: str) -> list[str]:
    """The flags of the server that follows its configuration file."""
    folder = PurePosixPath(seen_at)
    return [
        f"--model_config_file={folder / POLLED}",
        "--model_config_file_poll_wait_seconds=1",
        "--file_system_poll_wait_seconds=1",
        "--max_num_load_retries=0",
    ]


def commands(folder: Folder) -> str:
    """How to start TensorFlow Serving on the folder and run the cases against it, ready to be pasted."""
    mount = f"-v {shlex.quote(f'{folder.path}:{CONTAINER}')}"
    server = f"docker run --rm --name conformance -p {_PORT}:8500 -p {_REST_PORT}:8501 {mount}"
    polling = f"docker run --rm --name conformance-polling -p {_POLLING_PORT}:8500 {mount}"
    entry = f"--entrypoint /usr/bin/tensorflow_model_server {IMAGE}"
    suite = f"nightshift conformance --target 127.0.0.1:{_PORT} --rest 127.0.0.1:{_REST_PORT}"
    suite += f" --polling 127.0.0.1:{_POLLING_PORT} --models {shlex.quote(str(folder.path))}"
    if folder.seen_at != str(folder.path):
        suite += f" --models-at {shlex.quote(folder.seen_at)}"
    programs = [
        _lines(f"{server} {entry} --port=8500 --rest_api_port=8501", flags(folder.seen_at)),
        _lines(f"{polling} {entry} --port=8500", polling_flags(folder.seen_at)),
    ]
    if folder.seen_at != CONTAINER:
        programs = [
            _lines(f"tensorflow_model_server --port={_PORT} --rest_api_port={_REST_PORT}", flags(folder.seen_at)),
            _lines(f"tensorflow_model_server --port={_POLLING_PORT}", polling_flags(folder.seen_at)),
        ]
    return "\n".join(["# the server under test", programs[0], "# the one that follows its file", programs[1], suite])


def _lines(command: str, arguments: list[str]) -> str:
    return " \\\n  ".join([command, *map(shlex.quote, arguments)])
