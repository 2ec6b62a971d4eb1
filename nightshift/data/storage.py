"""Objects of Google Cloud Storage as files: one object, or all below a prefix, copied to the cache.

STORAGE_EMULATOR_HOST is respected; without credentials the access is anonymous, which public buckets allow.
"""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.cloud import storage
from google.cloud.storage import transfer_manager

from nightshift.data.layout import is_ignored
from nightshift.data.limits import MAX_MEMBERS
from nightshift.errors import DataError
from nightshift.files import staged_directory

WORKERS = 8
BATCH = 256

Say = Callable[[str], None]


def fetch_objects(uri: str, cache: Path, say: Say) -> Path:
    """The file of an object, or the folder of all objects below a prefix, in the cache.

    The copy is named by the objects' names, sizes and checksums, so that it is made once for each content.

    Args:
        uri: gs://BUCKET/OBJECT or gs://BUCKET/PREFIX.
        cache: the workspace's folder of downloads.
        say: told how many objects are copied.

    Raises:
        DataError: nothing is there, no access, no room for it on the disk, or a name that is no safe path.
    """
    parts = urlsplit(uri)
    name = parts.path.strip("/")
    if not parts.netloc:
        raise DataError(f"{uri}: names no bucket; expected gs://BUCKET/OBJECT")
    try:
        bucket = _client().bucket(parts.netloc)
        single = bucket.get_blob(name) if name else None
        blobs = [single] if single else _below(bucket, f"{name}/" if name else "", uri)
        folder = cache / "gs" / _content_key(uri, blobs)
        root = name.rpartition("/")[0] if single else name
        if not folder.exists():
            _check_room(folder.parent, sum(blob.size for blob in blobs), uri)
            with staged_directory(folder) as staging:
                _copy(blobs, staging, root, uri, say)
    except (GoogleAPIError, GoogleAuthError, OSError) as error:
        # OSError: the connection failed (requests' errors are such), or the disk.
        raise DataError(f"{uri}: cannot be copied to {cache} ({error})") from None
    return folder / name.rpartition("/")[2] if single else folder


def _client() -> Any:
    try:
        return storage.Client()
    except (DefaultCredentialsError, OSError):
        # OSError: there are credentials, but they name no project, which reading does not need.
        return storage.Client.create_anonymous_client()


def _below(bucket: Any, prefix: str, uri: str) -> list[Any]:
    blobs = []
    for blob in bucket.list_blobs(prefix=prefix):
        if blob.name.endswith("/") or is_ignored(blob.name.removeprefix(prefix)):
            continue
        blobs.append(blob)
        if len(blobs) > MAX_MEMBERS:
            raise DataError(f"{uri}: holds more than {MAX_MEMBERS:,} objects; mount the bucket and give the folder")
    if not blobs:
        raise DataError(f"{uri}: no such object, and nothing below that prefix")
    return blobs


def _check_room(folder: Path, size: int, uri: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if size > free:
        raise DataError(f"{uri}: holds {size:,} bytes, and {folder} has room for {free:,}")


def _content_key(uri: str, blobs: list[Any]) -> str:
    digest = hashlib.sha256(uri.encode())
    for blob in sorted(blobs, key=lambda blob: str(blob.name)):
        digest.update(f"\0{blob.name}\0{blob.size}\0{blob.crc32c}".encode())
    return digest.hexdigest()[:32]


def _copy(blobs: list[Any], folder: Path, root: str, uri: str, say: Say) -> None:
    for start in range(0, len(blobs), BATCH):
        batch = blobs[start : start + BATCH]
        pairs = [(blob, str(_file_for(blob.name, folder, root, uri))) for blob in batch]
        say(f"downloading {uri}: {start:,} of {len(blobs):,} objects")
        transfer_manager.download_many(
            pairs, worker_type=transfer_manager.THREAD, max_workers=WORKERS, raise_exception=True
        )


def _file_for(name: str, folder: Path, root: str, uri: str) -> Path:
    relative = name.removeprefix(f"{root}/") if root else name
    parts = relative.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise DataError(f"{uri}: the object {name!r} has a name that is no safe path")
    file = folder.joinpath(*parts)
    file.parent.mkdir(parents=True, exist_ok=True)
    return file
