"""The published data sets by name, downloaded once and checked against the checksums of their publishers."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nightshift.data.arrays import ArrayFile
from nightshift.data.cifar import CifarArchive
from nightshift.data.examples import Source
from nightshift.data.fetch import download
from nightshift.data.idx import IdxFiles
from nightshift.errors import DataError
from nightshift.files import exclusive_lock

KERAS = "https://storage.googleapis.com/tensorflow/tf-keras-datasets"


@dataclass(frozen=True)
class Original:
    """A data set: where its files are, `ALGORITHM:HEX` of each, and what reads the folder they are in."""

    base: str
    files: dict[str, str]
    reader: Callable[[Path, bool], Source]


ORIGINALS = {
    "mnist": Original(
        KERAS,
        {"mnist.npz": "sha256:731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"},
        lambda folder, labelled: ArrayFile(folder / "mnist.npz", labelled),
    ),
    # Keras names no checksums for these; they are those of https://github.com/zalandoresearch/fashion-mnist
    "fashion_mnist": Original(
        KERAS,
        {
            "train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "md5:25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "md5:bb300cfdad3c16e7a12a480ee83cd310",
        },
        lambda folder, labelled: IdxFiles(folder),
    ),
    "cifar10": Original(
        "https://www.cs.toronto.edu/~kriz",
        {"cifar-10-binary.tar.gz": "md5:c32a1d4ab5d03f1284b67883e8d87530"},
        lambda folder, labelled: CifarArchive(folder / "cifar-10-binary.tar.gz"),
    ),
}


def open_original(name: str, labelled: bool, cache: Path, say: Callable[[str], None]) -> Source:
    """The reader of a published data set, downloaded if the cache has no whole copy.

    Raises:
        DataError: no such name, the download failed, or its checksum is another.
    """
    if name not in ORIGINALS:
        raise DataError(f"original:{name}: no such data set; there are {', '.join(ORIGINALS)}")
    original = ORIGINALS[name]
    folder = cache / "originals" / name
    with exclusive_lock(folder / ".lock", say):
        for file, checksum in original.files.items():
            target = folder / file
            if target.exists() and _checksum(target, checksum) == checksum:
                continue
            url = f"{original.base}/{file}"
            download(url, target, say)
            found = _checksum(target, checksum)
            if found != checksum:
                target.unlink()
                raise DataError(f"{url}: found {found}, expected {checksum}")
    return original.reader(folder, labelled)


def _checksum(path: Path, like: str) -> str:
    """A file's checksum by the algorithm of another."""
    algorithm = like.partition(":")[0]
    with open(path, "rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"
