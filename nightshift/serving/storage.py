"""Where a store keeps its files: a folder, or the objects below a prefix of a bucket, by one interface."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

MAX_FILE_BYTES = 1 << 20
"""Of a file that is read as a whole, such as an event."""


class Hold(Protocol):
    """The store in the hand of one process, which others may ask for."""

    def check(self) -> None:
        """Go on only while it is ours: asked before every change.

        Raises:
            StoreError: another process may have taken it over.
        """

    def wanted(self) -> str:
        """The model for which somebody in a hurry has asked for the store since it is ours, '' if nobody has."""


class Files(Protocol):
    """Files by their names below the store's root, '/' between the parts; one with a leading '.' is not listed."""

    def url(self, name: str = "") -> str:
        """What a model server, or a person, calls it: an absolute path or gs://BUCKET/NAME."""

    def folders(self, name: str = "") -> list[str]:
        """The names of the folders in one, sorted."""

    def names(self, folder: str) -> list[str]:
        """The names of the files in a folder, sorted; none if there is no such folder."""

    def contents(self, folder: str) -> dict[str, bytes]:
        """Those files, whole.

        Raises:
            StoreError: one is larger than MAX_FILE_BYTES.
        """

    def create(self, name: str, content: bytes) -> None:
        """Write a file durably, whole or not at all.

        Raises:
            FileExistsError: there is one; it stays as it is.
            StoreError: it cannot be written.
        """

    def put_version(self, name: str, saved_model: Path, proceed: Callable[[], None]) -> None:
        """Copy a SavedModel; has_version holds once it is there as a whole.

        Args:
            name: of the version's folder.
            saved_model: what is copied.
            proceed: called before each file; what it raises ends the copy.

        Raises:
            StoreError: its files are not those of its manifest, or not after the copy.
            FileExistsError: another process writes a version of that name.
        """

    def has_version(self, name: str) -> bool:
        """Whether a SavedModel is there as a whole."""

    def get_version(self, name: str) -> Path:
        """A local folder with a SavedModel's files; not to be written to.

        Raises:
            StoreError: it cannot be had as a whole.
        """

    def remove_version(self, name: str) -> None:
        """Take a version away, or what is left of one: has_version says no from the first moment on."""

    def age(self, name: str) -> float:
        """Seconds since something was last written in a version's folder; infinite if it is empty."""

    def lock(self, seconds: float, tell: Callable[[str], None], wanted_for: str) -> AbstractContextManager[Hold]:
        """Hold the store for the block.

        Args:
            seconds: to wait for it.
            tell: told once for whom this process waits.
            wanted_for: a model for which whoever holds it is asked to give it back soon; '': nobody is asked.

        Raises:
            TimeoutError: another process has held it for so many seconds.
        """
