"""A folder of this node with shards of datasets in buckets: whole files or none, of bounded size, for all processes.

A shard's name is its SHA-256. Whoever reads one holds a shared lock of the file, whoever fetches one an exclusive lock
of SHA256.partial; the operating system releases those of a process that ended. What can be locked exclusively is not in
use: the longest unused go first, and a .partial at once, since who wrote it was killed.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from nightshift.data.manifest import Shard
from nightshift.errors import DataError
from nightshift.files import sha256_of, sync_directory

Fetch = Callable[[Path], None]
"""Writes a shard's content into a file that is there and has room for it."""

PARTIAL = ".partial"
LOCK = ".lock"


class ShardCache:
    """The folder; its files are named by content, so that datasets share what they have in common."""

    def __init__(self, folder: Path, limit: int) -> None:
        """Nothing is made yet.

        Args:
            folder: for shards alone.
            limit: bytes that it may hold; a shard that is wanted at once is fetched even if all others are in use.
        """
        self.folder = folder
        self.limit = limit
        self._checked: dict[str, tuple[int, int, int]] = {}

    @contextlib.contextmanager
    def lease(self, shard: Shard, fetch: Fetch) -> Iterator[Path]:
        """The file of a shard, which is there and as it was written until the block ends.

        Args:
            shard: which one.
            fetch: called, by one process and thread at a time, if it is not there or damaged.

        Raises:
            DataError: what was fetched is not the shard.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        file: IO[bytes] | None = None
        while file is None:
            file = self._found(shard) or self._fetched(shard, fetch)
        with file:
            yield self.folder / shard.sha256

    def has(self, shard: Shard) -> bool:
        """Whether there is a file of it, sound or not."""
        return (self.folder / shard.sha256).exists()

    def has_room(self, size: int) -> bool:
        """Whether so many bytes fit without taking anything that is in use; makes the room."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._locked():
            return self._make_room(size)

    def _found(self, shard: Shard) -> IO[bytes] | None:
        """The shard's file with a shared lock, if it is there and sound; one that is not is left to be replaced."""
        path = self.folder / shard.sha256
        try:
            file = open(path, "rb")  # noqa: SIM115
        except FileNotFoundError:
            return None
        fcntl.flock(file, fcntl.LOCK_SH)
        if _is_at(file, path) and self._is_sound(path, file, shard):
            # The time of reading says what was used last. That of writing stays: a change of it is one of the content.
            os.utime(file.fileno(), ns=(time.time_ns(), os.fstat(file.fileno()).st_mtime_ns))
            return file
        file.close()
        return None

    def _is_sound(self, path: Path, file: IO[bytes], shard: Shard) -> bool:
        """Whether the content is the shard's; read once a process, and again when the file has changed."""
        state = os.fstat(file.fileno())
        seen = (state.st_ino, state.st_size, state.st_mtime_ns)
        if self._checked.get(shard.sha256) == seen:
            return True
        if state.st_size != shard.bytes or sha256_of(path) != shard.sha256:
            return False
        self._checked[shard.sha256] = seen
        return True

    def _fetched(self, shard: Shard, fetch: Fetch) -> IO[bytes] | None:
        """Fetch a shard and put it in place, with a shared lock; None: another was faster, or it is gone again."""
        path = self.folder / shard.sha256
        partial = path.with_name(path.name + PARTIAL)
        # Held by an exclusive lock, then by a shared one: NFS gives these only to who may write, and may read.
        file = open(partial, "a+b")  # noqa: SIM115
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(file, partial):
                file.close()
                return None
            with self._locked():
                self._make_room(shard.bytes)
                file.truncate(shard.bytes)  # so others count it
            try:
                fetch(partial)
                self._check(partial, shard)
                os.fsync(file.fileno())
                os.replace(partial, path)
            except BaseException:
                partial.unlink()
                raise
            sync_directory(self.folder)
            fcntl.flock(file, fcntl.LOCK_SH)
            state = os.fstat(file.fileno())
            self._checked[shard.sha256] = (state.st_ino, state.st_size, state.st_mtime_ns)
            if _is_at(file, path):
                return file
        except BaseException:
            file.close()
            raise
        file.close()
        return None

    def _check(self, partial: Path, shard: Shard) -> None:
        size, found = partial.stat().st_size, sha256_of(partial)
        if (size, found) != (shard.bytes, shard.sha256):
            raise DataError(
                f"{shard.name}: {size} bytes of SHA-256 {found} arrived, expected {shard.bytes} of {shard.sha256}"
            )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with open(self.folder / LOCK, "ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _make_room(self, size: int) -> bool:
        """Drop what was not used for longest until so many bytes fit; whether they do."""
        found = []
        for entry in os.scandir(self.folder):
            if entry.name != LOCK:
                with contextlib.suppress(FileNotFoundError):
                    state = entry.stat()
                    garbage = entry.name.endswith(PARTIAL)
                    found.append((not garbage, state.st_atime_ns, state.st_size, Path(entry.path)))
        total = size + sum(each for _, _, each, _ in found)
        for whole, _, each, path in sorted(found):
            if whole and total <= self.limit:
                break
            if _dropped(path):
                total -= each
        return total <= self.limit


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Whether an open file is the one of that name, not one that was there before."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _dropped(path: Path) -> bool:
    """Delete a file that nobody uses; whether that was so."""
    try:
        with open(path, "r+b") as file:  # NFS gives an exclusive lock only to who may write
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(file, path):
                path.unlink()
    except BlockingIOError:
        return False
    except FileNotFoundError:
        return True
    return True
