"""Servers under test: the embedded one as processes, and in this process to be broken."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nightshift.serving.config import read_config
from nightshift.serving.conformance.embedded import embedded_server
from nightshift.serving.conformance.folder import CONFIG, EMBEDDED_MESSAGE_BYTES, METRICS_PATH, Folder, write_folder
from nightshift.serving.conformance.server import Connection, Server


@pytest.fixture(scope="session")
def processes() -> Iterator[Server]:
    """The embedded server as `nightshift conformance` starts it."""
    with embedded_server() as server:
        yield server


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Folder:
    """The folder of models, for a server in this process."""
    path: Path = tmp_path_factory.mktemp("conformance")
    folder = Folder(path, str(path))
    write_folder(folder)
    return folder


@pytest.fixture(scope="module")
def in_process(models) -> Iterator[Callable[..., Server]]:
    """Starts the embedded server in this process, as it is at that moment."""
    from nightshift.serving.embedded import server as embedded

    started = []

    def start(**changes: Any) -> Server:
        options = embedded.ServerOptions(
            labels_for_unavailable=True,
            poll_seconds=0.05,
            rest_port=0,
            max_message_bytes=EMBEDDED_MESSAGE_BYTES,
            metrics_path=METRICS_PATH,
            **changes,
        )
        running = embedded.start(read_config(models.path / CONFIG), options=options)
        connection = Connection(f"127.0.0.1:{running.port}")
        started.append((running, connection))
        return Server(connection, rest=f"127.0.0.1:{running.rest_port}", folder=models, embedded=True)

    yield start
    for running, connection in started:
        connection.channel.close()
        running.stop()
