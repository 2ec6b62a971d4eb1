"""An HTTP/1.1 server bounded in whatever a client chooses: time, bytes, and connections.

A connection has a thread for as long as it lasts, and there are no more than CONNECTIONS of them. One that waits for
its next request gives its place to a new one when there is no other, the one that has waited longest first; so those
that are kept open keep nobody out. What all of them hold of bodies and answers at a time is bounded too.
"""

import io
import json
import logging
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from nightshift.errors import ConfigurationError
from nightshift.serving.embedded.http_read import HEAD_SECONDS, Reader, RefusedError, Room, encoding_of, length_of

logger = logging.getLogger(__name__)

CONNECTIONS = 128
IDLE_SECONDS = 15.0
"""Between an answer and the next request on its connection."""

SEND_SECONDS = 10.0
SEND_RATE = 2**20
"""Bytes a second that a client has to take an answer with, after the first SEND_SECONDS."""

JSON = "application/json"
_LINGER_SECONDS = 1.0
_WILDCARDS = ("0.0.0.0", "::", "[::]")


@dataclass(frozen=True)
class Request:
    """What a client asks.

    Attributes:
        method: GET and so on.
        path: with its query, percent-encoded.
        body: as it was sent.
        encoding: of the body: `gzip`, or '' if it has none.
        gone: whether the client has ended; one that has only finished sending looks the same.
    """

    method: str
    path: str
    body: bytes | bytearray = b""
    encoding: str = ""
    gone: Callable[[], bool] = field(default=lambda: False)


@dataclass(frozen=True)
class Answer:
    """A status and a body, of JSON if nothing else is said."""

    status: int
    body: bytes
    content_type: str = JSON


class HttpServer:
    """Answers requests from its start until it is stopped.

    Attributes:
        port: the port it listens on.
    """

    def __init__(
        self, host: str, port: int, answer: Callable[[Request], Answer], *, body_bytes: int = 0, room: int = 2**20
    ) -> None:
        """Listen and answer.

        Args:
            host: the address to listen on; 0.0.0.0 and :: are all of both families, as they are for gRPC.
            port: 0 picks a free one.
            answer: called on several threads.
            body_bytes: the longest body.
            room: bytes of bodies and answers that all connections together may hold.

        Raises:
            ConfigurationError: the port is taken, or the address is not this machine's.
        """
        try:
            self._server = _Server(_listen(host, port), answer, body_bytes, Room(room))
        except OSError as error:
            raise ConfigurationError(f"REST port: cannot listen on port {port} of {host}: {error}") from error
        self.port: int = self._server.socket.getsockname()[1]
        self._accepting = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="rest", daemon=True)
        self._accepting.start()

    @property
    def connections(self) -> int:
        """How many are open."""
        return self._server.connections

    def stop(self) -> None:
        """Take no more requests and finish those under way; what is only being read is not."""
        self._server.shutdown()
        self._accepting.join()
        self._server.server_close()


def _listen(host: str, port: int) -> socket.socket:
    if host in _WILDCARDS:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=CONNECTIONS)
        host = "0.0.0.0"
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=CONNECTIONS)


@dataclass(eq=False)
class _Place:
    """A connection's. The server's lock is held to look at it.

    Attributes:
        reading: between its requests or within one that is not whole yet: no answer is lost if it ends.
        idle_since: when it began to wait for its next request; None: it does not, or has had no answer yet.
        taken: another connection has its place.
    """

    connection: socket.socket
    reading: bool = True
    idle_since: float | None = None
    taken: bool = False

    def end_input(self) -> None:
        """Let it read what has come and no more."""
        try:
            self.connection.shutdown(socket.SHUT_RD)
        except OSError as error:  # it has ended by itself
            logger.debug("REST: %s", error)


class _Server(socketserver.BaseServer):
    """What socketserver.TCPServer does, on a socket that listens already and with a bounded number of threads."""

    def __init__(
        self, listening: socket.socket, answer: Callable[[Request], Answer], body_bytes: int, room: Room
    ) -> None:
        super().__init__(listening.getsockname(), _Handler)
        self.socket = listening
        self.answer = answer
        self.body_bytes = body_bytes
        self.room = room
        self.stopping = False
        self._most = CONNECTIONS
        self._places: dict[socket.socket, _Place] = {}
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(self._most, thread_name_prefix="rest")

    @property
    def connections(self) -> int:
        return len(self._places)

    def fileno(self) -> int:
        return self.socket.fileno()

    def get_request(self) -> tuple[socket.socket, Any]:
        return self.socket.accept()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            free = sum(not place.taken for place in self._places.values()) < self._most
            if free or self._take_idle_place():
                self._places[request] = _Place(request)
                self._threads.submit(self._work, request, client_address)
                return
        # Unanswered: whoever asks for readiness then knows enough, and this thread must not wait for anybody.
        self.close_request(request)

    def _take_idle_place(self) -> bool:
        idle = [place for place in self._places.values() if place.idle_since is not None and not place.taken]
        if not idle:
            return False
        longest = min(idle, key=lambda place: place.idle_since or 0.0)
        longest.taken = True
        longest.end_input()
        return True

    def change(self, request: socket.socket, *, reading: bool, idle: bool = False) -> bool:
        """Note what a connection does; whether it may go on to the next request."""
        with self._lock:
            place = self._places[request]
            place.reading, place.idle_since = reading, time.monotonic() if idle else None
            if reading and self.stopping:
                place.end_input()
            return not (place.taken or self.stopping)

    def _work(self, request: socket.socket, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except OSError as error:  # the client went away, or was too slow
            logger.debug("REST: %s: %s", client_address, error)
        except Exception:
            logger.exception("REST: a request failed")
        finally:
            with self._lock:
                del self._places[request]
            self.close_request(request)

    def close_request(self, request: Any) -> None:
        request.close()

    def server_close(self) -> None:
        self.socket.close()
        with self._lock:
            self.stopping = True
            for place in self._places.values():
                if place.reading:
                    place.end_input()
        self._threads.shutdown()


class _Handler(BaseHTTPRequestHandler):
    """Reads requests, each whole and in time, and sends the answers."""

    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "nightshift"
    sys_version = ""
    disable_nagle_algorithm = True
    command = requestline = ""
    request_version = "HTTP/1.1"

    def handle(self) -> None:
        reader = Reader(self.connection)
        if not reader.wait(HEAD_SECONDS):
            return
        while self._handle_one(reader) and self.server.change(self.request, reading=True, idle=True):
            if not reader.wait(IDLE_SECONDS):
                return
            self.server.change(self.request, reading=True)

    def _handle_one(self, reader: Reader) -> bool:
        """Answer one request; whether the connection can go on."""
        self.close_connection = True
        try:
            head = reader.head()
            if head:
                self._answer(head, reader)
        except RefusedError as error:
            self.close_connection = True
            self._send(Answer(error.status, _error(error.message)))
        if self.close_connection:
            self._linger()
            return False
        return True

    def _answer(self, head: bytes, reader: Reader) -> None:
        self.rfile = io.BytesIO(head)
        self.raw_requestline = self.rfile.readline()
        if not self.parse_request():  # an empty line
            self.close_connection = True
            return
        encoding = encoding_of(self.headers)
        length = length_of(self.command, self.headers, self.server.body_bytes)
        asked = self.headers.get("Expect", "").lower() == "100-continue"
        body = reader.body(length, self.server.room, asked=asked)
        try:
            if not self.server.change(self.request, reading=False):
                self.close_connection = True
            answer = self.server.answer(Request(self.command, self.path, body, encoding, reader.gone))
        finally:
            self.server.room.give(len(body))
        del body
        held = len(answer.body)
        if not self.server.room.take(held):
            held, answer = 0, Answer(503, _error("the server has no room for an answer of this size now"))
        try:
            self._send(answer)
        finally:
            self.server.room.give(held)

    def handle_expect_100(self) -> bool:
        """Not yet: the body may be refused."""
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what cannot be read, in JSON as all else."""
        raise RefusedError(code, message or self.responses[code][0])

    def _send(self, answer: Answer) -> None:
        if self.server.stopping:
            self.close_connection = True
        head = (
            f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Unknown')}\r\nServer: {self.server_version}\r\n"
            f"Date: {self.date_time_string()}\r\nContent-Type: {answer.content_type}\r\n"
            f"Content-Length: {len(answer.body)}\r\n" + ("Connection: close\r\n" if self.close_connection else "")
        )
        self.connection.settimeout(SEND_SECONDS + len(answer.body) / SEND_RATE)
        body = b"" if self.command == "HEAD" else answer.body
        self.connection.sendall(head.encode() + b"\r\n" + (body if len(body) < 2**16 else b""))
        if len(body) >= 2**16:
            self.connection.sendall(body)

    def _linger(self) -> None:
        """Take what the client still sends, for a moment: closed on it, the connection would lose the answer."""
        self.connection.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + _LINGER_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            self.connection.settimeout(left)
            if not self.connection.recv(2**16):
                return

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not worth a line: most ask whether the server is ready."""
        logger.debug(format, *args)


_REASONS = {int(status): phrase for status, (phrase, _) in BaseHTTPRequestHandler.responses.items()}


def _error(message: str) -> bytes:
    return (json.dumps({"error": message}) + "\n").encode()
