"""Sampled requests: what is kept of them, for how long, and that nobody waits or fails for it."""

import contextlib
import logging
import os
import stat
import threading
import time

import numpy as np
import pytest
from emulator import emulated

from nightshift.errors import ConfigurationError, StoreError
from nightshift.protos import classification_pb2, get_model_status_pb2, predict_pb2
from nightshift.serving import samples
from nightshift.serving.sample_files import SampleFile, sample_files
from nightshift.serving.samples import Batching, Retention, Sampler, beyond, recent
from nightshift.serving.tensors import to_array, to_proto

AT_ONCE = Batching(records=1)


@pytest.fixture(scope="module")
def bucket():
    with emulated("live") as found:
        yield found


@pytest.fixture(params=["folder", "bucket"])
def place(request, tmp_path):
    if request.param == "folder":
        return str(tmp_path / "samples")
    request.getfixturevalue("bucket")
    return f"gs://live/{tmp_path.name}"


def exchange(number, version=None):
    """A request and its answer that tell their number."""
    request, response = predict_pb2.PredictRequest(), predict_pb2.PredictResponse()
    request.model_spec.name = "digits"
    if version is not None:
        request.model_spec.version.value = version
    request.inputs["x"].CopyFrom(to_proto(np.array([number])))
    response.outputs["y"].CopyFrom(to_proto(np.array([-number])))
    return request, response


def numbers(logs):
    """Of the requests; those of the answers are held against them."""
    found = [int(to_array(log.predict_log.request.inputs["x"])[0]) for log in logs]
    assert [-int(to_array(log.predict_log.response.outputs["y"])[0]) for log in logs] == found
    return found


def test_requests_come_back_with_their_answers_the_newest_first(place):
    with Sampler(place, 1.0, batching=Batching(records=4)) as sampler:
        for number in range(10):
            sampler.offer("digits", 7, *exchange(number))
    found = recent(place, "digits", 100)
    assert sorted(numbers(found)) == list(range(10))
    assert {log.log_metadata.model_spec.version.value for log in found} == {7}
    assert numbers(recent(place, "digits", 3)) == numbers(found)[:3]
    assert (sampler.kept, sampler.dropped) == (10, 0)
    assert len(sample_files(place).listed("digits")) == 3


def test_the_order_is_that_of_the_files_times(place):
    with Sampler(place, 1.0) as sampler:
        for number in (1, 2):
            sampler.offer("digits", 5, *exchange(number))
    files = sample_files(place)
    content = files.read("digits", *files.listed("digits"))
    for name in ("4/20300101T000002Z-00000000", "9/20300101T000001Z-00000000", "1/20290101T000003Z-00000000"):
        files.write("digits", f"{name}.tfrecord", content)
    assert [file.version for file in files.listed("digits")][:3] == [4, 9, 1]
    assert numbers(recent(place, "digits", 4)) == [2, 1, 2, 1]


def test_versions_are_kept_apart(place):
    with Sampler(place, 1.0) as sampler:
        for number in range(6):
            sampler.offer("digits", number % 2 + 1, *exchange(number))
    assert sorted(numbers(recent(place, "digits", 9, version=2))) == [1, 3, 5]
    assert recent(place, "digits", 9, version=3) == recent(place, "other", 9) == []


def test_only_a_share_is_kept(tmp_path):
    with Sampler(str(tmp_path), 0.05) as sampler:
        for number in range(4000):
            sampler.offer("digits", 1, *exchange(number))
    assert 100 < sampler.kept + sampler.dropped < 320  # 200 expected; beyond 5 standard deviations is a defect


def test_classify_is_kept_and_what_is_no_prediction_is_not(tmp_path):
    with Sampler(str(tmp_path), 1.0) as sampler:
        sampler.offer(
            "digits", 1, classification_pb2.ClassificationRequest(), classification_pb2.ClassificationResponse()
        )
        sampler.offer(
            "digits", 1, get_model_status_pb2.GetModelStatusRequest(), get_model_status_pb2.GetModelStatusResponse()
        )
    assert [log.WhichOneof("log_type") for log in recent(str(tmp_path), "digits", 9)] == ["classify_log"]


def test_requests_of_a_version_by_its_number_are_trials_and_not_kept(tmp_path):
    with Sampler(str(tmp_path), 1.0) as sampler:
        sampler.offer("digits", 1, *exchange(1, version=1))
        sampler.offer("digits", 1, *exchange(2))
    assert numbers(recent(str(tmp_path), "digits", 9)) == [2]


def test_a_sample_is_of_the_moment_of_the_offer(tmp_path):
    request, response = exchange(1)
    with Sampler(str(tmp_path), 1.0) as sampler:
        sampler.offer("digits", 1, request, response)
        request.Clear()
    assert numbers(recent(str(tmp_path), "digits", 9)) == [1]


def test_a_few_requests_are_written_when_the_first_is_old_enough(tmp_path):
    with Sampler(str(tmp_path), 1.0, batching=Batching(seconds=0.05)) as sampler:
        sampler.offer("digits", 1, *exchange(1))
        wait(lambda: recent(str(tmp_path), "digits", 9))


def wait(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def stuck(monkeypatch):
    """A disk that takes nothing until the block ends."""

    @contextlib.contextmanager
    def until_told():
        free, busy = threading.Event(), threading.Event()

        def write(self, model, name, content):
            busy.set()
            assert free.wait(60)

        monkeypatch.setattr("nightshift.serving.sample_files.InFolder.write", write)
        try:
            yield busy
        finally:
            free.set()

    return until_told


def test_while_the_disk_hangs_offers_return_and_what_has_no_room_is_dropped(tmp_path, stuck):
    sampler = Sampler(str(tmp_path), 1.0, batching=Batching(records=1, waiting=5))
    with stuck() as busy:
        for number in range(50):
            sampler.offer("digits", 1, *exchange(number))
            assert number or busy.wait(60)
        assert sampler.dropped == 45
    sampler.close()
    assert sampler.kept == 5


def test_what_waits_is_bounded_in_bytes_too(tmp_path, stuck):
    sampler = Sampler(str(tmp_path), 1.0, batching=Batching(records=1, waiting_bytes=10_000))
    with stuck():
        large = predict_pb2.PredictRequest()
        large.inputs["x"].CopyFrom(to_proto(np.zeros(4000, np.uint8)))
        for _ in range(10):
            sampler.offer("digits", 1, large, predict_pb2.PredictResponse())
        assert sampler.dropped == 8
    sampler.close()


def test_what_has_no_room_is_not_even_copied(tmp_path, monkeypatch):
    large = predict_pb2.PredictRequest()
    large.inputs["x"].CopyFrom(to_proto(np.zeros(10_001, np.uint8)))
    copied = []
    monkeypatch.setattr(samples, "_log", lambda *exchange: copied.append(exchange))
    with Sampler(str(tmp_path), 1.0, batching=Batching(records=1, waiting_bytes=10_000)) as sampler:
        sampler.offer("digits", 1, large, predict_pb2.PredictResponse())
    assert (copied, sampler.kept, sampler.dropped) == ([], 0, 1)


def test_a_place_that_cannot_be_written_costs_samples_and_nothing_else(tmp_path, caplog):
    with caplog.at_level(logging.WARNING), Sampler(str(tmp_path / "file"), 1.0, batching=AT_ONCE) as sampler:
        (tmp_path / "file").write_text("in the way")
        sampler.offer("digits", 1, *exchange(1))
        wait(lambda: sampler.dropped)
        sampler.offer("digits", 1, *exchange(2))
    assert (sampler.kept, sampler.dropped) == (0, 2)
    assert "samples of digits were not kept" in caplog.text
    assert "Traceback" not in caplog.text


def test_what_cannot_be_serialised_does_not_fail_the_request(tmp_path, caplog):
    with Sampler(str(tmp_path), 1.0) as sampler:
        sampler.offer("digits", 1, predict_pb2.PredictRequest(), "no message")
    assert "could not be sampled" in caplog.text


@pytest.mark.parametrize("model", ["../up", "", "a/b", ".hidden"])
def test_names_that_are_no_plain_ones_reach_no_path(tmp_path, model):
    with Sampler(str(tmp_path / "samples"), 1.0) as sampler:
        sampler.offer(model, 1, *exchange(1))
    assert not list(tmp_path.iterdir())
    with pytest.raises(StoreError, match="expected letters"):
        recent(str(tmp_path), model, 1)


def test_only_the_owner_can_read_them(tmp_path):
    with Sampler(str(tmp_path / "samples"), 1.0) as sampler:
        sampler.offer("digits", 1, *exchange(1))
    for folder, _, names in os.walk(tmp_path / "samples" / "digits"):
        for path in [folder, *(os.path.join(folder, name) for name in names)]:
            assert not stat.S_IMODE(os.stat(path).st_mode) & 0o077


def test_a_model_keeps_so_many_files_over_all_its_versions(place):
    with Sampler(place, 1.0, batching=AT_ONCE, retention=Retention(files=3)) as sampler:
        for number in range(8):
            sampler.offer("digits", number % 3, *exchange(number))
    assert len(sample_files(place).listed("digits")) == 3


def test_what_is_old_or_too_much_goes():
    def file(size, day):
        return SampleFile(f"1/209901{day:02d}T000000Z-{day:08x}.tfrecord", size)

    newest_first = [file(size, 20 - place) for place, size in enumerate((50, 50, 10))]
    assert beyond(newest_first, Retention(bytes=100)) == newest_first[2:]
    assert beyond(newest_first, Retention(bytes=10)) == newest_first[1:]
    assert beyond([SampleFile("1/20200101T000000Z-00000000.tfrecord", 1)], Retention()) != []
    assert beyond(newest_first, Retention(files=0)) == newest_first


def test_a_damaged_file_is_left_out_and_told(tmp_path, caplog):
    with Sampler(str(tmp_path), 1.0, batching=AT_ONCE) as sampler:
        sampler.offer("digits", 1, *exchange(1))
        sampler.offer("digits", 1, *exchange(2))
    first = next((tmp_path / "digits" / "1").iterdir())
    first.write_bytes(first.read_bytes()[:-9])
    (tmp_path / "digits" / "1" / ".20300101T000000Z-00000000.tfrecord.partial").write_bytes(b"half")
    (tmp_path / "digits" / "1" / "notes.tfrecord").write_bytes(b"somebody else's")
    assert len(recent(str(tmp_path), "digits", 9)) == 1
    assert f"left out of the samples: {tmp_path}/digits/1/{first.name}" in caplog.text


def test_a_huge_file_is_not_read(tmp_path):
    path = tmp_path / "digits" / "1" / "20300101T000000Z-00000000.tfrecord"
    path.parent.mkdir(parents=True)
    with open(path, "wb") as file:
        file.truncate(33 << 20)
    with pytest.raises(StoreError, match="larger than 33,554,432 bytes"):
        recent(str(tmp_path), "digits", 1)


def test_a_file_that_retention_takes_while_it_is_looked_at_is_not_missed(place):
    with Sampler(place, 1.0) as sampler:
        sampler.offer("digits", 1, *exchange(1))
    files = sample_files(place)
    file = files.listed("digits")[0]
    files.delete("digits", file)
    files.delete("digits", file)
    with pytest.raises(FileNotFoundError):
        files.read("digits", file)


@pytest.mark.parametrize("place", ["", "s3://bucket", "gs://", "gs://bucket/../other"])
def test_a_place_that_is_none_is_named(place):
    with pytest.raises(ConfigurationError, match="expected a folder or gs://BUCKET/PREFIX"):
        Sampler(place, 1.0)


def test_a_bucket_that_is_none_is_told_of_the_samples():
    with pytest.raises(ConfigurationError, match=r"^samples: found 'gs://'"):
        sample_files("gs://")


@pytest.mark.parametrize("below", ["", "below/it"])
@pytest.mark.parametrize("use", [lambda place: Sampler(place, 1.0), lambda place: recent(place, "digits", 1)])
def test_a_file_in_the_place_of_the_folder_is_not_taken_for_no_samples(tmp_path, use, below):
    file = tmp_path / "file"
    file.write_text("in the way")
    with pytest.raises(StoreError, match=f"samples: found a file at {file}, expected a folder"):
        use(str(file / below))


def test_a_file_in_the_place_of_a_models_folder_is_an_error(tmp_path):
    (tmp_path / "digits").write_text("in the way")
    with pytest.raises(StoreError, match="digits: Not a directory"):
        recent(str(tmp_path), "digits", 1)


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.1, float("nan")])
def test_a_rate_is_a_share(tmp_path, rate):
    with pytest.raises(ConfigurationError, match="sample rate"):
        Sampler(str(tmp_path), rate)


def test_the_environment_asks_for_a_clients_sampler(tmp_path, monkeypatch):
    monkeypatch.delenv("NIGHTSHIFT_SAMPLE_RATE", raising=False)
    monkeypatch.setenv("NIGHTSHIFT_SAMPLES", str(tmp_path))
    assert samples.sampler_of_environment() is None
    monkeypatch.setenv("NIGHTSHIFT_SAMPLE_RATE", "0.25")
    sampler = samples.sampler_of_environment()
    assert (sampler.place, sampler.rate) == (str(tmp_path), 0.25)
    sampler.close()
    monkeypatch.setenv("NIGHTSHIFT_SAMPLE_RATE", "often")
    with pytest.raises(ConfigurationError, match="NIGHTSHIFT_SAMPLE_RATE: found 'often'"):
        samples.sampler_of_environment()
