"""A directory of image files. Symbolic links are not followed: they could point anywhere."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO

from nightshift.data.examples import Rejected
from nightshift.data.layout import is_ignored
from nightshift.data.limits import MAX_ENCODED_BYTES
from nightshift.errors import DataError
from nightshift.files import sha256_of

PART_FILES = 256
"""Files of a part: a few seconds of photographs, and few enough to be named one by one."""


class Folder:
    """The files below a directory, ordered by path, each of at most `largest` bytes, or as an image may have."""

    def __init__(self, path: Path, largest: int | None = None) -> None:
        self._path = path
        self._largest = MAX_ENCODED_BYTES if largest is None else largest

    def identity(self) -> str:
        """SHA-256 over relative paths and contents."""
        digest = hashlib.sha256()
        for name in self.names():
            content = sha256_of(self._path / name)
            digest.update(f"{name}\0{content}\n".encode("utf-8", "surrogateescape"))
        return f"folder sha256:{digest.hexdigest()}"

    def names(self) -> Iterator[str]:
        """The relative paths of all regular files."""
        return (name for name, regular in self._walk() if regular)

    def files(self) -> Iterator[tuple[str, bytes] | Rejected]:
        """Paths and contents; links and oversized files are rejected."""
        return _read(self.opened())

    def opened(self) -> Iterator[tuple[str, IO[bytes]] | Rejected]:
        """As `files`, but with the content as a stream, open until the next one is asked for."""
        return self._opened(self._walk())

    def size(self) -> int:
        """Bytes of all regular files."""
        return sum((self._path / name).stat().st_size for name in self.names())

    def parts(self) -> Iterator[list[tuple[str, bool]]]:
        """Relative paths, and whether each is a regular file."""
        walk = self._walk()
        while part := list(islice(walk, PART_FILES)):
            yield part

    def files_of(self, part: list[tuple[str, bool]]) -> Iterator[tuple[str, bytes] | Rejected]:
        """As `files`, of one part."""
        return _read(self._opened(part))

    def _opened(self, listed: Iterable[tuple[str, bool]]) -> Iterator[tuple[str, IO[bytes]] | Rejected]:
        for name, regular in listed:
            path = self._path / name
            if not regular:
                yield Rejected(name, "is a link or no regular file")
            elif path.stat().st_size > self._largest:
                yield Rejected(name, f"has {path.stat().st_size} bytes, expected at most {self._largest}")
            else:
                with open(path, "rb") as file:
                    yield name, file

    def _walk(self) -> Iterator[tuple[str, bool]]:
        """Relative path, and whether it is a regular file."""
        for directory, folders, names in os.walk(self._path, onerror=_refuse):
            folders.sort()
            for name in sorted(names):
                path = Path(directory) / name
                relative = path.relative_to(self._path).as_posix()
                if is_ignored(relative):
                    continue
                yield relative, path.is_file() and not path.is_symlink()


def _read(opened: Iterable[tuple[str, IO[bytes]] | Rejected]) -> Iterator[tuple[str, bytes] | Rejected]:
    for item in opened:
        yield item if isinstance(item, Rejected) else (item[0], item[1].read())


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be read ({error.strerror})")
