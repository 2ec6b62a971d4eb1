"""What a server answers while it loads its first models: that it is not there yet, which clients ask again after."""

import threading

import numpy as np
import pytest

from nightshift.serving.client import Client, ServerRefusedError, ServerUnavailableError
from nightshift.serving.config import model_config, server_config
from nightshift.serving.embedded import server as module

X = np.array([2.0], np.float32)


def test_a_server_is_unavailable_until_its_models_are_loaded_and_then_knows_what_it_has(publish, monkeypatch):
    go, load = threading.Event(), module._load

    def slow(*arguments):
        assert go.wait(60)
        return load(*arguments)

    monkeypatch.setattr(module, "_load", slow)
    config = server_config([model_config("m", publish(1).parent)])
    server = module.RunningServer(config, 0, module.ServerOptions())
    target = f"127.0.0.1:{server.port}"
    try:
        with Client(target, retries=0) as client, Client(target, retries=1000, timeout=60) as patient:
            with pytest.raises(ServerUnavailableError, match="the server starts"):
                client.predict("m", {"x": X}, label=None)
            threading.Timer(0.2, go.set).start()
            threading.Timer(0.2, server.wait_loaded).start()
            assert patient.predict("m", {"x": X}, label=None).version == 1
            assert server.wait_loaded()
            with pytest.raises(ServerRefusedError, match="Servable not found") as error:
                client.predict("m", {"x": X}, version=7)
            assert error.value.code == "NOT_FOUND"
    finally:
        go.set()
        server.stop()
