"""The model server of a run on this machine: one of its own only where that could be asked."""

import pytest
from running import free_port

from nightshift.errors import ServingError
from nightshift.workspace import Workspace
from pipelines import local


@pytest.fixture(autouse=True)
def no_server(monkeypatch):
    monkeypatch.setattr(local, "server_process", lambda *arguments, **named: pytest.fail("a server is started"))
    for name in ("CERT", "KEY", "NAME"):
        monkeypatch.delenv(f"NIGHTSHIFT_TLS_{name}", raising=False)


def test_where_tls_is_asked_for_no_plain_server_is_started(tmp_path, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_TLS_CA", "system")
    target = f"127.0.0.1:{free_port()}"
    with (
        pytest.raises(
            ServingError, match=rf"over TLS at {target}.*--ssl-config-file FILE`, or unset NIGHTSHIFT_TLS_CA"
        ),
        local.model_server(Workspace(tmp_path), target),
    ):
        pass


def test_on_another_machine_none_is_started(tmp_path, monkeypatch):
    monkeypatch.delenv("NIGHTSHIFT_TLS_CA", raising=False)
    with (
        pytest.raises(ServingError, match=r"no model server answers at model-server\.invalid:8500$"),
        local.model_server(Workspace(tmp_path), "model-server.invalid:8500"),
    ):
        pass
