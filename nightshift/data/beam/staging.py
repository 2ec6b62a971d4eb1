"""The folder between the stages: on a disk that all workers see, or in a bucket that Beam's file systems know."""

import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from nightshift.errors import ConfigurationError
from nightshift.files import remove_stale_partials

BINARY = "application/octet-stream"
FOLDERS = ("work", "failed", "spool", "shards")


@dataclass(frozen=True)
class Staging:
    """A folder or prefix; small enough to go to every worker.

    Attributes:
        root: a path, or a URI such as gs://BUCKET/PREFIX.
        local: whether it is a path.
    """

    root: str
    local: bool

    def path(self, *names: str) -> str:
        """Of a file in it."""
        return str(FileSystems.join(self.root, *names))

    def create(self, *names: str) -> IO[bytes]:
        """A new file, open for writing."""
        return cast(IO[bytes], FileSystems.create(self.path(*names), BINARY, CompressionTypes.UNCOMPRESSED))

    def open(self, *names: str) -> IO[bytes]:
        """A file, open for reading."""
        return cast(IO[bytes], FileSystems.open(self.path(*names), BINARY, CompressionTypes.UNCOMPRESSED))

    def names(self, folder: str) -> list[str]:
        """Of the files in one of its folders."""
        if self.local:
            return [path.name for path in Path(self.root, folder).iterdir()]
        (found,) = FileSystems.match([self.path(folder, "*")])
        return [FileSystems.split(file.path)[1] for file in found.metadata_list]


def unique(name: str) -> str:
    """A file's name for one attempt: a runner may try anything twice, and at once."""
    return f"{name}-{uuid.uuid4().hex[:12]}"


@contextmanager
def staged(temporary: str, folder: Path, say: Callable[[str], None]) -> Iterator[Staging]:
    """An empty one, removed at the end.

    Args:
        temporary: `--temp_location`: a path or a URI; '': none.
        folder: to use then.
        say: told if it could not be removed from a bucket, which is no reason to fail: the work is done.

    Raises:
        ConfigurationError: of `temporary` Beam knows no file system here, or nothing can be written there.
    """
    if temporary and FileSystems.get_scheme(temporary):
        yield from _in_bucket(temporary, say)
    else:
        yield from _on_disk(Path(temporary).absolute() if temporary else folder)


def _in_bucket(temporary: str, say: Callable[[str], None]) -> Iterator[Staging]:
    staging = Staging(f"{temporary.rstrip('/')}/{unique('nightshift')}", local=False)
    try:
        with staging.create("note") as file:
            file.write(b"What passes between the stages of a data preparation. Removed at its end.\n")
    except (ValueError, OSError, BeamIOError) as error:
        raise ConfigurationError(f"Beam flags: --temp_location={temporary}: {error}") from None
    try:
        yield staging
    finally:
        try:
            FileSystems.delete([f"{staging.root}/"])
        except (OSError, BeamIOError) as error:
            say(f"{staging.root}: could not be removed and can be deleted by hand ({' '.join(str(error).split())})")


def _on_disk(parent: Path) -> Iterator[Staging]:
    parent.mkdir(parents=True, exist_ok=True)
    remove_stale_partials(parent)
    root = parent / f".{unique('beam')}.partial"
    try:
        for name in FOLDERS:
            (root / name).mkdir(parents=True)
        yield Staging(str(root), local=True)
    finally:
        shutil.rmtree(root, ignore_errors=True)
