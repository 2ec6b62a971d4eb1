"""An HTTP server for short answers, bounded in whatever a client chooses: time, bytes, and connections.

One request a connection (HTTP/1.0), a thread for each, no more than CONNECTIONS of them.
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
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

from nightshift.errors import ConfigurationError

logger = logging.getLogger(__name__)

CONNECTIONS = 32
HEAD_BYTES = 16 * 2**10
"""Of the request line and the headers together."""

HEAD_SECONDS = 5.0
SEND_SECONDS = 10.0
_LINGER_SECONDS = 1.0
_END_OF_HEAD = b"\r\n\r\n"
_WILDCARDS = ("0.0.0.0", "::", "[::]")


@dataclass(frozen=True)
class Answer:
    """A status and a body of JSON."""

    status: int
    body: bytes


class HttpServer:
    """Answers requests from its start until it is stopped.

    Attributes:
        port: the port it listens on.
    """

    def __init__(self, host: str, port: int, answer: Callable[[str, str], Answer]) -> None:
        """Listen and answer.

        Args:
            host: the address to listen on; 0.0.0.0 and :: are all of both families, as they are for gRPC.
            port: 0 picks a free one.
            answer: of a method and a path with its query; called on several threads.

        Raises:
            ConfigurationError: the port is taken, or the address is not this machine's.
        """
        try:
            self._server = _Server(_listen(host, port), answer)
        except OSError as error:
            raise ConfigurationError(f"REST port: cannot listen on port {port} of {host}: {error}") from error
        self.port: int = self._server.socket.getsockname()[1]
        self._accepting = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="rest", daemon=True)
        self._accepting.start()

    def stop(self) -> None:
        """Take no more requests and finish those under way."""
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


class _Server(socketserver.BaseServer):
    """What socketserver.TCPServer does, on a socket that listens already and with a bounded number of threads."""

    def __init__(self, listening: socket.socket, answer: Callable[[str, str], Answer]) -> None:
        super().__init__(listening.getsockname(), _Handler)
        self.socket = listening
        self.answer = answer
        self._places = threading.BoundedSemaphore(CONNECTIONS)
        self._threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="rest")

    def fileno(self) -> int:
        return self.socket.fileno()

    def get_request(self) -> tuple[socket.socket, Any]:
        return self.socket.accept()

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            # Unanswered: whoever asks for readiness then knows enough, and this thread must not wait for anybody.
            self.close_request(request)
            return
        self._threads.submit(self._work, request, client_address)

    def _work(self, request: socket.socket, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except OSError as error:  # the client went away, or was too slow
            logger.debug("REST: %s: %s", client_address, error)
        except Exception:
            logger.exception("REST: a request failed")
        finally:
            self.close_request(request)
            self._places.release()

    def close_request(self, request: Any) -> None:
        request.close()

    def server_close(self) -> None:
        self.socket.close()
        self._threads.shutdown()


class _Handler(BaseHTTPRequestHandler):
    """Reads a request, whole and in time, and sends the answer."""

    server: _Server
    server_version = "nightshift"
    sys_version = ""
    command = requestline = ""
    request_version = "HTTP/1.0"

    def handle(self) -> None:
        head = _read_head(self.connection)
        self.connection.settimeout(SEND_SECONDS)
        if head is None:
            self.send_error(431, f"expected at most {HEAD_BYTES} bytes of request line and headers")
        elif head:
            self.rfile = io.BytesIO(head)
            self.raw_requestline = self.rfile.readline()
            if self.parse_request():
                self._send(self.server.answer(self.command, self.path))

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what cannot be read, in JSON as all else."""
        self.request_version = "HTTP/1.0"  # what could not be read was taken for a version without headers
        self._send(Answer(code, (json.dumps({"error": message or self.responses[code][0]}) + "\n").encode()))

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
        self._linger()

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


def _read_head(connection: socket.socket) -> bytes | None:
    """The request line and the headers; empty if the client says nothing, None if there is no end to it.

    Raises:
        TimeoutError: it takes longer than HEAD_SECONDS.
    """
    deadline, head = time.monotonic() + HEAD_SECONDS, b""
    while _END_OF_HEAD not in head:
        if len(head) >= HEAD_BYTES:
            return None
        connection.settimeout(max(deadline - time.monotonic(), 0.001))
        chunk = connection.recv(HEAD_BYTES - len(head))
        if not chunk:
            return b""
        head += chunk
    return head.partition(_END_OF_HEAD)[0] + _END_OF_HEAD
