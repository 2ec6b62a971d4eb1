"""Datasets in a bucket: each shard is fetched by whoever needs it, ahead of its use, to a folder of this node.

TensorFlow's own gs:// knows nothing of STORAGE_EMULATOR_HOST nor of a node's cache. Imported only where a dataset is in
a bucket: google-cloud-storage takes time to load.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from nightshift.data.bucket_cache import ShardCache
from nightshift.data.manifest import MANIFEST_NAME, DatasetManifest, Shard, parse_manifest
from nightshift.errors import DataError, NightshiftError, StoreError
from nightshift.files import write_atomic
from nightshift.objects import RETRY, Objects, in_words

CACHE_LIMIT = 16 << 30
"""Bytes of shards that a node keeps; with LANES shards in use and as many fetched ahead, 3 GiB are needed."""

THREADS = 8
ATTEMPTS = 3
TIMEOUT = 60.0


class BucketShards:
    """The shards of one dataset in a bucket.

    Attributes:
        uri: of the dataset, gs://BUCKET/PREFIX/FINGERPRINT.
        failure: the last error of a shard that was wanted, for whoever gets it in TensorFlow's words only.
    """

    def __init__(self, objects: Objects, cache: ShardCache) -> None:
        self.uri = objects.url()
        self.failure: NightshiftError | None = None
        self._objects = objects
        self._cache = cache
        self._lock = threading.Lock()
        self._waiting: deque[Shard] = deque()
        self._asked: set[str] = set()
        """Those that wait and those that are being fetched."""
        self._running = 0

    @property
    def limit(self) -> int:
        """Bytes of shards that this node keeps."""
        return self._cache.limit

    @contextlib.contextmanager
    def local(self, shard: Shard) -> Iterator[Path]:
        """A shard's file on this node, for the block.

        Raises:
            DataError: the object is not there, or not what the manifest says.
            StoreError: no permission or no network, or the disk of this node is full or cannot be used.
        """
        with contextlib.ExitStack() as stack:
            try:
                with _disk_in_words(self._cache.folder):
                    path = stack.enter_context(self._cache.lease(shard, partial(self._fetch, shard)))
            except NightshiftError as error:
                self.failure = error
                raise
            yield path

    def in_order(self, shards: Sequence[Shard], ahead: int) -> Iterator[Path]:
        """Shard by shard, each there until the next is asked for, by when the next `ahead` are being fetched."""
        for index, shard in enumerate(shards):
            self.ahead(shards[index + 1 : index + 1 + ahead])
            with self.local(shard) as path:
                yield path

    def ahead(self, shards: Sequence[Shard]) -> None:
        """Have shards fetched that will be wanted; what finds no room, or fails, is fetched when it is."""
        with self._lock:
            new = [shard for shard in shards if shard.sha256 not in self._asked]
            self._waiting.extend(new)
            self._asked.update(shard.sha256 for shard in new)
            more = min(THREADS - self._running, len(self._waiting))
            self._running += more
        for _ in range(more):
            # Daemons: a training that is told to end does not wait for shards that it will not read.
            threading.Thread(target=self._fetch_ahead, daemon=True).start()

    def _fetch_ahead(self) -> None:
        """Fetch until nothing waits."""
        while True:
            with self._lock:
                if not self._waiting:
                    self._running -= 1
                    return
                shard = self._waiting.popleft()
            try:
                if self._cache.has(shard) or self._cache.has_room(shard.bytes):
                    with self._cache.lease(shard, partial(self._fetch, shard)):
                        pass
            except Exception:
                pass  # whoever wants the shard tries again, and is told
            finally:
                with self._lock:
                    self._asked.discard(shard.sha256)

    def _fetch(self, shard: Shard, file: Path) -> None:
        """Copy an object into a file; passing errors, broken connections among them, are tried again."""
        for attempt in range(ATTEMPTS):
            blob = self._objects.get(shard.name)
            url = self._objects.url(shard.name)
            if blob is None:
                raise DataError(f"{url}: no such object; publish the dataset again")
            if blob.size != shard.bytes:
                raise DataError(f"{url}: found {blob.size} bytes, expected {shard.bytes}")
            with in_words(url), open(file, "wb") as target:
                # Its checksum is that of the object; ours, over the whole file, is that of the dataset.
                if shard.bytes:
                    blob.download_to_file(target, checksum=None, raw_download=True, retry=RETRY, timeout=TIMEOUT)
            if file.stat().st_size == shard.bytes:
                return
            time.sleep(2.0**attempt)
        raise DataError(f"{url}: ended too early {ATTEMPTS} times, expected {shard.bytes} bytes")


def open_in_bucket(uri: str, cache: Path) -> tuple[Path, DatasetManifest, BucketShards]:
    """A published dataset: the folder of its manifest's copy, the manifest, and the way to its shards.

    Args:
        uri: gs://BUCKET/PREFIX/FINGERPRINT.
        cache: folder of this node, for all datasets; it holds CACHE_LIMIT bytes of shards.

    Raises:
        DataError: no dataset, or of another schema version.
        StoreError: no permission or no network, or nothing can be written to `cache`.
    """
    objects = Objects.at(uri, "dataset")
    found = read_manifest(objects)
    if found is None:
        raise DataError(f"{objects.url()}: no prepared dataset; {MANIFEST_NAME} is not there")
    content, manifest = found
    folder = cache / "manifests" / manifest.fingerprint
    with _disk_in_words(cache):
        write_atomic(folder / MANIFEST_NAME, content)
    return folder, manifest, BucketShards(objects, ShardCache(cache / "shards", CACHE_LIMIT))


def read_manifest(objects: Objects) -> tuple[bytes, DatasetManifest] | None:
    """The dataset.json of what is published there, as it is and read; None: nothing is.

    Raises:
        DataError: it is no manifest, or of another schema version.
        StoreError: no permission or no network.
    """
    blob = objects.get(MANIFEST_NAME)
    if blob is None:
        return None
    url = objects.url(MANIFEST_NAME)
    with in_words(url):
        content = blob.download_as_bytes(retry=RETRY, timeout=TIMEOUT)
    return content, parse_manifest(content, url)


@contextlib.contextmanager
def _disk_in_words(folder: Path) -> Iterator[None]:
    """Let what this node's disk refuses end as an error that says what to do; that of a bucket is in words already."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{folder}: {error.strerror or error}; what comes from a bucket is kept there, and NIGHTSHIFT_CACHE names "
            "another folder"
        ) from error
