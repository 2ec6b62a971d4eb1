"""Puts a prepared dataset into a bucket, for workers that do not share a disk with whoever prepared it."""

import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple, Self

import google_crc32c

from nightshift.data.bucket_shards import THREADS, read_manifest
from nightshift.data.manifest import MANIFEST_NAME, Dataset, Shard
from nightshift.errors import DataError
from nightshift.files import sha256_of
from nightshift.objects import Objects


def check(datasets: str) -> None:
    """Find out, before a dataset is prepared, whether the place that it is to go to is there and answers us.

    Args:
        datasets: gs://BUCKET/PREFIX.

    Raises:
        ConfigurationError: it is no such URI.
        StoreError: no bucket, no permission or no network.
    """
    Objects.at(datasets, "datasets").check()


def publish(
    dataset: Dataset,
    datasets: str,
    progress: Callable[[float, str], None] = lambda fraction, message: None,
) -> str:
    """Copy a dataset to DATASETS/FINGERPRINT, the manifest last. Returns that URI.

    What is there already stays; of a dataset that is published, too, shards that are missing or of another size are
    sent again.

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
    published = _is_published(dataset, objects)
    shards = {shard.name: shard for split in dataset.manifest.splits.values() for shard in split.shards}
    listed = ((blob.name.rpartition("/")[2], blob) for blob in objects.each(""))
    there = {name: Found.of(blob) for name, blob in listed if name in shards}
    # Before there was a manifest, sizes alone say nothing of what an object holds.
    unsent = [shard for name, shard in shards.items() if not (published and _has_size(there.get(name), shard))]
    pool = ThreadPoolExecutor(THREADS)
    try:
        sending = [pool.submit(_send, dataset.path, shard, objects, there.get(shard.name)) for shard in unsent]
        for done, sent in enumerate(as_completed(sending), 1):
            sent.result()
            progress(done / (len(unsent) + 1), f"publishing {objects.url()}: {done} of {len(unsent)} shards")
    finally:
        pool.shutdown(cancel_futures=True)
    if not published:
        try:
            _create(objects, MANIFEST_NAME, dataset.path / MANIFEST_NAME)
        except FileExistsError:
            if not _is_published(dataset, objects):
                raise DataError(f"{objects.url(MANIFEST_NAME)}: was deleted while the dataset was published") from None
    progress(1.0, f"published: {objects.url()}")
    return objects.url()


class Found(NamedTuple):
    """What is kept of an object's metadata, of which a listing of a large dataset has much."""

    size: int
    crc32c: str
    generation: int

    @classmethod
    def of(cls, blob: Any) -> Self:
        """From its blob."""
        return cls(blob.size, blob.crc32c, blob.generation)


def _has_size(found: Found | None, shard: Shard) -> bool:
    return found is not None and found.size == shard.bytes


def _is_published(dataset: Dataset, objects: Objects) -> bool:
    """Whether its manifest is there.

    Raises:
        DataError: another manifest is in its place.
    """
    found = read_manifest(objects)
    if found is None:
        return False
    _, manifest = found
    if manifest.splits != dataset.manifest.splits:
        raise DataError(f"{objects.url(MANIFEST_NAME)}: names other shards than {dataset.path / MANIFEST_NAME}")
    return True


def _send(folder: Path, shard: Shard, objects: Objects, found: Found | None) -> None:
    """Send one shard, unless it is there; over an object of another size, which cannot be it."""
    file = folder / shard.name
    content = sha256_of(file)
    if content != shard.sha256:
        raise DataError(f"{file}: found SHA-256 {content}, expected {shard.sha256}")
    if not _has_size(found, shard):
        try:
            blob = _create(objects, shard.name, file, over=found.generation if found else 0)
        except FileExistsError:  # somebody else publishes it, too
            blob = objects.get(shard.name)
        found = Found.of(blob) if blob else None
    if found is None or (found.size, found.crc32c) != (shard.bytes, _crc32c(file)):
        raise DataError(f"{objects.url(shard.name)}: has other content than {file}; delete it and publish again")


def _create(objects: Objects, name: str, file: Path, over: int = 0) -> Any:
    """An object with a file's content, which the server compares with its checksum, in the place of generation `over`.

    Raises:
        FileExistsError: it is there in another generation.
    """

    def send(blob: Any, **options: Any) -> None:
        blob.upload_from_filename(file, checksum="crc32c", **options)

    return objects.write(name, send, over=over)


def _crc32c(path: Path) -> str:
    """A file's CRC-32C as Cloud Storage writes it."""
    checksum = 0
    with open(path, "rb") as file:
        while content := file.read(1 << 20):
            checksum = google_crc32c.extend(checksum, content)
    return base64.b64encode(checksum.to_bytes(4, "big")).decode()
