"""The list of a version's files with their hashes, by which a half-written or altered one is known. No TensorFlow."""

import json
from pathlib import Path

from nightshift.errors import StoreError
from nightshift.files import sha256_of, write_json

NAME = "manifest.json"


def write_manifest(saved_model: Path) -> None:
    """List every file of a SavedModel's folder in manifest.json, which is written last."""
    files = {name: saved_model / name for name in sorted(_files(saved_model))}
    listed = {name: {"sha256": sha256_of(path), "bytes": path.stat().st_size} for name, path in files.items()}
    write_json(saved_model / NAME, {"files": listed})


def check_manifest(saved_model: Path) -> None:
    """Compare the folder with its manifest.

    Raises:
        StoreError: no manifest, a file is missing or has other content, or one is there that is not listed.
    """
    path = saved_model / NAME
    try:
        listed = {
            name: (int(facts["bytes"]), str(facts["sha256"]))
            for name, facts in json.loads(path.read_text())["files"].items()
        }
    except FileNotFoundError:
        raise StoreError(f"{path}: not there; the version is half written or not one of ours") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreError(f"{path}: not a list of files: {error}") from error
    there = _files(saved_model)
    for name in sorted(there ^ set(listed)):
        raise StoreError(f"{saved_model / name}: {'not in the manifest' if name in there else 'missing'}")
    for name, (size, sha256) in listed.items():
        file = saved_model / name
        if (found := file.stat().st_size) != size:
            raise StoreError(f"{file}: its content is not that of the manifest: found {found} bytes, expected {size}")
        if (digest := sha256_of(file)) != sha256:
            raise StoreError(
                f"{file}: its content is not that of the manifest: found SHA-256 {digest}, expected {sha256}"
            )


def _files(saved_model: Path) -> set[str]:
    """The relative paths of all files but the manifest itself."""
    names = {path.relative_to(saved_model).as_posix() for path in saved_model.rglob("*") if path.is_file()}
    return names - {NAME}
