"""From a source URI to the reader of what it names.

bundled:mnist-5k, bundled:photographs    data inside installed packages
original:mnist, ...                      a published data set, downloaded once
https://..., gs://...                    downloaded to the workspace's cache
a path                                   .npz, .zip, .tar, .tar.gz, .tgz, or a folder
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

from nightshift.data.archives import Tar, Zip
from nightshift.data.arrays import ArrayFile
from nightshift.data.bundled import BundledMnist
from nightshift.data.examples import Source
from nightshift.data.folders import Folder
from nightshift.data.photographs import BundledPhotographs
from nightshift.data.trees import DivisibleImageTree, ImageTree
from nightshift.errors import DataError
from nightshift.tasks.base import Task

BUNDLED = ("mnist-5k", "photographs")
SCHEMES = ("bundled:", "original:", "https://", "gs://")
TAR_ENDINGS = (".tar", ".tar.gz", ".tgz")

SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
"""What a URI begins with; a single letter would be a drive of Windows."""


def open_source(uri: str, task: Task, seed: int, cache: Path, say: Callable[[str], None]) -> Source:
    """The reader of a source; downloads what is not on this machine.

    Raises:
        DataError: nothing is there, it cannot be fetched, or its scheme or kind is unknown.
    """
    scheme, separator, rest = uri.partition(":")
    scheme = scheme.lower()
    if scheme == "bundled" and separator:
        return _bundled(rest, task, seed)
    # HTTP and storage clients load when they are needed.
    if scheme == "original" and separator:
        from nightshift.data.originals import open_original

        return open_original(rest, task.labelled, cache, say)
    if scheme in ("http", "https") and separator:
        from nightshift.data.fetch import fetch

        return local_source(fetch(uri, cache, say), task, uri)
    if scheme == "gs" and separator:
        from nightshift.data.storage import fetch_objects

        return local_source(fetch_objects(uri, cache, say), task, uri)
    path = Path(uri).expanduser()
    # Not Path.exists, which raises where a URI is too long for a file's name.
    if SCHEME.match(uri) and not os.path.exists(path):
        raise DataError(
            f"{uri}: the scheme {scheme!r} is not supported; "
            f"expected {', '.join(SCHEMES)} or the path of a file or folder that is there"
        )
    return local_source(path, task, uri)


def local_source(path: Path, task: Task, uri: str) -> Source:
    """The reader of a file or folder; `uri` is its name in errors."""
    if path.is_dir():
        return DivisibleImageTree(Folder(path), task.labelled, uri)
    if not path.exists():
        raise DataError(f"{uri}: no such file or folder")
    name = path.name.lower()
    if name.endswith(".npz"):
        return ArrayFile(path, task.labelled)
    if name.endswith(".zip"):
        return DivisibleImageTree(Zip(path), task.labelled, uri)
    if name.endswith(TAR_ENDINGS):
        return ImageTree(Tar(path), task.labelled, uri)
    raise DataError(f"{uri}: unknown kind; expected a folder, .npz, .zip, {', '.join(TAR_ENDINGS)}")


def _bundled(name: str, task: Task, seed: int) -> Source:
    if name == "mnist-5k":
        return BundledMnist()
    if name == "photographs":
        return BundledPhotographs(task.image_shape, seed)
    raise DataError(f"bundled:{name}: no such data; there are {', '.join(BUNDLED)}")
