"""REST as the cases ask it: a method, a path, JSON; the status and the JSON that come back."""

import contextlib
import http.client
import json
import re
from dataclasses import dataclass
from typing import Any

from nightshift.serving.conformance.expectations import DifferenceError, equal

_SECONDS = 30.0


@dataclass(frozen=True)
class Reply:
    """An HTTP answer."""

    status: int
    content_type: str
    body: bytes

    def json(self) -> Any:
        """Its body, which has to be JSON.

        Raises:
            DifferenceError: it is not.
        """
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise DifferenceError(f"HTTP {self.status}: found {self.body[:200]!r}, expected JSON: {error}") from error


def ask(address: str, method: str, path: str, body: bytes | None = None) -> Reply:
    """Send a request to HOST:PORT.

    Raises:
        OSError: nobody answers.
        http.client.HTTPException: the answer is not HTTP.
    """
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=_SECONDS)
    with contextlib.closing(connection):
        connection.request(method, path, body, {"Content-Type": "application/json"} if body is not None else {})
        response = connection.getresponse()
        return Reply(response.status, response.headers.get("Content-Type", ""), response.read())


def answer(address: str, method: str, path: str, content: Any = None) -> Any:
    """The JSON of a request that has to succeed.

    Raises:
        DifferenceError: it does not.
    """
    reply = ask(address, method, path, None if content is None else json.dumps(content).encode())
    if reply.status != 200:
        raise DifferenceError(f"{method} {path}: found {reply.status} {reply.body[:300]!r}, expected 200")
    equal(f"{method} {path}: Content-Type", reply.content_type.partition(";")[0], "application/json")
    return reply.json()


def refusal(address: str, method: str, path: str, body: Any, status: int, pattern: str = "") -> str:
    """The error text of a request that has to fail with a status, in JSON with the one key `error`.

    Args:
        address: HOST:PORT.
        method: GET or POST.
        path: from /v1 on.
        body: bytes as they are, None, or what is sent as JSON.
        status: HTTP's.
        pattern: a regular expression for the essential part of the text.

    Raises:
        DifferenceError: it does not.
    """
    content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    reply = ask(address, method, path, content)
    equal(f"{method} {path}: status (body {reply.body[:200]!r})", reply.status, status)
    found = reply.json()
    if not isinstance(found, dict) or found.keys() != {"error"} or not isinstance(found["error"], str):
        raise DifferenceError(f"{method} {path}: found {found!r}, expected {{'error': TEXT}}")
    if not re.search(pattern, found["error"]):
        raise DifferenceError(f"{method} {path}: found {found['error']!r}, expected {pattern!r} in it")
    return found["error"]
