"""The files of a store in a folder: what is there is whole and durable, since files are linked and folders renamed."""

import os
import shutil
import tempfile
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from nightshift.errors import StoreError
from nightshift.files import exclusive_lock, remove_stale_partials, staged_directory, sync_directory
from nightshift.serving.manifest import check_manifest
from nightshift.serving.storage import MAX_FILE_BYTES


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
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
            os.link(file.name, target)  # a link is never put in the place of a file, a rename would be
        sync_directory(target.parent)

    def put_version(self, name: str, saved_model: Path) -> None:
        """See Files."""
        target = self.root / name
        remove_stale_partials(target.parent, older_than=0)  # their writers are dead: one releases at a time
        with staged_directory(target) as staging:
            shutil.copytree(saved_model, staging, dirs_exist_ok=True)
            check_manifest(staging)

    def has_version(self, name: str) -> bool:
        """See Files."""
        return (self.root / name).is_dir()

    def get_version(self, name: str) -> Path:
        """See Files."""
        return self.root / name

    def lock(self, seconds: float) -> AbstractContextManager[None]:
        """See Files."""
        return exclusive_lock(self.root / ".lock", print, seconds)


def _read(path: Path) -> bytes:
    with open(path, "rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise StoreError(f"{path}: larger than {MAX_FILE_BYTES:,} bytes")
    return content
