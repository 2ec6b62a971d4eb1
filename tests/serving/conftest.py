import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from half_plus_two import write_half_plus_two

from nightshift.serving.client import Client
from nightshift.serving.config import model_config, server_config
from nightshift.serving.embedded import server as embedded


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("saved_model") / "half_plus_two"
    write_half_plus_two(path)
    return path


@pytest.fixture
def publish(saved_model, tmp_path) -> Callable[..., Path]:
    """Puts a version into the folder of a model, whole from the start."""

    def put(number: int, model: str = "m") -> Path:
        staged, version = tmp_path / ".staged", tmp_path / "models" / model / str(number)
        version.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(saved_model, staged)
        return staged.rename(version)

    return put


@pytest.fixture
def launch() -> Iterator[Callable[..., tuple[embedded.RunningServer, Client]]]:
    """Starts a server in this process that ends with the test, and gives a client of it."""
    started = []

    def run(config: Any, **options: Any) -> tuple[embedded.RunningServer, Client]:
        options = {"poll_seconds": 0.05, **options}
        server = embedded.start(config, options=embedded.ServerOptions(**options))
        client = Client(f"127.0.0.1:{server.port}", retries=0)
        started.append((server, client))
        return server, client

    yield run
    for server, client in started:
        client.close()
        server.stop()


@pytest.fixture(scope="session")
def conforming(saved_model, tmp_path_factory) -> Iterator[Client]:
    """A client of a server with versions 1 and 2 of half_plus_two, label stable on 1 and ahead on a missing 9."""
    base = tmp_path_factory.mktemp("models") / "half_plus_two"
    for number in (1, 2):
        shutil.copytree(saved_model, base / str(number))
    labels = {"stable": 1, "ahead": 9}
    config = server_config([model_config("half_plus_two", base, versions=[1, 2], labels=labels)])
    server = embedded.start(config, options=embedded.ServerOptions(labels_for_unavailable=True, poll_seconds=0))
    with Client(f"127.0.0.1:{server.port}", retries=0) as client:
        yield client
    server.stop()
