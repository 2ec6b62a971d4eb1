"""Objects of Google Cloud Storage below a prefix: listed within bounds, written on condition, errors in words.

STORAGE_EMULATOR_HOST is respected. Imported only where something is in a bucket: it takes time to load.
"""

import contextlib
import errno
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound, PreconditionFailed, Unauthorized
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, RefreshError
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
from google.cloud.storage.retry import DEFAULT_RETRY

from nightshift.errors import ConfigurationError, StoreError

SCHEME = "gs://"
RETRY = DEFAULT_RETRY.with_timeout(60.0)
MAX_FILES = 100_000
"""Of a listing that is held in memory as a whole."""
ADVICE = (
    (NotFound, "no such bucket: create it, or mend the URL"),
    ((Forbidden, Unauthorized), "not permitted: grant roles/storage.objectUser on the bucket to who runs this"),
    (
        (DefaultCredentialsError, RefreshError),
        "no valid Google credentials: set up Workload Identity in a cluster, elsewhere run "
        "`gcloud auth application-default login`",
    ),
    ((DataCorruption, InvalidResponse), "an object arrived otherwise than it was sent: try again"),
)
"""What a person does about an error; of the others, the network is at fault."""


@dataclass(frozen=True)
class Objects:
    """The objects of a bucket whose names begin with a prefix; names given here are without it.

    Attributes:
        bucket: its name.
        prefix: '' or parts that end with '/'.
    """

    bucket: str
    prefix: str

    @classmethod
    def at(cls, url: str, setting: str = "store") -> "Objects":
        """Those of gs://BUCKET/PREFIX.

        Args:
            url: to be taken apart.
            setting: what the URL is for, for the error.

        Raises:
            ConfigurationError: it is no such URL.
        """
        bucket, _, prefix = url.removeprefix(SCHEME).rstrip("/").partition("/")
        parts = prefix.split("/") if prefix else []
        if not url.startswith(SCHEME) or not bucket or {"", ".", ".."} & {bucket, *parts}:
            raise ConfigurationError(f"{setting}: found {url!r}, expected a folder or {SCHEME}BUCKET/PREFIX")
        return cls(bucket, "".join(f"{part}/" for part in parts))

    def url(self, name: str = "") -> str:
        """gs://BUCKET/NAME, without a slash at its end."""
        return f"{SCHEME}{self.bucket}/{self.prefix}{name}".rstrip("/")

    @cached_property
    def _bucket(self) -> Any:
        return storage.Client(project=None).bucket(self.bucket)  # a project is needed only to make buckets

    def files(self, folder: str, *, deep: bool = False) -> list[Any]:
        """The blobs right in a folder, or all below it; those that stand for folders are left out.

        Raises:
            StoreError: there are more than MAX_FILES, or no bucket, no permission or no network.
        """
        blobs, _ = self._listed(folder, "" if deep else "/")
        return [blob for blob in blobs if not blob.name.endswith("/")]

    def each(self, folder: str) -> Iterator[Any]:
        """The blobs right in a folder, as many as there are, while the pages of the listing arrive.

        Raises:
            StoreError: no bucket, no permission or no network.
        """
        prefix = f"{self.prefix}{folder}/" if folder else self.prefix
        with in_words(self.url(folder)):
            yield from self._bucket.list_blobs(prefix=prefix, delimiter="/", retry=RETRY)

    def check(self) -> None:
        """Ask for a single name, to find out before any work whether the bucket is there and answers us.

        Raises:
            StoreError: no bucket, no permission or no network.
        """
        with in_words(self.url()):
            list(self._bucket.list_blobs(prefix=self.prefix, max_results=1, retry=RETRY))

    def folders(self, folder: str) -> list[str]:
        """The names of the folders right in one.

        Raises:
            StoreError: see files.
        """
        _, prefixes = self._listed(folder, "/")
        return sorted(prefix.rstrip("/").rpartition("/")[2] for prefix in prefixes)

    def _listed(self, folder: str, delimiter: str) -> tuple[list[Any], set[str]]:
        prefix = f"{self.prefix}{folder}/" if folder else self.prefix
        with in_words(self.url(folder)):
            found = self._bucket.list_blobs(
                prefix=prefix, delimiter=delimiter or None, max_results=MAX_FILES + 1, retry=RETRY
            )
            blobs = list(found)
        if len(blobs) + len(found.prefixes) > MAX_FILES:
            raise StoreError(f"{self.url(folder)}: holds more than {MAX_FILES:,} objects")
        return blobs, found.prefixes

    def get(self, name: str) -> Any | None:
        """The blob of that name with its metadata, if there is one.

        Raises:
            StoreError: no permission or no network.
        """
        with in_words(self.url(name)):
            return self._bucket.get_blob(f"{self.prefix}{name}", retry=RETRY)

    def delete(self, blob: Any) -> None:
        """Delete an object in the generation that was seen; one that is gone is deleted.

        Raises:
            StoreError: no permission or no network, or the object has been replaced.
        """
        with in_words(self.url(blob.name.removeprefix(self.prefix))), contextlib.suppress(NotFound):
            blob.delete(if_generation_match=blob.generation, retry=RETRY)

    def write(
        self,
        name: str,
        send: Callable[..., None],
        *,
        over: int = 0,
        metadata: dict[str, str] | None = None,
    ) -> Any:
        """Write an object in the place of one generation of it; returns its blob.

        Args:
            name: of the object.
            send: uploads to the blob it is given, passing on the keyword arguments.
            over: the generation; 0: none, the object is new.
            metadata: for the object.

        Raises:
            FileExistsError: the object is there in another generation; it stays as it is.
            StoreError: no bucket, no permission or no network.
        """
        writer = uuid.uuid4().hex
        with in_words(self.url(name)):
            blob = self._bucket.blob(f"{self.prefix}{name}")
            blob.metadata = {**(metadata or {}), "writer": writer}
            try:
                send(blob, if_generation_match=over, retry=RETRY)
            except PreconditionFailed:
                # An upload whose answer was lost is sent again, and then stands in its own way.
                blob = self._bucket.get_blob(blob.name, retry=RETRY)
        if blob is None or (blob.metadata or {}).get("writer") != writer:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), self.url(name))
        return blob


@contextlib.contextmanager
def in_words(url: str) -> Iterator[None]:
    """Let what Google Cloud Storage and the network raise end as a StoreError that says what to do."""
    try:
        yield
    except (GoogleAPIError, GoogleAuthError, DataCorruption, InvalidResponse, OSError) as error:
        # The errors of the requests library are OSErrors without a number; those with one are of this machine's disk.
        of_network = isinstance(error, ConnectionError | TimeoutError)
        if isinstance(error, OSError) and error.errno is not None and not of_network:
            raise
        advice = next((text for types, text in ADVICE if isinstance(error, types)), "cannot be reached")
        raise StoreError(f"{url}: {advice} ({str(error)[:300]})") from error
