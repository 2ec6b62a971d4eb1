"""Files that are whole or not there, and locks that end with their process."""

import contextlib
import errno
import fcntl
import hashlib
import io
import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a machine that loses power, sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
    sync_directory(path.parent)


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically, keys in their given order; NaN and infinity are refused (ValueError)."""
    write_atomic(path, (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read_npz(path: Path, max_bytes: int) -> dict[str, np.ndarray]:
    """The arrays of a compressed NumPy file by name, pickled ones refused.

    Raises:
        ValueError: it is no such file, or would take more than `max_bytes`.
        Exception: what NumPy raises of a damaged one: EOFError, KeyError, BadZipFile and others.
    """
    with open(path, "rb") as file:  # NumPy itself leaves a damaged file open
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile) or archive.zip is None:
            raise ValueError("expected an archive of arrays")
        size = sum(entry.file_size for entry in archive.zip.infolist())
        if size > max_bytes:
            raise ValueError(f"found {size:,} bytes, expected at most {max_bytes:,}")
        return {name: archive[name] for name in archive.files}


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays atomically as one .npz; object arrays, which would be pickled, are refused (ValueError)."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_atomic(path, buffer.getvalue())


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def staged_directory(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Give an empty directory beside `target` that takes its place, complete and synced, when the block succeeds.

    A block that fails leaves nothing.

    Args:
        target: if it exists by then (another writer of the same content was faster), it stays and the new one is
            dropped, unless
        replace: it gives way to the new one.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
    staging.chmod(0o755)
    try:
        yield staging
        for directory, _, names in os.walk(staging):
            for name in names:
                with open(Path(directory) / name, "rb") as file:
                    os.fsync(file.fileno())
            sync_directory(Path(directory))
        _put_in_place(staging, target, replace)
        sync_directory(target.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _put_in_place(staging: Path, target: Path, replace: bool) -> None:
    """Rename; a directory that is there stays or gives way, and comes back if the new one cannot be put there."""
    old = staging.with_name(f"{staging.name}.old.partial")
    while True:
        try:
            os.rename(staging, target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                with contextlib.suppress(OSError):
                    os.rename(old, target)
                raise
            if not replace:
                return
        else:
            break
        shutil.rmtree(old, ignore_errors=True)  # if there is one, another writer was faster by a moment
        with contextlib.suppress(FileNotFoundError):
            os.rename(target, old)
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def exclusive_lock(path: Path, waiting: Callable[[str], None] | None = None, timeout: float = 0) -> Iterator[None]:
    """Hold a lock file for the block; wait for whoever holds it. The operating system releases a dead holder's.

    Args:
        path: the lock file; made if it is not there, and left.
        waiting: told once, in words, that and for whom this process waits.
        timeout: seconds to wait, 0 for ever.

    Raises:
        TimeoutError: another process held the lock all the time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+") as file:
        started = time.monotonic()
        told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                file.seek(0)
                holder = file.read().strip() or "another process"
                if waiting and not told:
                    waiting(f"waiting for {holder}, which is writing {path.parent.name}")
                    told = True
                if timeout and time.monotonic() - started > timeout:
                    raise TimeoutError(f"{path}: still locked by {holder} after {timeout:g} s") from None
                time.sleep(0.2)
        # Who holds it is only for those who wait to read: on a full disk the lock itself holds as well. Not by `file`,
        # which would try again to write what it could not as it is closed.
        with contextlib.suppress(OSError):
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), f"process {os.getpid()} on {socket.gethostname()}".encode())
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.ftruncate(file.fileno(), 0)


def sha256_of(path: Path) -> str:
    """The hex SHA-256 of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_stale_partials(directory: Path, older_than: float = 86_400) -> None:
    """Delete staging directories here in which nothing was written for `older_than` seconds: their process is gone.

    A directory's own time is not that of the files in it: work of days would look old while it goes on.
    """
    for partial in directory.glob(".*.partial"):
        with contextlib.suppress(FileNotFoundError):  # something in it has gone since: it is in use
            written = max(path.lstat().st_mtime for path in (partial, *partial.rglob("*")))
            if time.time() - written > older_than:
                shutil.rmtree(partial, ignore_errors=True)
