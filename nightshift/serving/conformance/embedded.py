"""The embedded server under test: two processes on a folder of their own, for as long as a block lasts."""

import contextlib
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nightshift.serving.conformance.folder import (
    EMBEDDED_MESSAGE_BYTES,
    Folder,
    flags,
    polling_flags,
    write_folder,
)
from nightshift.serving.conformance.server import Connection, Server
from nightshift.serving.process import server_process

_COMMAND = ("-m", "nightshift.serving.embedded", "--port=0")
_HOST = "127.0.0.1"


@contextlib.contextmanager
def embedded_server() -> Iterator[Server]:
    """Start the embedded server, and a second one that follows its configuration file.

    Raises:
        ServingError: one of them did not start; with the last lines of its log.
    """
    with contextlib.ExitStack() as stack:
        path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nightshift-conformance-")))
        folder = Folder(path, str(path))
        write_folder(folder)
        rest_port = free_port()
        own = [f"--rest_api_port={rest_port}", f"--max-message-bytes={EMBEDDED_MESSAGE_BYTES}"]
        target = stack.enter_context(server_process([*_COMMAND, *own, *flags(folder.seen_at)]))
        polling = stack.enter_context(server_process([*_COMMAND, *polling_flags(folder.seen_at)]))
        yield Server(
            stack.enter_context(Connection(target)),
            rest=f"{_HOST}:{rest_port}",
            polling=stack.enter_context(Connection(polling)),
            folder=folder,
            embedded=True,
        )


def free_port() -> int:
    """A port that is free at this moment: TensorFlow Serving's flag for REST cannot ask for any."""
    with socket.create_server((_HOST, 0)) as listening:
        return int(listening.getsockname()[1])
