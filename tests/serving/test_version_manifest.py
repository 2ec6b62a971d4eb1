"""The list of a version's files finds everything that is not as it was written."""

import json
import os

import pytest

from nightshift.errors import StoreError
from nightshift.serving.manifest import check_manifest, write_manifest


@pytest.fixture
def version(tmp_path):
    folder = tmp_path / "version"
    for name in ("saved_model.pb", "variables/variables.index", "assets.extra/labels.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"content of {name}")
    (folder / "empty").touch()
    write_manifest(folder)
    return folder


def test_a_version_as_written_passes(version):
    check_manifest(version)


def test_writing_it_again_changes_nothing(version):
    before = (version / "manifest.json").read_bytes()
    write_manifest(version)
    assert (version / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index", "empty"])
def test_a_missing_file_is_named(version, name):
    (version / name).unlink()
    with pytest.raises(StoreError, match=f"{name}: missing"):
        check_manifest(version)


def test_an_altered_file_of_the_same_size_is_named(version):
    path = version / "saved_model.pb"
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    with pytest.raises(StoreError, match=r"saved_model\.pb: its content"):
        check_manifest(version)


@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_cut_short_or_grown_is_named(version, change):
    path = version / "variables" / "variables.index"
    os.truncate(path, path.stat().st_size + change)
    with pytest.raises(StoreError, match=r"variables/variables\.index: its content"):
        check_manifest(version)


@pytest.mark.parametrize("name", ["extra", "variables/manifest.json", "variables/.hidden"])
def test_a_file_that_is_not_listed_is_named(version, name):
    (version / name).write_text("new")
    with pytest.raises(StoreError, match=f"{name}: not in the manifest"):
        check_manifest(version)


def test_a_folder_without_manifest_is_half_written(version):
    (version / "manifest.json").unlink()
    with pytest.raises(StoreError, match=r"manifest\.json: not there; the version is half written"):
        check_manifest(version)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "3",
        "{}",
        '{"files": 3}',
        '{"files": ["saved_model.pb"]}',
        '{"files": {"saved_model.pb": 3}}',
        '{"files": {"saved_model.pb": {}}}',
        '{"files": {"saved_model.pb": {"bytes": "x", "sha256": ""}}}',
        "[" * 100_000,
        b"\xff",
    ],
    ids=lambda content: str(content)[:40],
)
def test_a_manifest_that_is_none_is_named(version, content):
    (version / "manifest.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(StoreError, match=r"manifest\.json: not a list of files"):
        check_manifest(version)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname"])
def test_a_manifest_never_leads_out_of_its_folder(version, name):
    (version.parent / "secret").write_text("secret")
    listed = json.loads((version / "manifest.json").read_text())
    listed["files"][name] = {"bytes": 6, "sha256": "0" * 64}
    (version / "manifest.json").write_text(json.dumps(listed))
    with pytest.raises(StoreError, match="missing"):
        check_manifest(version)
