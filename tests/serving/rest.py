"""Asks a server over REST."""

import contextlib
import http.client
import json
from typing import Any


def ask(server: Any, path: str, method: str = "GET", body: Any = None, headers: dict[str, str] | None = None) -> Any:
    """Status and JSON of a request to a running server; a body that is no text or bytes is sent as JSON."""
    if body is not None and not isinstance(body, str | bytes):
        body = json.dumps(body)
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=30)
    with contextlib.closing(connection):
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        assert response.headers["Content-Type"] == "application/json"
        return response.status, json.load(response)
