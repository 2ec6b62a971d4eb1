"""The files of a store in a folder: what is there is whole and durable, since files are linked and folders renamed."""

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copy2

from nightshift.errors import StoreError
from nightshift.files import exclusive_lock, remove_stale_partials, staged_directory, sync_directory, write_atomic
from nightshift.serving.manifest import check_manifest
from nightshift.serving.storage import MAX_FILE_BYTES

LOCK, KNOCK = ".lock", ".knock"
KNOCK_SECONDS = 0.5
"""How often who is in a hurry says so again: the store may have passed to a third one."""


@dataclass(frozen=True)
class Folder:
    """Files below a folder; see storage.Files."""

    root: Path

    def url(self, name: str = "") -> str:
        """See Files."""
        return str((self.root / name).resolve())

    def folders(self, name: str = "") -> list[str]:
        """See Files."""
        return sorted(path.name for path in (self.root / name).glob("[!.]*") if path.is_dir())

    def names(self, folder: str) -> list[str]:
        """See Files."""
        return sorted(path.name for path in (self.root / folder).glob("[!.]*") if path.is_file())

    def contents(self, folder: str) -> dict[str, bytes]:
        """See Files."""
        return {name: _read(self.root / folder / name) for name in self.names(folder)}

    def create(self, name: str, content: bytes) -> None:
        """See Files."""
        target = self.root / name
        try:
            _create(target, content)
        except FileExistsError:
            raise
        except OSError as error:
            raise StoreError(f"{target}: cannot be written: {error.strerror or error}") from error

    def put_version(self, name: str, saved_model: Path, proceed: Callable[[], None]) -> None:
        """See Files."""

        def copy(source: str, target: str) -> None:
            proceed()
            try:
                copy2(source, target)
            except OSError as error:  # copytree would go on with the other files, to fail at the end without a reason
                raise StoreError(f"{target}: cannot be written from {source}: {error.strerror}") from error

        target = self.root / name
        remove_stale_partials(target.parent, older_than=0)  # their writers are dead: one releases at a time
        with staged_directory(target) as staging:
            shutil.copytree(saved_model, staging, dirs_exist_ok=True, copy_function=copy)
            check_manifest(staging)

    def has_version(self, name: str) -> bool:
        """See Files."""
        return (self.root / name).is_dir()

    def get_version(self, name: str) -> Path:
        """See Files."""
        return self.root / name

    def remove_version(self, name: str) -> None:
        """See Files. What a killed removal leaves has a name that the next copy clears away."""
        target = self.root / name
        gone = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.removed.partial")
        os.rename(target, gone)
        sync_directory(target.parent)
        shutil.rmtree(gone, ignore_errors=True)

    def age(self, name: str) -> float:
        """See Files."""
        folder = self.root / name
        # When it was put there: what is copied keeps its times of modification.
        return time.time() - max(path.stat().st_ctime for path in (folder, *folder.rglob("*")))

    @contextmanager
    def lock(self, seconds: float, tell: Callable[[str], None], wanted_for: str) -> Iterator["_Hold"]:
        """See Files."""
        with ExitStack() as stack:
            if wanted_for:
                self._enter_urgently(stack, seconds, tell, wanted_for)
            else:
                stack.enter_context(exclusive_lock(self.root / LOCK, tell, seconds))
            yield _Hold(self.root / KNOCK, _knock(self.root / KNOCK))

    def _enter_urgently(self, stack: ExitStack, seconds: float, tell: Callable[[str], None], wanted_for: str) -> None:
        """Wait for the lock, knocking."""
        deadline = time.monotonic() + seconds
        told: list[str] = []

        def once(text: str) -> None:
            if not told:
                tell(text)
            told.append(text)

        while True:
            try:
                stack.enter_context(exclusive_lock(self.root / LOCK, once, KNOCK_SECONDS))
            except TimeoutError:
                if time.monotonic() > deadline:
                    raise
                write_atomic(self.root / KNOCK, f"{wanted_for} {uuid.uuid4().hex}".encode())
            else:
                return


@dataclass(frozen=True)
class _Hold:
    """See storage.Hold. The operating system keeps the lock for as long as the process lives."""

    knock: Path
    heard: bytes

    def check(self) -> None:
        """See Hold."""

    def wanted(self) -> str:
        """See Hold."""
        found = _knock(self.knock)
        return found.decode(errors="replace").partition(" ")[0] if found != self.heard else ""


def _create(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.") as file:
        file.write(content)
        file.flush()
        os.fchmod(file.fileno(), 0o644)
        os.fsync(file.fileno())
        os.link(file.name, target)  # a link is never put in the place of a file, a rename would be
    sync_directory(target.parent)


def _knock(path: Path) -> bytes:
    """What the last one wrote who was in a hurry."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _read(path: Path) -> bytes:
    with open(path, "rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise StoreError(f"{path}: larger than {MAX_FILE_BYTES:,} bytes")
    return content
