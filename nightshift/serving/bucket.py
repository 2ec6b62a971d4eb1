"""The files of a store in a bucket: objects are created and never changed, and a version's manifest comes last.

So a version whose upload was interrupted has no manifest and is not there; its number is not used again. A model server
reads the bucket by itself; who needs a version's files here gets a copy.
"""

import base64
import hashlib
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from nightshift.errors import StoreError
from nightshift.objects import RETRY, Objects, in_words
from nightshift.serving.copies import Copies
from nightshift.serving.manifest import NAME as MANIFEST
from nightshift.serving.manifest import check_manifest
from nightshift.serving.object_lock import object_lock
from nightshift.serving.storage import MAX_FILE_BYTES, Hold

MAX_VERSION_BYTES = 1 << 34
WORKERS = 8

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Bucket:
    """Objects below a prefix of a bucket; see storage.Files.

    Attributes:
        objects: the store's.
        copies: of versions whose files were asked for.
    """

    objects: Objects
    copies: Copies
    _known: dict[tuple[str, int], bytes] = field(default_factory=dict, init=False, compare=False, repr=False)

    def __str__(self) -> str:
        return self.url()

    def url(self, name: str = "") -> str:
        """See Files."""
        return self.objects.url(name)

    def folders(self, name: str = "") -> list[str]:
        """See Files."""
        return [folder for folder in self.objects.folders(name) if not folder.startswith(".")]

    def names(self, folder: str) -> list[str]:
        """See Files."""
        return sorted(self._blobs(folder))

    def contents(self, folder: str) -> dict[str, bytes]:
        """See Files. An object is read once: it is never changed."""
        blobs = self._blobs(folder)
        return dict(zip(sorted(blobs), _at_once(self._read, (blobs[name] for name in sorted(blobs))), strict=True))

    def _blobs(self, folder: str) -> dict[str, Any]:
        named = {blob.name.rpartition("/")[2]: blob for blob in self.objects.files(folder)}
        return {name: blob for name, blob in named.items() if not name.startswith(".")}

    def _read(self, blob: Any) -> bytes:
        key = (blob.name, blob.generation)
        if key not in self._known:
            url = self.url(blob.name.removeprefix(self.objects.prefix))
            if blob.size > MAX_FILE_BYTES:
                raise StoreError(f"{url}: larger than {MAX_FILE_BYTES:,} bytes")
            with in_words(url):
                self._known[key] = blob.download_as_bytes(if_generation_match=blob.generation, retry=RETRY)
        return self._known[key]

    def create(self, name: str, content: bytes) -> None:
        """See Files."""
        self.objects.write(name, lambda blob, **options: blob.upload_from_string(content, **options))

    def put_version(self, name: str, saved_model: Path, proceed: Callable[[], None]) -> None:
        """See Files."""
        files = {path.relative_to(saved_model).as_posix() for path in saved_model.rglob("*") if path.is_file()}

        def upload(file: str) -> Any:
            proceed()
            path = str(saved_model / file)
            return self.objects.write(
                f"{name}/{file}", lambda blob, **options: blob.upload_from_filename(path, **options)
            )

        names = sorted(files - {MANIFEST})
        blobs = _at_once(upload, names)
        check_manifest(saved_model)  # it may have changed during the upload
        for file, blob in zip(names, blobs, strict=True):
            if (blob.size, blob.md5_hash) != _size_and_md5(saved_model / file):
                raise StoreError(
                    f"{self.url(f'{name}/{file}')}: uploaded with another content than {saved_model / file}"
                )
        upload(MANIFEST)

    def has_version(self, name: str) -> bool:
        """See Files."""
        return self.objects.get(f"{name}/{MANIFEST}") is not None

    def get_version(self, name: str) -> Path:
        """See Files. The files are copied here, once for each content."""
        blobs = {self._relative(blob, name): blob for blob in self.objects.files(name, deep=True)}
        total = sum(blob.size for blob in blobs.values())
        if total > MAX_VERSION_BYTES:
            raise StoreError(f"{self.url(name)}: {total:,} bytes, expected {MAX_VERSION_BYTES:,} at most")
        digest = hashlib.sha256()
        for file, blob in sorted(blobs.items()):
            digest.update(f"{file}\0{blob.size}\0{blob.crc32c}\0".encode())

        def download(folder: Path) -> None:
            def one(file: str) -> None:
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                blob = blobs[file]
                with in_words(self.url(f"{name}/{file}")):
                    blob.download_to_filename(str(folder / file), if_generation_match=blob.generation, retry=RETRY)

            _at_once(one, blobs)

        try:
            return self.copies.folder(digest.hexdigest()[:32], download)
        except StoreError as error:
            raise StoreError(f"{self.url(name)}: cannot be copied here as a whole: {error}") from error

    def _relative(self, blob: Any, name: str) -> str:
        file = str(blob.name).removeprefix(f"{self.objects.prefix}{name}/")
        if {"", ".", ".."} & set(file.split("/")) or "\0" in file:
            raise StoreError(f"{self.url(name)}: the object {blob.name!r} has a name that is no safe path")
        return file

    def remove_version(self, name: str) -> None:
        """See Files. The manifest goes first: what is left of a removal that was killed is no version."""
        blobs = self.objects.files(name, deep=True)
        for blob in (blob for blob in blobs if self._relative(blob, name) == MANIFEST):
            self.objects.delete(blob)
        _at_once(self.objects.delete, (blob for blob in blobs if self._relative(blob, name) != MANIFEST))

    def age(self, name: str) -> float:
        """See Files."""
        return min(
            (time.time() - blob.updated.timestamp() for blob in self.objects.files(name, deep=True)),
            default=float("inf"),
        )

    def lock(self, seconds: float, tell: Callable[[str], None], wanted_for: str) -> AbstractContextManager[Hold]:
        """See Files."""
        return object_lock(self.objects, ".lock", tell, seconds, wanted_for)


def bucket(url: str, copies: Path) -> Bucket:
    """The store's files at gs://BUCKET/PREFIX; nothing is asked of the network yet.

    Args:
        url: of the store.
        copies: the folder for copies.

    Raises:
        ConfigurationError: it is no such URL.
    """
    return Bucket(Objects.at(url), Copies(copies))


def _at_once(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Map in threads; what one of them raises ends it."""
    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(work, items))


def _size_and_md5(path: Path) -> tuple[int, str]:
    """As Google Cloud Storage tells them."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).digest()
    return path.stat().st_size, base64.b64encode(digest).decode()
