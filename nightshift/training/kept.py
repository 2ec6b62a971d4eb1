"""Where a training's checkpoint is, a folder or a bucket: in both it is whole or not there."""

import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from nightshift.errors import WorkspaceError
from nightshift.files import write_atomic

if TYPE_CHECKING:
    from nightshift.objects import Objects

NAME = "checkpoint.npz"


class Kept(Protocol):
    """The checkpoint of one training, in the hand of one process. Its text is where it is, for people."""

    def read(self) -> bytes | None:
        """The content, or None if there is none."""

    def write(self, content: bytes) -> None:
        """Replace it; the one before stays until this one is complete."""


class InFolder:
    """A file."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / NAME

    def __str__(self) -> str:
        return str(self._path)

    def read(self) -> bytes | None:
        """See Kept; parts that killed processes left are deleted."""
        for part in self._path.parent.glob(f".{NAME}.*"):
            with contextlib.suppress(FileNotFoundError):
                part.unlink()
        return self._path.read_bytes() if self._path.exists() else None

    def write(self, content: bytes) -> None:
        """See Kept."""
        write_atomic(self._path, content)


class InBucket:
    """An object, written only in the place of the generation that this process has read or written."""

    def __init__(self, objects: "Objects", key: str) -> None:
        self._objects = objects
        self._name = f"{key}/{NAME}"
        self._generation = 0

    def __str__(self) -> str:
        return self._objects.url(self._name)

    def read(self) -> bytes | None:
        """See Kept.

        Raises:
            StoreError: no bucket, no permission or no network.
        """
        from nightshift.objects import RETRY, in_words

        blob = self._objects.get(self._name)
        self._generation = blob.generation if blob else 0
        if blob is None:
            return None
        with in_words(str(self)):
            content: bytes = blob.download_as_bytes(if_generation_match=self._generation, retry=RETRY)
        return content

    def write(self, content: bytes) -> None:
        """See Kept.

        Raises:
            StoreError: see read.
            WorkspaceError: another process writes it as well.
        """

        def send(blob: Any, **conditions: Any) -> None:
            blob.upload_from_file(io.BytesIO(content), size=len(content), **conditions)

        try:
            blob = self._objects.write(self._name, send, over=self._generation)
        except FileExistsError as error:
            raise WorkspaceError(f"{self}: another process trains the same and has written it meanwhile") from error
        self._generation = blob.generation


def kept_at(directory: Path, place: str) -> Kept:
    """The checkpoint of the training whose folder is `directory`.

    Args:
        directory: named by the training's key.
        place: where checkpoints are, a folder or gs://BUCKET/PREFIX; '': in the training's own folder.

    Raises:
        ConfigurationError: the place is a URL of another kind.
    """
    if not place:
        return InFolder(directory)
    if "://" not in place:
        return InFolder(Path(place).expanduser() / directory.name)
    from nightshift.objects import Objects

    return InBucket(Objects.at(place, "NIGHTSHIFT_CHECKPOINTS"), directory.name)
