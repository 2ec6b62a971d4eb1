"""Copies on this machine of versions that are kept elsewhere: made once for each content, and not for ever."""

import contextlib
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nightshift.errors import StoreError
from nightshift.files import remove_stale_partials, staged_directory
from nightshift.serving.manifest import check_manifest

KEPT = 32
KEPT_SECONDS = 86_400.0


@dataclass(frozen=True)
class Copies:
    """Folders named by the content that they are a copy of.

    Beyond the KEPT ones that were used last, those go that were not used for KEPT_SECONDS.
    """

    root: Path

    def folder(self, key: str, fill: Callable[[Path], None]) -> Path:
        """The copy of that content, made by `fill`, in an empty folder, if it is not there or damaged.

        Raises:
            StoreError: what `fill` wrote does not agree with its manifest.
        """
        copy = self.root / key
        if not _is_whole(copy):
            self._make_room()
            with staged_directory(copy, replace=copy.exists()) as staging:
                fill(staging)
                check_manifest(staging)
        os.utime(copy)
        return copy

    def _make_room(self) -> None:
        remove_stale_partials(self.root)
        used = sorted(((path.stat().st_mtime, path) for path in self.root.glob("[!.]*")), reverse=True)
        for moment, path in used[KEPT:]:
            if time.time() - moment > KEPT_SECONDS:
                shutil.rmtree(path, ignore_errors=True)


def _is_whole(copy: Path) -> bool:
    with contextlib.suppress(StoreError):
        check_manifest(copy)
        return True
    return False
