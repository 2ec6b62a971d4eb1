"""From the address of a published SavedModel to its files in a folder of our own: checked, bounded, never run here.

bundled:mtcnn            a face detector, made from an installed package
https://..., gs://...    downloaded to the workspace's cache
a path                   .zip, .tar, .tar.gz, .tgz, or a folder
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from nightshift.data.archives import Damaged, Tar, Zip
from nightshift.data.bundled import package_folder
from nightshift.data.examples import Rejected
from nightshift.data.folders import Folder
from nightshift.data.sources import SCHEME, TAR_ENDINGS
from nightshift.errors import DataError
from nightshift.files import sha256_of
from nightshift.provenance import hash_of_sources

GRAPH = "saved_model.pb"
FACE_DETECTOR = "bundled:mtcnn"
FACE_DETECTOR_SOURCES = ("importing/face_detector.py",)
SCHEMES = ("bundled:mtcnn", "https://", "gs://")

MAX_FILES = 10_000
MAX_BYTES = 16 * 2**30
"""Of all files together, and of each."""

MAX_GRAPH_BYTES = 256 * 2**20
"""Of saved_model.pb, which is parsed in memory; weights are not in it."""

CHUNK_BYTES = 2**20

Say = Callable[[str], None]


@dataclass(frozen=True)
class Published:
    """A published SavedModel as it was found.

    Attributes:
        path: the folder with saved_model.pb.
        uri: where it came from.
        sha256: hex; of the names and contents of its files, however they were packed.
    """

    path: Path
    uri: str
    sha256: str


class _Tree(Protocol):
    def opened(self) -> Iterator[tuple[str, IO[bytes]] | Rejected]: ...


def fetch_saved_model(uri: str, folder: Path, cache: Path, say: Say) -> Published:
    """Copy a published SavedModel into a folder.

    Args:
        uri: see the module; TensorFlow Hub's archives and such with one folder around everything will both do.
        folder: empty.
        cache: of downloads.
        say: told how far a download is.

    Raises:
        DataError: nothing is there, it cannot be fetched, its kind is unknown, it is too large, holds links or unsafe
            paths, or no SavedModel.
    """
    if not uri:
        raise DataError("no source: expected the address of a published SavedModel")
    if uri == FACE_DETECTOR:
        from nightshift.importing.face_detector import save_face_detector  # TensorFlow

        save_face_detector(folder)
        return Published(folder, uri, _face_detector_hash())
    _copy(_opened(uri, cache, say), folder, uri)
    root = _root(folder, uri)
    size = (root / GRAPH).stat().st_size
    if size > MAX_GRAPH_BYTES:
        raise DataError(f"{uri}: {GRAPH} has {size} bytes, expected at most {MAX_GRAPH_BYTES}")
    return Published(root, uri, Folder(root, MAX_BYTES).identity().rpartition(":")[2])


def _face_detector_hash() -> str:
    """Of what it is made from: the file that is written differs each time, as TensorFlow numbers its functions."""
    weights = sorted((package_folder("mtcnn") / "assets" / "weights").glob("*.lz4"))
    parts = [hash_of_sources(FACE_DETECTOR_SOURCES), *(sha256_of(file) for file in weights)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _opened(uri: str, cache: Path, say: Say) -> _Tree:
    scheme = uri.partition(":")[0].lower()
    # HTTP and storage clients load when they are needed.
    if uri.lower().startswith(("https://", "http://")):
        from nightshift.data.fetch import fetch

        return _local(fetch(uri, cache, say), uri)
    if uri.lower().startswith("gs://"):
        from nightshift.data.storage import fetch_objects

        return _local(fetch_objects(uri, cache, say), uri)
    path = Path(uri).expanduser()
    # Not Path.exists, which raises where a URI is too long for a file's name.
    if SCHEME.match(uri) and not os.path.exists(path):
        raise DataError(
            f"{uri}: there is no such source ({scheme}:); expected {', '.join(SCHEMES)} or the path of a folder or "
            "archive that is there"
        )
    return _local(path, uri)


def _local(path: Path, uri: str) -> _Tree:
    if path.is_dir():
        _root(path, uri)  # before all of it is copied
        return Folder(path, MAX_BYTES)
    if not path.exists():
        raise DataError(f"{uri}: no such file or folder")
    name = path.name.lower()
    if name.endswith(".zip"):
        return Zip(path, MAX_BYTES)
    if name.endswith(TAR_ENDINGS):
        return Tar(path, MAX_BYTES)
    raise DataError(f"{uri}: unknown kind; expected a folder, .zip, {', '.join(TAR_ENDINGS)}")


def _copy(tree: _Tree, folder: Path, uri: str) -> None:
    total = 0
    for number, item in enumerate(tree.opened()):
        if isinstance(item, Rejected):
            raise DataError(f"{uri}: {item.key!r} {item.reason}")
        name, stream = item
        if number >= MAX_FILES:
            raise DataError(f"{uri}: holds more than {MAX_FILES} files")
        target = _target(folder, name, uri)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(target, "xb") as file:
                shutil.copyfileobj(stream, file, CHUNK_BYTES)
        except (FileExistsError, NotADirectoryError):
            raise DataError(f"{uri}: {name!r} is there twice") from None
        except Damaged as error:
            raise DataError(f"{uri}: {name!r} cannot be read: damaged or cut short ({error})") from None
        total += target.stat().st_size
        if total > MAX_BYTES:
            raise DataError(f"{uri}: holds more than {MAX_BYTES} bytes")


def _target(folder: Path, name: str, uri: str) -> Path:
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\\" in name or not name.isprintable():
        raise DataError(f"{uri}: {name!r} has an unsafe path")
    return folder.joinpath(*parts)


def _root(folder: Path, uri: str) -> Path:
    """The folder itself, or the only one in it."""
    found = sorted(folder.iterdir())
    for root in (folder, *(found if len(found) == 1 else ())):
        if (root / GRAPH).is_file():
            return root
    names = ", ".join(path.name for path in found[:10]) or "nothing"
    raise DataError(f"{uri}: found {names}, expected a SavedModel: {GRAPH} and variables/, in one folder at most")
