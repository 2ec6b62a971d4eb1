"""The HTTP server against clients that are slow, endless, many, or speak something else."""

import contextlib
import socket
import threading
import time

import pytest

from nightshift.errors import ConfigurationError
from nightshift.serving.embedded import http
from nightshift.serving.embedded.http import Answer, HttpServer

GET = b"GET /path?query HTTP/1.1\r\nHost: here\r\n\r\n"


@pytest.fixture
def serve():
    """Starts a server that answers the method and the path, or what it is given."""
    with contextlib.ExitStack() as stack:

        def run(answer=lambda method, path: Answer(200, f"{method} {path}".encode()), host="127.0.0.1"):
            server = HttpServer(host, 0, answer)
            stack.callback(server.stop)
            return server

        yield run


def connect(server, host="127.0.0.1"):
    return socket.create_connection((host, server.port), timeout=10)


def received(connection):
    """All that comes until the end of the connection."""
    with contextlib.suppress(ConnectionResetError):
        return b"".join(iter(lambda: connection.recv(2**16), b""))
    return b""


def asked(server, request=GET, host="127.0.0.1"):
    with connect(server, host) as connection:
        connection.sendall(request)
        return received(connection)


def test_a_request_is_answered_and_its_connection_closed(serve):
    head, _, body = asked(serve()).partition(b"\r\n\r\n")
    assert body == b"GET /path?query"
    assert head.startswith(b"HTTP/1.0 200 OK\r\n")
    assert b"\r\nContent-Length: 15\r\n" in head
    assert b"\r\nConnection: close" in head


def test_a_second_request_on_the_connection_is_not_answered(serve):
    assert asked(serve(), GET + GET).count(b"HTTP/1.0") == 1


def test_head_has_no_body(serve):
    assert asked(serve(), GET.replace(b"GET", b"HEAD")).endswith(b"\r\n\r\n")


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_wildcard_is_both_families(serve, host):
    server = serve(host=host)
    assert asked(server).endswith(b"GET /path?query")
    if socket.has_dualstack_ipv6():
        assert asked(server, host="::1").endswith(b"GET /path?query")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9\r\n\r\n", b"505"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", b"431"),
        (b"GET /" + b"x" * http.HEAD_BYTES + b" HTTP/1.1\r\n\r\n", b"431"),
        (b"x" * (2 * http.HEAD_BYTES), b"431"),
    ],
)
def test_what_is_no_request_or_too_long_is_refused_in_json(serve, request_bytes, status):
    answer = asked(serve(), request_bytes)
    assert answer.split()[1] == status
    assert b'\r\n\r\n{"error": "' in answer


def test_a_client_that_says_nothing_is_dropped(serve, monkeypatch):
    monkeypatch.setattr(http, "HEAD_SECONDS", 0.2)
    with connect(serve()) as connection:
        assert received(connection) == b""


def test_a_client_that_dribbles_is_dropped_all_the_same(serve, monkeypatch):
    monkeypatch.setattr(http, "HEAD_SECONDS", 0.3)
    deadline = time.monotonic() + 5
    with connect(serve()) as connection, contextlib.suppress(ConnectionError):
        while time.monotonic() < deadline:
            connection.sendall(b"G")
            time.sleep(0.02)
    assert time.monotonic() < deadline - 2


def test_connections_beyond_the_limit_are_dropped_and_those_within_it_answered(serve, monkeypatch):
    monkeypatch.setattr(http, "CONNECTIONS", 3)
    server = serve()
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(connect(server)) for _ in range(3)]
        time.sleep(0.2)
        assert asked(server) == b""
        waiting[0].sendall(GET)
        assert received(waiting[0]).endswith(b"GET /path?query")
    deadline = time.monotonic() + 10
    while not asked(server):
        assert time.monotonic() < deadline, "the places of connections that have ended stay taken"


def test_a_defect_costs_one_answer(serve, caplog):
    answers = iter([None, Answer(200, b"fine")])
    server = serve(lambda method, path: next(answers) or {}["defect"])
    assert asked(server) == b""
    assert asked(server).endswith(b"fine")
    assert "KeyError: 'defect'" in caplog.text


def test_stopping_finishes_what_is_under_way(serve):
    asking, going_on = threading.Event(), threading.Event()

    def slowly(method, path):
        asking.set()
        going_on.wait(10)
        return Answer(200, b"late")

    server = HttpServer("127.0.0.1", 0, slowly)
    with connect(server) as connection:
        connection.sendall(GET)
        assert asking.wait(10)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        time.sleep(0.3)
        going_on.set()
        assert received(connection).endswith(b"late")
        stopping.join()
    with pytest.raises(ConnectionRefusedError):
        connect(server)


def test_a_taken_port_is_refused(serve):
    server = serve()
    with pytest.raises(ConfigurationError, match=f"REST port: cannot listen on port {server.port} of 127.0.0.1"):
        HttpServer("127.0.0.1", server.port, lambda method, path: Answer(200, b""))
