"""Puts a prepared dataset into a bucket, for workers that do not share a disk with whoever prepared it."""

import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import google_crc32c
from google.cloud.storage.blob import Blob

from nightshift.data.bucket_shards import THREADS
from nightshift.data.manifest import MANIFEST_NAME, Dataset, Shard, parse_manifest
from nightshift.errors import DataError
from nightshift.files import sha256_of
from nightshift.objects import Objects


def publish(
    dataset: Dataset,
    datasets: str,
    progress: Callable[[float, str], None] = lambda fraction, message: None,
) -> str:
    """Copy a dataset to DATASETS/FINGERPRINT, the manifest last; what is there already stays. Returns that URI.

    Args:
        dataset: in a folder.
        datasets: gs://BUCKET/PREFIX.
        progress: told (share done, words).

    Raises:
        DataError: a shard is not as it was written, or an object of other content is in its place.
        ConfigurationError: `datasets` is no such URI.
        StoreError: no bucket, no permission or no network.
    """
    objects = Objects.at(f"{datasets.rstrip('/')}/{dataset.fingerprint}", "datasets")
    if not _is_published(dataset, objects):
        shards = [shard for split in dataset.manifest.splits.values() for shard in split.shards]
        there = {blob.name.rpartition("/")[2]: blob for blob in objects.files("")}
        pool = ThreadPoolExecutor(THREADS)
        try:
            sending = [pool.submit(_send, dataset.path, shard, objects, there) for shard in shards]
            for done, sent in enumerate(as_completed(sending), 1):
                sent.result()
                progress(done / (len(shards) + 1), f"publishing {objects.url()}: {done} of {len(shards)} shards")
        finally:
            pool.shutdown(cancel_futures=True)
        try:
            _create(objects, MANIFEST_NAME, dataset.path / MANIFEST_NAME)
        except FileExistsError:
            if not _is_published(dataset, objects):
                raise DataError(f"{objects.url(MANIFEST_NAME)}: was deleted while the dataset was published") from None
    progress(1.0, f"published: {objects.url()}")
    return objects.url()


def _is_published(dataset: Dataset, objects: Objects) -> bool:
    """Whether it is there whole.

    Raises:
        DataError: another manifest is in its place.
    """
    blob = objects.get(MANIFEST_NAME)
    if blob is None:
        return False
    url = objects.url(MANIFEST_NAME)
    if parse_manifest(blob.download_as_bytes(), url).splits != dataset.manifest.splits:
        raise DataError(f"{url}: names other shards than {dataset.path / MANIFEST_NAME}")
    return True


def _send(folder: Path, shard: Shard, objects: Objects, there: dict[str, Blob]) -> None:
    """Send one shard, unless it is there."""
    file = folder / shard.name
    found = sha256_of(file)
    if found != shard.sha256:
        raise DataError(f"{file}: found SHA-256 {found}, expected {shard.sha256}")
    blob = there.get(shard.name)
    if blob is None:
        try:
            blob = _create(objects, shard.name, file)
        except FileExistsError:
            blob = objects.get(shard.name)
    if blob is None or (blob.size, blob.crc32c) != (shard.bytes, _crc32c(file)):
        raise DataError(f"{objects.url(shard.name)}: has other content than {file}; delete it and publish again")


def _create(objects: Objects, name: str, file: Path) -> Any:
    """A new object with a file's content, which the server compares with its checksum."""
    return objects.write(name, lambda blob, **options: blob.upload_from_filename(file, checksum="crc32c", **options))


def _crc32c(path: Path) -> str:
    """A file's CRC-32C as Cloud Storage writes it."""
    checksum = 0
    with open(path, "rb") as file:
        while content := file.read(1 << 20):
            checksum = google_crc32c.extend(checksum, content)
    return base64.b64encode(checksum.to_bytes(4, "big")).decode()
