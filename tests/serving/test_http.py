"""The HTTP server against clients that are slow, endless, many, or speak something else."""

import contextlib
import http.client
import socket
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nightshift.errors import ConfigurationError
from nightshift.serving.embedded import http as server_module
from nightshift.serving.embedded import http_read
from nightshift.serving.embedded.http import Answer, HttpServer

GET = b"GET /path?query HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
KEPT = GET.replace(b"Connection: close\r\n", b"")


def echo(request):
    return Answer(200, f"{request.method} {request.path}{bytes(request.body).decode()}".encode())


@pytest.fixture
def serve():
    """Starts a server that answers the method, the path and the body, or what it is given."""
    with contextlib.ExitStack() as stack:

        def run(answer=echo, host="127.0.0.1", **options):
            server = HttpServer(host, 0, answer, **{"body_bytes": 1000, **options})
            stack.callback(server.stop)
            return server

        yield run


def post(body=b"", *headers, length=None, last=True):
    lines = [b"POST /p HTTP/1.1", b"Content-Length: %d" % (len(body) if length is None else length), *headers]
    return b"\r\n".join([*lines, *([b"Connection: close"] if last else []), b"", body])


def until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


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
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nContent-Length: 15\r\n" in head
    assert b"\r\nConnection: close" in head


def test_a_connection_goes_on_until_its_client_says_that_it_is_the_last_request(serve):
    answers = asked(serve(), KEPT + post(b"body", last=False) + GET)
    assert answers.count(b"HTTP/1.1 200 OK") == 3
    assert answers.count(b"Connection: close") == 1
    assert b"POST /pbody" in answers


def test_what_follows_the_last_request_is_not_answered(serve):
    assert asked(serve(), GET + GET).count(b"HTTP/1.1") == 1


def test_an_old_client_s_connection_is_closed(serve):
    assert b"\r\nConnection: close\r\n" in asked(serve(), KEPT.replace(b"HTTP/1.1", b"HTTP/1.0"))


def test_an_ordinary_client_uses_one_connection(serve):
    server = serve()
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    with contextlib.closing(client):
        for number in range(50):
            client.request("POST", "/p", str(number))
            assert client.getresponse().read() == f"POST /p{number}".encode()
        assert server.connections == 1


def test_a_client_that_asks_no_more_is_let_go(serve, monkeypatch):
    monkeypatch.setattr(server_module, "IDLE_SECONDS", 0.2)
    with connect(serve()) as connection:
        connection.sendall(KEPT)
        assert received(connection).count(b"HTTP/1.1") == 1


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
        (b"GET /" + b"x" * http_read.HEAD_BYTES + b" HTTP/1.1\r\n\r\n", b"431"),
        (b"x" * (2 * http_read.HEAD_BYTES), b"431"),
    ],
)
def test_what_is_no_request_or_too_long_is_refused_in_json(serve, request_bytes, status):
    answer = asked(serve(), request_bytes)
    assert answer.split()[1] == status
    assert b'\r\n\r\n{"error": "' in answer


def test_a_client_that_says_nothing_is_dropped(serve, monkeypatch):
    monkeypatch.setattr(server_module, "HEAD_SECONDS", 0.2)
    with connect(serve()) as connection:
        assert received(connection) == b""


def test_a_client_that_dribbles_is_dropped_all_the_same(serve, monkeypatch):
    monkeypatch.setattr(http_read, "HEAD_SECONDS", 0.3)
    deadline = time.monotonic() + 5
    with connect(serve()) as connection, contextlib.suppress(ConnectionError):
        while time.monotonic() < deadline:
            connection.sendall(b"G")
            time.sleep(0.02)
    assert time.monotonic() < deadline - 2


def test_connections_beyond_the_limit_are_dropped_and_those_within_it_answered(serve, monkeypatch):
    monkeypatch.setattr(server_module, "CONNECTIONS", 3)
    server = serve()
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(connect(server)) for _ in range(3)]
        until(lambda: server.connections == 3)
        assert asked(server) == b""
        waiting[0].sendall(GET)
        assert received(waiting[0]).endswith(b"GET /path?query")
        waiting[0].close()
        until(lambda: asked(server))


def test_a_new_client_takes_the_place_of_the_one_that_has_waited_longest_for_its_next_request(serve, monkeypatch):
    monkeypatch.setattr(server_module, "CONNECTIONS", 3)
    server = serve()
    with contextlib.ExitStack() as stack:
        kept = [stack.enter_context(connect(server)) for _ in range(3)]
        for connection in kept:
            connection.sendall(KEPT)
            assert connection.recv(2**16)
            time.sleep(0.05)  # so that they have an order
        for _ in range(2):
            assert asked(server).endswith(b"GET /path?query")
        assert received(kept[0]) == b""
        kept[2].sendall(GET)
        assert received(kept[2]).endswith(b"GET /path?query")


def test_clients_that_keep_their_connections_keep_nobody_out(serve, monkeypatch):
    monkeypatch.setattr(server_module, "CONNECTIONS", 4)
    server, failures = serve(), []

    def ask():
        for _ in range(20):
            client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            client.request("GET", "/p")
            if client.getresponse().read() != b"GET /p":
                failures.append(client)
            kept.append(client)

    kept = []
    ask()
    assert failures == []
    assert server.connections <= 5
    for client in kept:
        client.close()


def test_a_body_is_read_with_its_request(serve):
    assert asked(serve(), post(b"x" * 1000)).endswith(b"POST /p" + b"x" * 1000)


@pytest.mark.parametrize(
    ("request_bytes", "status", "said"),
    [
        (b"POST /p HTTP/1.1\r\n\r\n", b"411", b"expected a Content-Length"),
        (b"POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411", b"Transfer-Encoding"),
        (b"POST /p HTTP/1.1\r\nTransfer-Encoding: x\r\nContent-Length: 1\r\n\r\na", b"411", b"Transfer-Encoding"),
        (post(b"x" * 1001), b"413", b"found a body of 1001 bytes, expected at most 1000"),
        (post(b"x", length=10**18), b"413", b"expected at most 1000"),
        (post(b"x", length=10**30), b"413", b"expected at most 1000"),
        (post(b"x", b"Content-Length: 2"), b"400", b"expected one number"),
        (b"POST /p HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400", b"found '-1'"),
        (b"POST /p HTTP/1.1\r\nContent-Length: \xb2\r\n\r\n", b"400", b"expected one number"),
        (post(b"x", b"Content-Encoding: br"), b"415", b"found 'br', expected gzip or none"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_and_the_connection_closed(serve, request_bytes, status, said):
    answer = asked(serve(), request_bytes)
    assert answer.split()[1] == status
    assert said in answer
    assert b"\r\nConnection: close\r\n" in answer


def test_the_same_length_twice_is_one(serve):
    assert asked(serve(), post(b"x", b"Content-Length: 1")).endswith(b"POST /px")


def test_a_client_that_asks_before_it_sends_is_told_to_go_on_or_refused(serve):
    server = serve()
    for length, told in (4, b"HTTP/1.1 100 Continue\r\n\r\n"), (1001, b"HTTP/1.1 413"):
        with connect(server) as connection:
            connection.sendall(post(b"", b"Expect: 100-continue", length=length))
            assert connection.recv(2**16).startswith(told)
            if length == 4:
                connection.sendall(b"body")
                assert received(connection).endswith(b"POST /pbody")


def test_a_body_that_does_not_come_is_not_waited_for_for_ever(serve, monkeypatch):
    monkeypatch.setattr(http_read, "BODY_SECONDS", 0.2)
    server = serve()
    with connect(server) as connection:
        connection.sendall(post(b"x", length=10))
        assert received(connection) == b""
    until(lambda: server.connections == 0)


def test_bodies_that_are_held_together_are_bounded(serve):
    asking, going_on = threading.Event(), threading.Event()

    def slowly(request):
        asking.set()
        going_on.wait(10)
        return Answer(200, b"late")

    server = serve(slowly, room=1500)
    with connect(server) as first:
        first.sendall(post(b"x" * 1000))
        assert asking.wait(10)
        refused = asked(server, post(b"x" * 1000))
        assert refused.split()[1] == b"503"
        assert b"no room for a body of this size now" in refused
        going_on.set()
        assert received(first).endswith(b"late")
    assert asked(server, post(b"x" * 1000)).endswith(b"late")


def test_an_answer_that_there_is_no_room_for_is_refused(serve):
    server = serve(lambda request: Answer(200, b"x" * int(request.path[1:])), room=1000)
    assert asked(server, GET.replace(b"/path?query", b"/1001")).split()[1] == b"503"
    for _ in range(3):
        assert asked(server, GET.replace(b"/path?query", b"/1000")).endswith(b"x" * 1000)


def test_room_comes_back_however_a_request_ends(serve, monkeypatch):
    monkeypatch.setattr(http_read, "BODY_SECONDS", 0.1)
    server = serve(lambda request: {}["defect"] if b"defect" in request.body else echo(request), room=1000)
    for _ in range(3):
        asked(server, post(b"defect" + b"x" * 900))
        with connect(server) as connection:
            connection.sendall(post(b"x" * 900, length=1000))
    until(lambda: server.connections == 0)
    assert asked(server, post(b"x" * 900)).endswith(b"x" * 900)


def test_whether_the_client_has_left_can_be_asked(serve):
    asking, answers = threading.Event(), []

    def wait(request):
        answers.append(request.gone())
        asking.set()
        until(request.gone)
        answers.append(request.gone())
        return Answer(200, b"")

    with connect(serve(wait)) as connection:
        connection.sendall(post(b"x"))
        assert asking.wait(10)
    until(lambda: len(answers) == 2)
    assert answers == [False, True]


def test_a_defect_costs_one_answer(serve, caplog):
    answers = iter([None, Answer(200, b"fine")])
    server = serve(lambda request: next(answers) or {}["defect"])
    assert asked(server) == b""
    assert asked(server).endswith(b"fine")
    assert "KeyError: 'defect'" in caplog.text


def test_stopping_finishes_what_is_under_way(serve):
    asking, going_on = threading.Event(), threading.Event()

    def slowly(request):
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
        HttpServer("127.0.0.1", server.port, echo)


def test_stopping_does_not_wait_for_clients_that_say_nothing_or_stop_in_the_middle(serve):
    server = HttpServer("127.0.0.1", 0, echo, body_bytes=1000)
    with connect(server) as kept, connect(server) as silent, connect(server) as halfway, connect(server) as head:
        kept.sendall(KEPT)
        assert kept.recv(2**16)
        halfway.sendall(post(b"x", length=10))
        head.sendall(b"GET /")
        until(lambda: server.connections == 4)
        started = time.monotonic()
        server.stop()
        assert time.monotonic() < started + 4
        assert [received(each) for each in (kept, silent, halfway, head)] == [b""] * 4


@given(
    st.lists(st.binary(max_size=40) | st.sampled_from([GET, KEPT, post(b"x"), b"\r\n", b"Expect: 100-continue\r\n"]))
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_answered_or_dropped(serve_once, chunks):
    with connect(serve_once) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(b"".join(chunks))
            connection.shutdown(socket.SHUT_WR)
        answer = received(connection)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
    assert asked(serve_once).endswith(b"GET /path?query")


@pytest.fixture(scope="module")
def serve_once():
    server = HttpServer("127.0.0.1", 0, echo, body_bytes=1000)
    yield server
    server.stop()
