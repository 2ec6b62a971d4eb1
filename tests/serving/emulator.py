"""Stores in a bucket of the storage emulator."""

from storage_emulator import emulated as emulated

from nightshift.serving.bucket import bucket
from nightshift.serving.store import Store


def store_at(url, copies):
    return Store(bucket(url, copies))


def names_below(found, prefix):
    return sorted(blob.name.removeprefix(prefix) for blob in found.list_blobs(prefix=prefix))
