"""The versions of a model in a folder, and whether one is whole."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import grpc
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nightshift.files import sha256_of
from nightshift.serving.status import StatusError, not_found

MANIFEST = "manifest.json"
_MAX_MANIFEST_BYTES = 16 * 2**20
_MAX_VERSION = 2**63 - 1
_SHARD = re.compile(r"variables\.data-(\d{5})-of-(\d{5})")


class _File(BaseModel):
    model_config = ConfigDict(strict=True)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)


class _Manifest(BaseModel):
    files: dict[str, _File]


def aspired_versions(base_path: Path, policy: Any) -> dict[int, Path]:
    """The versions under a folder that a policy asks for, as number and folder.

    Folders whose name is not a number are none of the server's business: writers use them for what is not complete.

    Args:
        base_path: the folder of the model.
        policy: a ServableVersionPolicy; empty means the latest one.

    Raises:
        OSError: the folder cannot be listed.
    """
    found = {
        int(entry.name): entry
        for entry in sorted(base_path.iterdir())
        if re.fullmatch(r"[0-9]{1,19}", entry.name) and int(entry.name) <= _MAX_VERSION and entry.is_dir()
    }
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return found
    if choice == "specific":
        return {number: found[number] for number in policy.specific.versions if number in found}
    count = max(policy.latest.num_versions, 1)
    return {number: found[number] for number in sorted(found)[-count:]}


def check_whole(version: Path) -> None:
    """Refuse a version that is half written or damaged.

    TensorFlow loads a folder without its variables' index and fails at the first request. So every file that
    `manifest.json` lists must be there with its size and hash or, without one, the graph and all shards.

    Raises:
        StatusError: NOT_FOUND for a missing file, DATA_LOSS for a changed one.
    """
    if (version / MANIFEST).is_file():
        _check_files(version, _read_manifest(version / MANIFEST))
        return
    if os.path.lexists(version / MANIFEST):
        raise _damaged(f"{version / MANIFEST}: found something else, expected a file")
    index = version / "variables" / "variables.index"
    for required in (version / "saved_model.pb", index):
        if not required.is_file():
            raise not_found(f"{version}: half written, {required.relative_to(version)} is missing")
    _check_shards(index.parent)


def _read_manifest(path: Path) -> Mapping[str, _File]:
    try:
        if path.stat().st_size > _MAX_MANIFEST_BYTES:
            raise _damaged(f"{path}: larger than {_MAX_MANIFEST_BYTES} bytes")
        return _Manifest.model_validate(json.loads(path.read_bytes())).files
    except (OSError, ValueError, RecursionError, ValidationError) as error:
        raise _damaged(f"{path}: cannot be read: {error}") from error


def _check_files(version: Path, files: Mapping[str, _File]) -> None:
    if "saved_model.pb" not in files:
        raise _damaged(f"{version / MANIFEST}: files: saved_model.pb is not listed")
    for name, expected in files.items():
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts:
            raise _damaged(f"{version / MANIFEST}: files: found {name!r}, expected a path inside the folder")
        path = version / relative
        if not path.is_file():
            raise not_found(f"{version}: half written, {name} is missing")
        if path.stat().st_size != expected.bytes or sha256_of(path) != expected.sha256:
            raise _damaged(f"{path}: size or SHA-256 is not the manifest's")


def _check_shards(variables: Path) -> None:
    shards = [match for entry in variables.iterdir() if (match := _SHARD.fullmatch(entry.name))]
    totals = {int(shard[2]) for shard in shards}
    if len(totals) != 1 or {int(shard[1]) for shard in shards} != set(range(min(totals))):
        found = ", ".join(sorted(shard[0] for shard in shards)) or "none"
        raise not_found(f"{variables}: half written, found the shards {found}")


def _damaged(message: str) -> StatusError:
    return StatusError(grpc.StatusCode.DATA_LOSS, message)
