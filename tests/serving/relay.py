"""One address with servers behind it that come and go, as a Service of Kubernetes is one."""

import contextlib
import socket
import threading
from collections.abc import Iterator


class Relay:
    """Passes connections on to `port`; those that are open stay where they are when it changes.

    Attributes:
        address: HOST:PORT that it answers on.
        port: the port on loopback that new connections go to.
        connections: how many there have been.
    """

    def __init__(self, port: int) -> None:
        self.port, self.connections = port, 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                self.connections += 1
                threading.Thread(target=_join, args=(client, self.port), daemon=True).start()

    def close(self) -> None:
        """Take no more connections; those that are open end with their client or server."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


def _join(client: socket.socket, port: int) -> None:
    with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as server:
        back = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
        back.start()
        _pass_on(client, server)
        back.join()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    """To the end; that one side broke off, the other has to hear."""
    try:
        while data := source.recv(2**16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def relay(port: int) -> Iterator[Relay]:
    running = Relay(port)
    try:
        yield running
    finally:
        running.close()
