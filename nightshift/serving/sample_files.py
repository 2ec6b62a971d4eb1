"""Where sampled requests are kept: files PLACE/MODEL/VERSION/TIME-RANDOM.tfrecord, in a folder or a bucket.

A file is there as a whole or not at all, and never changed. In a folder only its owner can read it: requests may hold
what concerns persons.
"""

import contextlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from nightshift.errors import ConfigurationError, StoreError
from nightshift.files import sync_directory

MAX_FILE_BYTES = 32 << 20
"""Of a file that is read."""
NAME = re.compile(r"(?P<version>[0-9]{1,19})/(?P<time>[0-9]{8}T[0-9]{6}Z)-[0-9a-f]{8}\.tfrecord", re.ASCII)
"""Below the model: version, UTC time, and digits that keep two writers apart."""
GONE = FileNotFoundError
_SCHEME = "gs://"


@dataclass(frozen=True)
class SampleFile:
    """One file of a model's samples.

    Attributes:
        name: VERSION/TIME-RANDOM.tfrecord.
        size: in bytes.
    """

    name: str
    size: int

    @property
    def version(self) -> int:
        """The version that answered the requests in it."""
        return int(self.name.partition("/")[0])

    @property
    def time(self) -> str:
        """When it was written, as YYYYMMDDThhmmssZ."""
        return self.name.rpartition("/")[2].partition("-")[0]


class SampleFiles(Protocol):
    """The files of every model at one place."""

    def url(self, model: str) -> str:
        """What a person calls a model's part of it."""

    def listed(self, model: str) -> list[SampleFile]:
        """A model's files, the newest first.

        Raises:
            StoreError: the place cannot be listed.
        """

    def read(self, model: str, file: SampleFile) -> bytes:
        """The content of one.

        Raises:
            FileNotFoundError: it is not there any more.
            StoreError: it cannot be read, or is larger than MAX_FILE_BYTES.
        """

    def write(self, model: str, name: str, content: bytes) -> None:
        """Add one.

        Raises:
            StoreError: that cannot be done.
        """

    def delete(self, model: str, file: SampleFile) -> None:
        """Remove one, unless somebody was faster.

        Raises:
            StoreError: that cannot be done.
        """


def sample_files(place: str) -> SampleFiles:
    """The files at a folder or gs://BUCKET/PREFIX; nothing is asked of a network yet.

    Raises:
        ConfigurationError: it is neither, or what Google Cloud Storage needs is not installed.
        StoreError: a file is where the folder would be.
    """
    if not place:
        raise ConfigurationError(f"samples: found '', expected a folder or {_SCHEME}BUCKET/PREFIX")
    if not place.startswith(_SCHEME):
        if "://" in place:
            raise ConfigurationError(f"samples: found {place!r}, expected a folder or {_SCHEME}BUCKET/PREFIX")
        return InFolder(_folder(Path(place).expanduser().absolute()))
    try:
        from nightshift.objects import Objects  # not before it is needed: it takes time to load
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"samples: {place} needs the package {error.name}, see the extra `train`") from error
    return InBucket(Objects.at(place, "samples"))


def _folder(path: Path) -> Path:
    """The path, if there is a folder or can be one; without samples there is none yet."""
    with _in_words(str(path)):
        there = next(one for one in (path, *path.parents) if one.exists())
        folder = there.is_dir()
    if not folder:
        raise StoreError(f"samples: found a file at {there}, expected a folder")
    return path


@dataclass(frozen=True)
class InFolder:
    """Files below a folder; see SampleFiles."""

    root: Path

    def url(self, model: str) -> str:
        """See SampleFiles."""
        return str(self.root / model)

    def listed(self, model: str) -> list[SampleFile]:
        """See SampleFiles."""
        found = []
        # Not a glob: that takes what it may not read, or is no folder, for an empty one.
        with contextlib.suppress(GONE), _in_words(self.url(model)), os.scandir(self.root / model) as versions:
            for version in versions:
                if version.name.isdecimal() and version.is_dir():
                    found += _of_version(version)
        return _newest_first(found)

    def read(self, model: str, file: SampleFile) -> bytes:
        """See SampleFiles."""
        path = self.root / model / file.name
        with _in_words(str(path)), open(path, "rb") as opened:
            content = opened.read(MAX_FILE_BYTES + 1)
        _check_size(str(path), len(content))
        return content

    def write(self, model: str, name: str, content: bytes) -> None:
        """See SampleFiles."""
        path = self.root / model / name
        with _in_words(str(path)):
            self.root.mkdir(parents=True, exist_ok=True)
            for folder in (path.parent.parent, path.parent):
                folder.mkdir(mode=0o700, exist_ok=True)
            handle, aside = tempfile.mkstemp(prefix=".", suffix=".partial", dir=path.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.rename(aside, path)
            except BaseException:
                with contextlib.suppress(GONE):
                    os.unlink(aside)
                raise
            sync_directory(path.parent)

    def delete(self, model: str, file: SampleFile) -> None:
        """See SampleFiles."""
        path = self.root / model / file.name
        with contextlib.suppress(GONE), _in_words(str(path)):
            path.unlink()
        with contextlib.suppress(OSError):
            path.parent.rmdir()  # of a version that has no samples left


@dataclass(frozen=True)
class InBucket:
    """Objects below a prefix of a bucket; see SampleFiles.

    Attributes:
        objects: a serving.objects.Objects.
    """

    objects: Any

    def url(self, model: str) -> str:
        """See SampleFiles."""
        return str(self.objects.url(model))

    def listed(self, model: str) -> list[SampleFile]:
        """See SampleFiles."""
        prefix = f"{self.objects.prefix}{model}/"
        blobs = self.objects.files(model, deep=True)
        return _newest_first([SampleFile(blob.name.removeprefix(prefix), blob.size) for blob in blobs])

    def read(self, model: str, file: SampleFile) -> bytes:
        """See SampleFiles."""
        from google.cloud.exceptions import NotFound

        from nightshift.objects import RETRY, in_words

        name = f"{model}/{file.name}"
        blob = self.objects.get(name)
        if blob is None:
            raise FileNotFoundError(self.objects.url(name))
        _check_size(self.objects.url(name), blob.size)
        with in_words(self.objects.url(name)):
            try:
                content: bytes = blob.download_as_bytes(if_generation_match=blob.generation, retry=RETRY)
            except NotFound as error:
                raise FileNotFoundError(2, "gone", self.objects.url(name)) from error
        return content

    def write(self, model: str, name: str, content: bytes) -> None:
        """See SampleFiles."""
        self.objects.write(
            f"{model}/{name}", lambda blob, **options: blob.upload_from_string(content, **options), over=0
        )

    def delete(self, model: str, file: SampleFile) -> None:
        """See SampleFiles."""
        from google.cloud.exceptions import NotFound

        from nightshift.objects import RETRY, in_words

        blob = self.objects.get(f"{model}/{file.name}")
        if blob is None:
            return
        with in_words(self.objects.url(f"{model}/{file.name}")), contextlib.suppress(NotFound):
            blob.delete(if_generation_match=blob.generation, retry=RETRY)


def _of_version(version: os.DirEntry[str]) -> list[SampleFile]:
    found = []
    with contextlib.suppress(GONE), os.scandir(version) as entries:
        for entry in entries:
            with contextlib.suppress(GONE):
                found.append(SampleFile(f"{version.name}/{entry.name}", entry.stat().st_size))
    return found


def _newest_first(files: list[SampleFile]) -> list[SampleFile]:
    """Those whose names are of our form; the names' times sort as texts."""
    ours = [file for file in files if NAME.fullmatch(file.name)]
    return sorted(ours, key=lambda file: (file.time, file.name), reverse=True)


def _check_size(url: str, size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise StoreError(f"{url}: larger than {MAX_FILE_BYTES:,} bytes")


class _in_words(contextlib.AbstractContextManager["_in_words"]):  # noqa: N801  reads as a statement
    """Let what the operating system raises, but for a file that is gone, end as a StoreError."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, OSError) and not isinstance(error, GONE):
            raise StoreError(f"{self._url}: {error.strerror or error}") from error
