"""Thousands of random requests to both ports of a server in a process of its own.

It answers each with the reason or not at all where there is nobody to answer, goes on, and takes no more memory than
before.
"""

import contextlib
import http.client
import json
import os
import resource
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import random_requests as draw
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from nightshift.serving.conformance.embedded import free_port
from nightshift.serving.conformance.folder import (
    EMBEDDED_MESSAGE_BYTES,
    MODEL,
    VERSIONED,
    Folder,
    flags,
    served_at_start,
    write_folder,
)
from nightshift.serving.conformance.models import half_plus, write_version
from nightshift.serving.conformance.server import Connection
from nightshift.serving.process import running_server

SEED = 6
SECONDS = 60.0
"""For an answer, on a machine with much else to do; one that takes longer does not come."""

EVERY = 10
"""So many random requests, and then a good one, whose answer is known."""

REFUSALS = {"INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "UNIMPLEMENTED"}
# gRPC's own INTERNAL is for bytes that are no message; a model that does not become available is UNKNOWN.
OF_BYTES = REFUSALS | {"INTERNAL"}
OF_RELOADS = REFUSALS | {"UNKNOWN"}
STATUSES = {400, 404, 405, 408, 411, 413, 414, 415, 417, 431, 501, 505}
GROWTH = 1.05


@dataclass
class Server:
    """The server, and how it is asked."""

    connection: Connection
    rest: int
    pid: int
    folder: Folder

    def memory(self) -> int:
        """The bytes that it has in memory."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * resource.getpagesize()

    def open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def still_answers(self) -> None:
        assert self.connection.predict(2.0) == 3.0
        assert self.connection.predict(2.0, model=VERSIONED, label="stable") == 21.0

    def post(self, method: str, content: bytes) -> tuple[str, str]:
        """Code and text of the answer to bytes."""
        call = self.connection.channel.unary_unary(f"/tensorflow.serving.{method}")
        try:
            call(content, timeout=SECONDS)
        except grpc.RpcError as error:
            return error.code().name, error.details() or ""
        return "OK", ""


@contextlib.contextmanager
def serving(path: Path, *more: str) -> Iterator[Server]:
    folder = Folder(path, str(path))
    write_folder(folder)
    write_version(path / "extra" / "1", half_plus(7))
    (path / "broken" / "1").mkdir(parents=True)
    (path / "empty").mkdir()
    rest = free_port()
    arguments = ["-m", "nightshift.serving.embedded", "--port=0", f"--rest_api_port={rest}", *flags(str(path)), *more]
    limit = f"--max-message-bytes={EMBEDDED_MESSAGE_BYTES}"
    with running_server([*arguments, limit]) as running, Connection(running.target) as connection:
        yield Server(connection, rest, running.pid, folder)


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("random")) as server:
        yield server


def each(strategy: st.SearchStrategy[Any], count: int, check: Callable[[Any], None], server: Server) -> None:
    """Check so many examples, with a good request now and then."""
    done = 0

    @seed(SEED)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(example: Any) -> None:
        nonlocal done
        check(example)
        done += 1
        if done % EVERY == 0:
            server.still_answers()

    run()
    assert done >= count, f"{done} of {count}: there were not as many different ones"


def answered(server: Server, request: tuple[str, bytes], refusals: set[str]) -> None:
    code, text = server.post(*request)
    if code != "OK":
        assert code in refusals, (code, text)
        assert len(text) >= 10, (code, text)
        assert "its log has the rest" not in text, text


def read_all(sock: socket.socket) -> bytes:
    """What comes until the server ends the connection, which it has to do."""
    found, deadline = b"", time.monotonic() + SECONDS
    while True:
        sock.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            chunk = sock.recv(2**16)
        except ConnectionError:
            return found
        if not chunk:
            return found
        found += chunk


def sent_raw(port: int, content: bytes) -> bytes:
    """Send bytes and no more, and give back what comes."""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as sock:
        with contextlib.suppress(ConnectionError):  # it may have heard enough already
            sock.sendall(content)
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
        return read_all(sock)


def raw_grpc(server: Server, content: bytes) -> None:
    sent_raw(int(server.connection.target.rpartition(":")[2]), content)


def raw_rest(server: Server, content: bytes) -> None:
    left = sent_raw(server.rest, content)
    while left:
        head, _, left = left.partition(b"\r\n\r\n")
        version, status = head.split(maxsplit=2)[:2]
        assert version == b"HTTP/1.1", head
        if status == b"100":
            continue
        length = int(head.partition(b"Content-Length: ")[2].split()[0])
        if not left.startswith(b"HTTP/1.1"):  # one to HEAD has a length and no body
            assert len(left) >= length or not left, (head, left[:200])
            names_the_cause(int(status), left[:length])
            left = left[length:]


def names_the_cause(status: int, body: bytes) -> None:
    if status != 200:
        assert status in STATUSES, (status, body[:300])
        if body:
            assert len(json.loads(body)["error"]) >= 10, body


def asked_rest(server: Server, request: tuple[str, bytes]) -> None:
    path, body = request
    connection = http.client.HTTPConnection("127.0.0.1", server.rest, timeout=SECONDS)
    with contextlib.closing(connection):
        connection.request("POST", path, body)
        response = connection.getresponse()
        content = response.read()
        assert response.headers["Content-Type"] == "application/json"
        assert json.loads(content)
        names_the_cause(response.status, content)


def storm(server: Server, share: float) -> int:
    """A share of the whole, of every kind; how many requests that were."""
    start = served_at_start(server.folder.seen_at)
    paths = [str(server.folder.path / name) for name in ("extra", "broken", "empty", MODEL)]
    kinds: list[tuple[st.SearchStrategy[Any], int, Callable[[Any], None]]] = [
        (draw.PREDICT, 3500, lambda one: answered(server, one, REFUSALS)),
        (draw.CLASSIFY, 1000, lambda one: answered(server, one, REFUSALS)),
        (draw.METADATA | draw.STATUS | draw.SEVERAL, 700, lambda one: answered(server, one, REFUSALS)),
        (draw.reloads(start, paths), 100, lambda one: answered(server, one, OF_RELOADS)),
        (draw.MUTATED, 2000, lambda one: answered(server, one, OF_BYTES)),
        (draw.HTTP2, 1000, lambda content: raw_grpc(server, content)),
        (st.tuples(draw.PATHS, draw.BODIES), 1500, lambda one: asked_rest(server, one)),
        (draw.HTTP, 1000, lambda content: raw_rest(server, content)),
    ]
    total = 0
    for strategy, count, check in kinds:
        each(strategy, max(int(count * share), 1), check, server)
        total += max(int(count * share), 1)
    server.connection.reload(start)
    return total


def settled(look: Callable[[], int]) -> int:
    """The least of several looks: what is freed a moment later is no leak."""
    found = look()
    for _ in range(10):
        time.sleep(0.1)
        found = min(found, look())
    return found


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_random_requests_are_answered_and_leave_nothing_behind(server):
    # Buffers and caches grow with the first thousands, to what the largest request takes on each thread.
    storm(server, 0.3)
    memory, files = settled(server.memory), settled(server.open_files)
    count = storm(server, 1.0)
    assert count >= 10_000
    server.still_answers()
    after = settled(server.memory)
    assert after <= memory * GROWTH, f"{memory / 2**20:.1f} MiB before, {after / 2**20:.1f} MiB after"
    assert settled(server.open_files) <= files + 5


@pytest.mark.slow
def test_random_requests_that_are_computed_together_are_answered(tmp_path):
    with serving(tmp_path, "--enable_batching=true") as server:
        storm(server, 0.1)
        server.still_answers()


def test_the_good_requests_are_good(server):
    for request in draw.GOOD:
        assert server.post(*request) == ("OK", "")
    prefix = b"\0" + len(draw.GOOD[0][1]).to_bytes(4, "big") + draw.GOOD[0][1]
    sent = draw.call(b"PredictionService/Predict", prefix)
    port = int(server.connection.target.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as sock:
        sock.sendall(sent)
        found = b""
        while b"grpc-status" not in found:
            found += sock.recv(4096)
    assert MODEL.encode() in found
