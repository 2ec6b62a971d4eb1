"""Reads an HTTP request off a connection, bounded in whatever the client chooses: bytes and time."""

import select
import socket
import threading
import time
from email.message import Message

HEAD_BYTES = 16 * 2**10
"""Of the request line and the headers together."""

HEAD_SECONDS = 5.0
BODY_SECONDS = 10.0
BODY_RATE = 2**20
"""Bytes a second that a body has to come with, after its first BODY_SECONDS."""

_AT_ONCE = 2**18
_END_OF_HEAD = b"\r\n\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_MAX_LENGTH_DIGITS = 18


class RefusedError(Exception):
    """The request cannot be read; carries the HTTP status to answer. The connection ends with that."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Room:
    """Bytes that all connections together may hold. Nobody waits for some: one that dawdles would stop the others."""

    def __init__(self, size: int) -> None:
        """Empty.

        Args:
            size: in bytes.
        """
        self._free = size
        self._lock = threading.Lock()

    def take(self, count: int) -> bool:
        """Take so many bytes, or none if there are not as many."""
        with self._lock:
            if count > self._free:
                return False
            self._free -= count
            return True

    def give(self, count: int) -> None:
        """Give back what was taken."""
        with self._lock:
            self._free += count


class Reader:
    """Reads one request after the other; what comes too early is kept for the next."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._early = bytearray()

    def wait(self, seconds: float) -> bool:
        """Wait for the first byte of a request; False if there is none in time, or the client has ended."""
        if self._early:
            return True
        try:
            return self._receive(time.monotonic() + seconds, HEAD_BYTES)
        except TimeoutError:
            return False

    def head(self) -> bytes:
        """The request line and the headers, with the empty line; empty if the client ends before.

        Raises:
            RefusedError: there is no end to them.
            TimeoutError: they take longer than HEAD_SECONDS.
        """
        deadline = time.monotonic() + HEAD_SECONDS
        while (end := self._early.find(_END_OF_HEAD, 0, HEAD_BYTES)) < 0:
            if len(self._early) >= HEAD_BYTES:
                raise RefusedError(431, f"expected at most {HEAD_BYTES} bytes of request line and headers")
            if not self._receive(deadline, HEAD_BYTES - len(self._early)):
                return b""
        return self._take(end + len(_END_OF_HEAD))

    def body(self, length: int, room: Room, *, asked: bool) -> bytearray:
        """So many bytes, for which room was made; whoever takes them gives it back.

        Args:
            length: how many.
            room: for what is held.
            asked: whether the client waits to be told to send them.

        Raises:
            RefusedError: there is no more room.
            ConnectionError: the client ends before.
            TimeoutError: they come too slowly.
        """
        deadline = time.monotonic() + BODY_SECONDS + length / BODY_RATE
        if asked and not self._early:
            self._connection.settimeout(HEAD_SECONDS)
            self._connection.sendall(_CONTINUE)
        body = bytearray()
        try:
            while True:
                chunk = self._take(min(length - len(body), len(self._early)))
                if not room.take(len(chunk)):
                    raise RefusedError(503, "the server has no room for a body of this size now")
                body += chunk
                if len(body) == length:
                    return body
                if not self._receive(deadline, min(length - len(body), _AT_ONCE)):
                    raise ConnectionError("the client ended within a body")
        except BaseException:
            room.give(len(body))
            raise

    def gone(self) -> bool:
        """Whether the client has ended; one that has only finished sending looks the same."""
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        try:
            return not self._early and bool(poll.poll(0)) and not self._connection.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def _take(self, count: int) -> bytes:
        taken = bytes(self._early[:count])
        del self._early[:count]
        return taken

    def _receive(self, deadline: float, count: int) -> bool:
        self._connection.settimeout(max(deadline - time.monotonic(), 0.001))
        chunk = self._connection.recv(count)
        self._early += chunk
        return bool(chunk)


def encoding_of(headers: Message) -> str:
    """How a body is compressed: `gzip`, or '' for not at all.

    Raises:
        RefusedError: in another way.
    """
    encoding = str(headers.get("Content-Encoding", "")).strip().lower()
    if encoding not in ("", "identity", "gzip"):
        raise RefusedError(415, f"Content-Encoding: found {encoding[:40]!r}, expected gzip or none")
    return encoding.removeprefix("identity")


def length_of(method: str, headers: Message, most: int) -> int:
    """The length of the body that a request's headers announce.

    Raises:
        RefusedError: they do not say, or it is too much.
    """
    if headers.get("Transfer-Encoding") is not None:
        raise RefusedError(411, "Transfer-Encoding is not understood: expected a Content-Length")
    told = set(headers.get_all("Content-Length") or ())
    if not told and method in ("POST", "PUT", "PATCH"):
        raise RefusedError(411, "expected a Content-Length")
    text = told.pop().strip() if told else "0"
    if told or not (text.isascii() and text.isdecimal()):
        raise RefusedError(400, f"Content-Length: found {text[:40]!r}, expected one number")
    if len(text) > _MAX_LENGTH_DIGITS or int(text) > most:
        raise RefusedError(413, f"found a body of {text[:40]} bytes, expected at most {most}")
    return int(text)
