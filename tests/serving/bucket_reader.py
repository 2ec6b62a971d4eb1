"""A model server that reads gs://, by way of copies: TensorFlow itself reads no emulated bucket."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from google.cloud import storage

from nightshift.protos import model_server_config_pb2
from nightshift.serving.client import Client


class BucketReader(Client):
    """A client whose server has, of every version it is told to serve, a copy below a folder: whole or not at all."""

    def __init__(self, target, copies, **options):
        super().__init__(target, **options)
        self._copies = Path(copies)
        self._buckets = storage.Client(project="tests")

    def close(self):
        super().close()
        self._buckets.close()

    def reload(self, config):
        copied = model_server_config_pb2.ModelServerConfig()
        copied.CopyFrom(config)
        for model in copied.model_config_list.config:
            bucket, _, base = model.base_path.removeprefix("gs://").partition("/")
            model.base_path = str(self._copies / base)
            for version in model.model_version_policy.specific.versions:
                self._copy(bucket, f"{base}/{version}/")
        super().reload(copied)

    def _copy(self, bucket, prefix):
        target = self._copies / prefix
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            return
        staging = Path(tempfile.mkdtemp(prefix=".copy.", dir=target.parent))
        for blob in self._buckets.list_blobs(bucket, prefix=prefix):
            file = staging / blob.name.removeprefix(prefix)
            file.parent.mkdir(parents=True, exist_ok=True)
            blob.download_to_filename(str(file))
        with contextlib.suppress(OSError):  # another process was faster
            os.rename(staging, target)
        shutil.rmtree(staging, ignore_errors=True)


def client_of(store, target, copies):
    """A client for releases of that store."""
    return Client(target) if isinstance(store.root, Path) else BucketReader(target, copies)
