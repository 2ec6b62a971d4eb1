"""Files in a .zip or a tar, of images unless said otherwise. Members are read one by one and never extracted: their
names are only names."""

import gzip
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, cast

from nightshift.data.examples import Rejected
from nightshift.data.forward import ForwardFile
from nightshift.data.layout import is_ignored
from nightshift.data.limits import MAX_ENCODED_BYTES, MAX_MEMBERS, MAX_RATIO, MAX_TOTAL_BYTES
from nightshift.errors import DataError
from nightshift.files import sha256_of

ENCRYPTED = 0x1
RATIO_SLACK = 64 * 2**20

LEAST_PART = 256
MAX_PARTS = 512

Damaged = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    EOFError,
    OSError,
    NotImplementedError,
    UnicodeDecodeError,
)


class Zip:
    """The files of a zip archive, each of at most `largest` bytes, or as an image may have."""

    def __init__(self, path: Path, largest: int | None = None) -> None:
        self._path = path
        self._largest = MAX_ENCODED_BYTES if largest is None else largest

    def identity(self) -> str:
        """SHA-256 of the archive."""
        return f"zip sha256:{sha256_of(self._path)}"

    def names(self) -> Iterator[str]:
        """The paths of all regular files."""
        with _errors_in_words(self._path), zipfile.ZipFile(self._path) as archive:
            _check_total(self._path, archive)
            yield from (info.filename for info in _members(archive) if not _fault(info, self._largest))

    def size(self) -> int:
        """Bytes of the archive."""
        return self._path.stat().st_size

    def files(self) -> Iterator[tuple[str, bytes] | Rejected]:
        """Paths and contents; links, encrypted and oversized members are rejected.

        Raises:
            DataError: the archive is damaged or too large.
        """
        return self.files_of((0, None))

    def parts(self) -> Iterator[tuple[int, int]]:
        """First member of a part and of the next, in the order of the directory.

        Every part reads that directory again: there are at most MAX_PARTS.
        """
        with _errors_in_words(self._path), zipfile.ZipFile(self._path) as archive:
            _check_total(self._path, archive)
            members = sum(1 for _ in _members(archive))
        step = max(LEAST_PART, -(-members // MAX_PARTS))
        return ((start, start + step) for start in range(0, members, step))

    def files_of(self, part: tuple[int, int | None]) -> Iterator[tuple[str, bytes] | Rejected]:
        """As `files`, of one part."""
        return _contents(self._path, self._opened(part))

    def opened(self) -> Iterator[tuple[str, IO[bytes]] | Rejected]:
        """As `files`, but with the content as a stream, open until the next one is asked for."""
        return self._opened((0, None))

    def _opened(self, part: tuple[int, int | None]) -> Iterator[tuple[str, IO[bytes]] | Rejected]:
        with _errors_in_words(self._path), zipfile.ZipFile(self._path) as archive:
            _check_total(self._path, archive)
            for info in islice(_members(archive), *part):
                if fault := _fault(info, self._largest):
                    yield Rejected(info.filename, fault)
                    continue
                with archive.open(info) as file:
                    # A member gives no more bytes than its entry declares: zipfile stops there and compares the CRC.
                    yield info.filename, file


class Tar:
    """The files of a tar archive, compressed or not, each of at most `largest` bytes, or as an image may have."""

    def __init__(self, path: Path, largest: int | None = None) -> None:
        self._path = path
        self._largest = MAX_ENCODED_BYTES if largest is None else largest

    def identity(self) -> str:
        """SHA-256 of the archive."""
        return f"tar sha256:{sha256_of(self._path)}"

    def size(self) -> int:
        """Bytes of the archive."""
        return self._path.stat().st_size

    def names(self) -> Iterator[str]:
        """The paths of all regular files."""
        return (item for item, _ in self._read() if isinstance(item, str))

    def files(self) -> Iterator[tuple[str, bytes] | Rejected]:
        """Paths and contents; links, devices and oversized members are rejected.

        Raises:
            DataError: the archive is damaged or too large.
        """
        return _contents(self._path, self.opened())

    def opened(self) -> Iterator[tuple[str, IO[bytes]] | Rejected]:
        """As `files`, but with the content as a stream, open until the next one is asked for."""
        for item, file in self._read():
            if isinstance(item, Rejected):
                yield item
            elif file is not None:
                yield item, file

    def _read(self) -> Iterator[tuple[str | Rejected, IO[bytes] | None]]:
        """Every member, a file that is open until the next one is asked for."""
        total = found = 0
        limit = _most_bytes(self._path)
        with _errors_in_words(self._path), _opened_tar(self._path) as archive:
            for member in archive:
                total += member.size
                found += 1
                if total > limit or found > MAX_MEMBERS:
                    raise DataError(f"{self._path}: holds more than {limit} bytes or {MAX_MEMBERS} files")
                # tarfile keeps every member's header for look-ups that a stream cannot serve.
                archive.members.clear()  # type: ignore[attr-defined]
                if member.isdir() or is_ignored(member.name):
                    continue
                if not member.isreg():
                    yield Rejected(member.name, "is a link or no regular file"), None
                elif member.size > self._largest:
                    yield Rejected(member.name, _too_large(member.size, self._largest)), None
                else:
                    yield member.name.removeprefix("./"), archive.extractfile(member)


@contextmanager
def _opened_tar(path: Path) -> Iterator[tarfile.TarFile]:
    opener = open if path.name.lower().endswith(".tar") else gzip.open
    with cast(IO[bytes], opener(path, "rb")) as stream:
        forward = ForwardFile(stream)
        with tarfile.TarFile(fileobj=cast(IO[bytes], forward), mode="r", errorlevel=2) as archive:
            yield archive
        forward.check_end()


def _contents(path: Path, opened: Iterator[tuple[str, IO[bytes]] | Rejected]) -> Iterator[tuple[str, bytes] | Rejected]:
    with _errors_in_words(path):  # the checksum of a member is compared when it is read
        for item in opened:
            yield item if isinstance(item, Rejected) else (item[0], item[1].read())


@contextmanager
def _errors_in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except Damaged as error:
        raise DataError(f"{path}: the archive is damaged or cut short ({error})") from None


def _members(archive: zipfile.ZipFile) -> Iterator[zipfile.ZipInfo]:
    return (info for info in archive.infolist() if not info.is_dir() and not is_ignored(info.filename))


def _fault(info: zipfile.ZipInfo, largest: int) -> str:
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a link or no regular file"
    if info.flag_bits & ENCRYPTED:
        return "is encrypted"
    return _too_large(info.file_size, largest) if info.file_size > largest else ""


def _check_total(path: Path, archive: zipfile.ZipFile) -> None:
    total, found, limit = sum(info.file_size for info in archive.infolist()), len(archive.infolist()), _most_bytes(path)
    if total > limit or found > MAX_MEMBERS:
        raise DataError(f"{path}: declares {total} bytes in {found} files, expected at most {limit} in {MAX_MEMBERS}")


def _most_bytes(path: Path) -> int:
    """Uncompressed bytes that an archive of this size may hold."""
    return min(MAX_TOTAL_BYTES, path.stat().st_size * MAX_RATIO + RATIO_SLACK)


def _too_large(size: int, largest: int) -> str:
    return f"has {size} bytes, expected at most {largest}"
