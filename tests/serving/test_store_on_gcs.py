"""The serving store in a bucket: what the emulator of Google Cloud Storage has after each of its ways to go wrong."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner
from emulator import emulated, names_below, store_at
from google.api_core.exceptions import PreconditionFailed
from google.cloud.storage.retry import DEFAULT_RETRY
from google.protobuf import text_format
from version_folder import write_version

from nightshift import objects
from nightshift.cli import main
from nightshift.errors import ConfigurationError, StoreError
from nightshift.objects import Objects
from nightshift.protos import model_server_config_pb2
from nightshift.serving import bucket as bucket_module
from nightshift.serving import copies as copies_module
from nightshift.serving import object_lock
from nightshift.serving import store as store_module
from nightshift.serving.ledger import Event
from nightshift.serving.manifest import check_manifest, write_manifest
from nightshift.serving.storage import MAX_FILE_BYTES
from nightshift.serving.store import open_store


@pytest.fixture(scope="module")
def data():
    with emulated("data") as bucket:
        yield bucket


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    return write_version(tmp_path_factory.mktemp("store") / "times-2", 2)


@pytest.fixture
def url(data, request):
    """Of a store of the test's own."""
    name = request.node.originalname + str(abs(hash(request.node.name)))
    return f"gs://data/stores/{name}"


@pytest.fixture
def prefix(url):
    """Of its objects' names."""
    return url.removeprefix("gs://data/") + "/"


@pytest.fixture
def store(url, tmp_path):
    return store_at(url, tmp_path / "copies")


@pytest.fixture
def quick_lock(monkeypatch):
    monkeypatch.setattr(object_lock, "HOLD_SECONDS", 1.0)
    monkeypatch.setattr(object_lock, "RENEW_SECONDS", 0.2)
    monkeypatch.setattr(object_lock, "POLL_SECONDS", 0.05)


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# A version: whole or not there


def test_a_version_is_every_file_of_the_folder_and_comes_back_as_it_was(store, saved_model, data, prefix):
    version = store.publish("m", saved_model)
    assert names_below(data, f"{prefix}m/{version}/") == sorted(files_of(saved_model))
    assert store.has_version("m", version)
    assert files_of(store.version_path("m", version)) == files_of(saved_model)
    assert store.models() == ["m"]
    assert store.state("m").pending == (version, "published")
    assert store.state("m").published[version]["recipe"] == "times-2"


def test_the_manifest_is_uploaded_last(store, saved_model, monkeypatch):
    written = []
    write = Objects.write

    def recorded(self, name, send, **options):
        blob = write(self, name, send, **options)
        written.append(name.partition("/")[2].partition("/")[2])
        return blob

    monkeypatch.setattr(Objects, "write", recorded)
    store.publish("m", saved_model)
    assert sorted(written[:-1]) == sorted([*files_of(saved_model)])
    assert written[-2:] == ["manifest.json", "000001.json"]


def test_a_file_that_is_uploaded_in_several_requests_comes_back_as_it_was(store, saved_model, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(saved_model, source)
    (source / "assets").mkdir(exist_ok=True)
    (source / "assets" / "large").write_bytes(os.urandom(9 << 20))
    write_manifest(source)
    assert files_of(store.version_path("m", store.publish("m", source))) == files_of(source)


def test_a_model_server_is_given_the_url(store, url):
    store.ledger("m").append(Event("promoted", 3))
    text = text_format.MessageToString(store.server_config(candidate=("m", 4)))
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    assert model.base_path == f"{url}/m"
    assert list(model.model_version_policy.specific.versions) == [3, 4]
    assert dict(model.version_labels) == {"stable": 3}


KILLED = """
import os, signal, sys
from pathlib import Path
from nightshift.objects import Objects
from nightshift.serving.store import open_store
write = Objects.write
def killed(self, name, *arguments, **options):
    if name.endswith(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return write(self, name, *arguments, **options)
Objects.write = killed
open_store(Path(sys.argv[3])).publish("m", Path(sys.argv[1]))
"""


@pytest.mark.parametrize("killed_at", ["saved_model.pb", "variables.index", "manifest.json", "000001.json"])
def test_a_publisher_killed_anywhere_leaves_nothing_that_is_served_and_no_number_to_use_again(
    store, url, saved_model, data, prefix, tmp_path, killed_at
):
    command = [sys.executable, "-c", KILLED, saved_model, killed_at, tmp_path]
    result = subprocess.run(command, env=os.environ | {"NIGHTSHIFT_STORE": url}, capture_output=True, text=True)
    assert result.returncode == -signal.SIGKILL, result.stderr
    left = {int(name.split("/")[1]) for name in names_below(data, prefix)}
    assert store.models() == []
    assert list(store.server_config().model_config_list.config) == []
    for version in left:
        assert store.has_version("m", version) == (killed_at == "000001.json")
    published = store.publish("m", saved_model)
    assert published not in left
    assert published > max(left, default=0)
    assert list(store.state("m").published) == [published]


def test_a_number_of_a_half_written_version_is_not_used_again_even_with_a_clock_set_back(
    store, saved_model, data, prefix
):
    data.blob(f"{prefix}m/99990101000000/variables/variables.index").upload_from_string(b"")
    assert not store.has_version("m", 99990101000000)
    with pytest.raises(StoreError, match="version 99990101000000 of model 'm' is not there"):
        store.version_path("m", 99990101000000)
    assert store.publish("m", saved_model) == 99990101000001


def test_nothing_is_ever_overwritten(store, saved_model, data, prefix, monkeypatch):
    monkeypatch.setattr(time, "strftime", lambda *_: "20260101000000")
    data.blob(f"{prefix}m/20260101000000/saved_model.pb").upload_from_string(b"another's")
    monkeypatch.setattr(store_module.Store, "_fresh", lambda *_: 20260101000000)
    with pytest.raises(StoreError, match=r"gs://.*/20260101000000/saved_model\.pb: another process publishes"):
        store.publish("m", saved_model)
    assert data.blob(f"{prefix}m/20260101000000/saved_model.pb").download_as_bytes() == b"another's"
    assert not store.has_version("m", 20260101000000)
    assert store.models() == []


def test_a_source_that_changes_during_the_upload_is_not_published(store, saved_model, tmp_path, monkeypatch):
    source = tmp_path / "source"
    shutil.copytree(saved_model, source)
    write = Objects.write

    def careless(self, name, send, **options):
        if name.endswith("saved_model.pb"):
            (source / "saved_model.pb").write_bytes(b"")
        return write(self, name, send, **options)

    monkeypatch.setattr(Objects, "write", careless)
    with pytest.raises(StoreError, match=r"saved_model\.pb: its content"):
        store.publish("m", source)
    assert store.models() == []


def test_an_upload_that_arrives_otherwise_is_not_published(store, saved_model, monkeypatch):
    write = Objects.write

    def damaging(self, name, send, **options):
        if name.endswith("saved_model.pb"):
            return write(self, name, lambda blob, **o: blob.upload_from_string(b"damaged", **o), **options)
        return write(self, name, send, **options)

    monkeypatch.setattr(Objects, "write", damaging)
    with pytest.raises(StoreError, match=r"gs://.*/saved_model\.pb: uploaded with another content than"):
        store.publish("m", saved_model)
    assert store.models() == []


def test_an_upload_whose_answer_was_lost_counts(store, data, prefix):
    def twice(blob, **options):
        blob.upload_from_string(b"content", **options)
        raise PreconditionFailed("the second attempt finds the first one's object")

    store.root.objects.write("file", twice)
    assert data.blob(f"{prefix}file").download_as_bytes() == b"content"
    with pytest.raises(FileExistsError, match=r"gs://.*/file"):
        store.root.objects.write("file", twice)


# Copies here


def test_a_version_is_downloaded_once_for_each_content(store, saved_model, monkeypatch):
    first, second = store.publish("m", saved_model), store.publish("m", saved_model)
    path = store.version_path("m", first)
    monkeypatch.setattr(copies_module, "staged_directory", None)
    assert store.version_path("m", first) == store.version_path("m", second) == path


def test_a_damaged_copy_is_made_anew(store, saved_model):
    version = store.publish("m", saved_model)
    path = store.version_path("m", version)
    (path / "saved_model.pb").write_bytes(b"damaged")
    assert store.version_path("m", version) == path
    check_manifest(path)


def test_a_version_that_lost_an_object_is_named_even_with_a_copy_here(store, saved_model, data, prefix, tmp_path):
    version = store.publish("m", saved_model)
    store.version_path("m", version)
    data.blob(f"{prefix}m/{version}/saved_model.pb").delete()
    with pytest.raises(StoreError, match=rf"gs://.*/m/{version}: cannot be copied here as a whole: .*saved_model\.pb"):
        store.version_path("m", version)
    assert [path.name for path in (tmp_path / "copies").glob(".*")] == []


def test_what_is_copied_has_a_bound(store, saved_model, monkeypatch):
    version = store.publish("m", saved_model)
    monkeypatch.setattr(bucket_module, "MAX_VERSION_BYTES", 1000)
    with pytest.raises(StoreError, match="bytes, expected 1,000 at most"):
        store.version_path("m", version)
    monkeypatch.setattr(objects, "MAX_FILES", 3)
    with pytest.raises(StoreError, match="holds more than 3 objects"):
        store.version_path("m", version)


@pytest.mark.parametrize("name", ["a//b", "a/./b", "../../evil"])
def test_an_object_whose_name_is_no_safe_path_is_refused(store, saved_model, tmp_path, name):
    store.publish("m", saved_model)
    (version,) = store.state("m").published
    listed = [type("Blob", (), {"name": f"{store.root.objects.prefix}m/{version}/{name}", "size": 1, "crc32c": ""})]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Objects, "files", lambda *_, **__: listed)
        with pytest.raises(StoreError, match="no safe path"):
            store.version_path("m", version)
    assert not (tmp_path / "copies").exists()


def test_copies_that_nobody_used_lately_make_room(store, saved_model, tmp_path, monkeypatch):
    monkeypatch.setattr(copies_module, "KEPT", 1)

    def publish(number):
        source = tmp_path / f"source-{number}"
        shutil.copytree(saved_model, source)
        (source / "assets.extra" / "note.txt").write_text(str(number))
        write_manifest(source)
        return store.publish("m", source)

    versions = [publish(number) for number in range(3)]
    paths = [store.version_path("m", version) for version in versions[:2]]
    for path in paths:
        os.utime(path, (0, 0))
    store.version_path("m", versions[0])
    paths.append(store.version_path("m", versions[2]))
    assert [path.exists() for path in paths] == [True, False, True]


# The ledger


def test_events_come_back_in_their_order_and_whole(store, url, tmp_path):
    events = [Event("published", 7, facts={"metrics": {"accuracy": 0.5}}), Event("refused", 7, "größer")]
    events += [Event("promoted", version) for version in range(20)]
    for event in events:
        store.ledger("m").append(event)
    assert store.ledger("m").events() == events
    assert store_at(url, tmp_path / "other").ledger("m").events() == events
    assert store.state("m").stable == 19


def test_of_many_writers_of_one_number_one_succeeds(url, tmp_path, monkeypatch):
    barrier = threading.Barrier(8)
    create = bucket_module.Bucket.create

    def together(self, name, content):
        barrier.wait(10)
        create(self, name, content)

    monkeypatch.setattr(bucket_module.Bucket, "create", together)

    def append(number):
        try:
            store_at(url, tmp_path).ledger("m").append(Event("promoted", number))
        except StoreError as error:
            return str(error)
        return number

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(append, range(1, 9)))
    (succeeded,) = (result for result in results if isinstance(result, int))
    (refusal,) = set(results) - {succeeded}
    assert refusal == f"{url}/m/ledger/000001.json: another process records a release of this model right now"
    assert store_at(url, tmp_path).state("m").serving == (succeeded,)


@pytest.mark.parametrize("content", [b"", b"{", b'{"kind": "deleted", "version": 1}', b"\xff\xfe"])
def test_an_object_that_is_no_event_is_named(store, data, prefix, content):
    store.ledger("m").append(Event("published", 1))
    data.blob(f"{prefix}m/ledger/000002.json").upload_from_string(content)
    with pytest.raises(StoreError, match=r"gs://data/.*/m/ledger/000002\.json: (not a ledger event|kind)"):
        store.state("m")


def test_an_object_is_not_read_without_bound(store, data, prefix):
    data.blob(f"{prefix}m/ledger/000001.json").upload_from_string(b" " * (MAX_FILE_BYTES + 1))
    with pytest.raises(StoreError, match=r"000001\.json: larger than 1,048,576 bytes"):
        store.state("m")


def test_an_event_is_read_once(store, monkeypatch):
    store.ledger("m").append(Event("promoted", 1))
    store.state("m")
    monkeypatch.setattr(bucket_module, "in_words", None)
    assert store.state("m").stable == 1


# The lock


def test_the_store_is_held_by_one_at_a_time(url, tmp_path, quick_lock):
    inside, most = [], []

    def hold(number):
        with store_at(url, tmp_path).lock():
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.1)
            inside.remove(number)

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(hold, range(5)))
    assert most == [1] * 5


def test_a_lock_is_kept_for_as_long_as_its_holder_lives(store, url, tmp_path, quick_lock, monkeypatch, capsys):
    monkeypatch.setattr(store_module, "LOCK_SECONDS", 3.0)
    with store.lock():
        with pytest.raises(StoreError, match=r"\.lock: still locked by process \d+ on .* after 3 s"):
            store_at(url, tmp_path).lock().__enter__()
        assert "waiting for process" in capsys.readouterr().out
    started = time.monotonic()
    with store_at(url, tmp_path).lock():
        assert time.monotonic() - started < 0.5


def test_a_dead_holders_lock_is_taken_over(store, url, tmp_path, quick_lock):
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom nightshift.serving.store import open_store\n"
        "with open_store(Path(sys.argv[1])).lock():\n    os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", program, tmp_path], env=os.environ | {"NIGHTSHIFT_STORE": url})
    assert killed.returncode == -signal.SIGKILL
    started = time.monotonic()
    with store.lock():
        assert 1 <= time.monotonic() - started < 3


def test_a_holder_that_stood_still_learns_that_another_one_took_over(store, url, tmp_path, quick_lock, monkeypatch):
    monkeypatch.setattr(object_lock, "RENEW_SECONDS", 60.0)
    other = store_at(url, tmp_path)
    with pytest.raises(StoreError, match=r"\.lock: another process took the lock over"), store.lock(), other.lock():
        pass
    with pytest.raises(ZeroDivisionError), store.lock(), other.lock():
        raise ZeroDivisionError


# Which store, and what a person is told


def test_the_environment_names_the_bucket(url, tmp_path, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_STORE", f"{url}/")
    store = open_store(tmp_path / "models")
    assert str(store.root) == url
    assert store.identity == store_at(url, tmp_path).identity != store_at(f"{url}2", tmp_path).identity
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("named", ["gs://", "gs:///models", "gs://data/a/../b", "gs://data//b", "s3://data/models"])
def test_a_url_of_another_kind_is_refused(monkeypatch, tmp_path, named):
    monkeypatch.setenv("NIGHTSHIFT_STORE", named)
    with pytest.raises(ConfigurationError, match=rf"store: found '{named}', expected a folder or gs://BUCKET/PREFIX"):
        open_store(tmp_path)


def test_the_embedded_server_refuses_a_bucket(store, url, tmp_path, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_STORE", url)
    result = CliRunner().invoke(main, ["serve", "--port", "0", "--workspace", str(tmp_path)])
    assert result.exit_code == 1
    assert f"Error: {url}: this server reads folders; a bucket takes TensorFlow Serving" in result.output


def test_releases_are_listed_from_the_bucket(store, url, saved_model, tmp_path, monkeypatch):
    version = store.publish("m", saved_model)
    monkeypatch.setenv("NIGHTSHIFT_STORE", url)
    result = CliRunner().invoke(main, ["releases", "--json", "--workspace", str(tmp_path)])
    expected = {"model": "m", "version": version, "status": "pending", "metrics": {"accuracy": 0.5}}
    assert [json.loads(line) for line in result.output.splitlines()] == [expected]
    nothing = CliRunner().invoke(main, ["releases", "other", "--workspace", str(tmp_path)])
    assert f"{url}: nothing has been released as other there" in nothing.output


def everything(store, saved_model):
    yield lambda: store.state("m")
    yield store.models
    yield lambda: store.publish("m", saved_model)
    yield lambda: store.ledger("m").append(Event("promoted", 1))
    yield lambda: store.lock().__enter__()


def test_a_missing_bucket_is_named(data, saved_model, tmp_path):
    for act in everything(store_at("gs://missing/models", tmp_path), saved_model):
        with pytest.raises(StoreError, match=r"^gs://missing/models.*: no such bucket: create it, or mend"):
            act()


@pytest.fixture
def forbidding(data, monkeypatch):
    """In the emulator's place, a server that permits nothing."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            content = json.dumps({"error": {"code": 403, "message": "who@x does not have storage.objects.list"}})
            self.send_response(403)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content.encode())

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
    yield
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_missing_permission_is_named(forbidding, saved_model, tmp_path):
    for act in everything(store_at("gs://data/models", tmp_path), saved_model):
        with pytest.raises(StoreError, match=r"^gs://data/models.*: not permitted: grant roles/storage\.objectUser"):
            act()


def test_no_network_is_told(data, saved_model, tmp_path, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    monkeypatch.setattr(objects, "RETRY", DEFAULT_RETRY.with_timeout(0.1))
    for act in everything(store_at("gs://data/models", tmp_path), saved_model):
        with pytest.raises(StoreError, match=r"^gs://data/models.*: cannot be reached"):
            act()


def test_missing_credentials_are_told(data, saved_model, tmp_path, monkeypatch):
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))
    for act in everything(store_at("gs://data/models", tmp_path), saved_model):
        with pytest.raises(StoreError, match=r"^gs://data/models.*: no valid Google credentials: set up Workload"):
            act()


def test_a_store_in_a_folder_loads_nothing_of_google_cloud():
    program = "import sys, nightshift.cli, nightshift.serving.store\nprint('google.cloud' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
