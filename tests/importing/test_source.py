"""Where published SavedModels are found, how they are packed, and what is refused."""

import io
import os
import tarfile
import zipfile

import pytest

from nightshift.errors import DataError
from nightshift.importing import source

FILES = {"saved_model.pb": b"graph", "variables/variables.index": b"index", "assets/names.txt": b"names"}


def folder(path, files=FILES):
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def tar(path, files=FILES, top=""):
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for name, content in files.items():
            entry = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(f"{top}{name}")
            if isinstance(content, bytes):
                entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content if isinstance(content, bytes) else b""))
    return path


def zipped(path, files=FILES, top=""):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{top}{name}", content)
    return path


def test_one_content_is_one_model_however_it_is_packed(tmp_path, fetched):
    sources = [
        folder(tmp_path / "plain"),
        folder(tmp_path / "around" / "model").parent,
        tar(tmp_path / "hub.tar.gz", top="./"),
        tar(tmp_path / "one.tgz", top="faster_rcnn/"),
        tar(tmp_path / "plain.tar"),
        zipped(tmp_path / "model.zip"),
        zipped(tmp_path / "top.zip", top="model/"),
    ]
    found = [fetched(each) for each in sources]
    assert len({each.sha256 for each in found}) == 1
    for each in found:
        assert {file.relative_to(each.path).as_posix() for file in each.path.rglob("*") if file.is_file()} == set(FILES)
        assert (each.path / "saved_model.pb").read_bytes() == b"graph"
    assert fetched(folder(tmp_path / "other", FILES | {"saved_model.pb": b"changed"})).sha256 != found[0].sha256


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "variables/../../outside", "a\\..\\b", "bell\x07"])
@pytest.mark.parametrize("pack", [tar, zipped])
def test_a_path_that_leads_elsewhere_is_refused(name, pack, tmp_path, fetched):
    archive = pack(tmp_path / ("model.tar" if pack is tar else "model.zip"), FILES | {name: b"outside"})
    with pytest.raises(DataError, match="has an unsafe path"):
        fetched(archive)
    assert not list(tmp_path.rglob("outside"))


def link(kind):
    entry = tarfile.TarInfo("variables/link")
    entry.type, entry.linkname = kind, "/etc/passwd"
    return entry


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(kind, tmp_path, fetched):
    with pytest.raises(DataError, match="'variables/link' is a link or no regular file"):
        fetched(tar(tmp_path / "model.tar", FILES | {"variables/link": link(kind)}))


def test_a_link_in_a_folder_is_refused(tmp_path, fetched):
    os.symlink("/etc/passwd", folder(tmp_path / "model") / "assets" / "passwd")
    with pytest.raises(DataError, match="'assets/passwd' is a link"):
        fetched(tmp_path / "model")


def test_the_same_file_twice_is_refused(tmp_path, fetched):
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr("saved_model.pb", b"graph")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("saved_model.pb", b"graph")
    with pytest.raises(DataError, match=r"'saved_model\.pb' is there twice"):
        fetched(tmp_path / "model.zip")


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [
        ("MAX_FILES", 2, "holds more than 2 files"),
        ("MAX_BYTES", 8, "holds more than 8 bytes"),
        ("MAX_GRAPH_BYTES", 4, r"saved_model\.pb has 5 bytes, expected at most 4"),
    ],
)
def test_more_than_the_limits_is_refused(limit, value, message, tmp_path, fetched, monkeypatch):
    monkeypatch.setattr(source, limit, value)
    with pytest.raises(DataError, match=message):
        fetched(tar(tmp_path / "model.tar"))


def test_an_archive_that_is_cut_short_is_refused(tmp_path, fetched):
    archive = tar(tmp_path / "model.tar.gz", FILES | {"variables/variables.data": os.urandom(50_000)})
    archive.write_bytes(archive.read_bytes()[:20_000])
    with pytest.raises(DataError, match="damaged or cut short"):
        fetched(archive)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "no such file or folder"),
        ("ftp://example.com/model.zip", r"no such source \(ftp:\); expected bundled:mtcnn, https://, gs://"),
        ("bundled:yolo", r"no such source \(bundled:\)"),
        ("http://example.com/model.zip", "expected https"),
    ],
)
def test_a_source_that_is_none_is_told_with_what_there_is(name, message, fetched):
    with pytest.raises(DataError, match=message):
        fetched(name)


def test_what_is_no_saved_model_is_told_with_what_was_found(tmp_path, fetched):
    with pytest.raises(DataError, match=r"found model\.keras, notes\.txt, expected a SavedModel: saved_model\.pb"):
        fetched(zipped(tmp_path / "model.zip", {"model.keras": b"", "notes.txt": b""}))
    (tmp_path / "model.h5").write_bytes(b"")
    with pytest.raises(DataError, match=r"unknown kind; expected a folder, \.zip"):
        fetched(tmp_path / "model.h5")
