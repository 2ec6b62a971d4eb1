import hashlib
import json

import pytest

from nightshift.protos import model_server_config_pb2
from nightshift.serving.status import StatusError
from nightshift.serving.versions import aspired_versions, check_whole


def policy(**choice):
    return model_server_config_pb2.ModelConfig(model_version_policy=choice).model_version_policy


@pytest.fixture
def base(tmp_path):
    for name in ("1", "2", "10", ".3.partial", "4.tmp", "-5", "six", "99999999999999999999"):
        (tmp_path / name).mkdir()
    (tmp_path / "11").write_text("a file")
    return tmp_path


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({}, {10}),
        ({"latest": {}}, {10}),
        ({"latest": {"num_versions": 2}}, {2, 10}),
        ({"all": {}}, {1, 2, 10}),
        ({"specific": {"versions": [1, 7]}}, {1}),
    ],
)
def test_numbered_folders_are_versions_and_the_policy_chooses(base, choice, expected):
    found = aspired_versions(base, policy(**choice))
    assert set(found) == expected
    assert all(path == base / str(number) for number, path in found.items())


@pytest.fixture
def version(tmp_path):
    folder = tmp_path / "1"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(b"index")
    (folder / "variables" / "variables.data-00000-of-00002").write_bytes(b"0")
    (folder / "variables" / "variables.data-00001-of-00002").write_bytes(b"1")
    return folder


def write_manifest(folder, **changes):
    files = {
        str(path.relative_to(folder)): {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "bytes": path.stat().st_size,
        }
        for path in folder.rglob("*")
        if path.is_file()
    }
    (folder / "manifest.json").write_text(json.dumps({"files": files | changes}))


def test_a_whole_version_passes_with_and_without_a_manifest(version):
    check_whole(version)
    write_manifest(version)
    check_whole(version)


@pytest.mark.parametrize(
    "missing",
    ["saved_model.pb", "variables/variables.index", "variables/variables.data-00001-of-00002"],
)
@pytest.mark.parametrize("with_manifest", [False, True])
def test_a_missing_file_is_not_found(version, missing, with_manifest):
    if with_manifest:
        write_manifest(version)
    (version / missing).unlink()
    with pytest.raises(StatusError, match="half written") as error:
        check_whole(version)
    assert error.value.code.name == "NOT_FOUND"


@pytest.mark.parametrize("content", [b"grapf", b"grap"])
def test_a_changed_file_is_data_loss(version, content):
    write_manifest(version)
    (version / "saved_model.pb").write_bytes(content)
    with pytest.raises(StatusError, match=r"saved_model\.pb: size or SHA-256") as error:
        check_whole(version)
    assert error.value.code.name == "DATA_LOSS"


@pytest.mark.parametrize(
    "manifest",
    [
        "",
        "[" * 100_000,
        "{}",
        '{"files": []}',
        '{"files": {}}',
        '{"files": {"saved_model.pb": {"sha256": "short", "bytes": 1}}}',
        '{"files": {"saved_model.pb": {"bytes": 1}}}',
    ],
    ids=lambda text: text[:40],
)
def test_a_manifest_that_says_nothing_is_data_loss(version, manifest):
    (version / "manifest.json").write_text(manifest)
    with pytest.raises(StatusError, match=r"manifest\.json") as error:
        check_whole(version)
    assert error.value.code.name == "DATA_LOSS"


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "variables/../../outside"])
def test_a_manifest_cannot_name_files_outside_its_folder(version, name):
    (version.parent / "outside").write_bytes(b"")
    write_manifest(version, **{name: {"sha256": hashlib.sha256(b"").hexdigest(), "bytes": 0}})
    with pytest.raises(StatusError, match="expected a path inside the folder"):
        check_whole(version)
