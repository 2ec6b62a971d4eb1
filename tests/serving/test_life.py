"""The life of versions in the real server, under requests."""

import shutil
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from half_plus_two import write_warmup

from nightshift.protos import model_server_config_pb2
from nightshift.serving.client import ServerRefusedError
from nightshift.serving.config import model_config, server_config

X = np.array([2.0], np.float32)


def until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def states(client):
    return {status.version: status.state for status in client.status("m")}


def config(publish_path, **options):
    return server_config([model_config("m", publish_path.parent, **options)])


def test_versions_change_under_requests_and_none_fails(publish, launch):
    _, client = launch(config(publish(1)))
    seen, failures, done = [], [], threading.Event()

    def ask():
        while not done.is_set():
            try:
                seen.append(client.predict("m", {"x": X}, label=None).version)
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in (2, 3):
        publish(number)
        until(lambda number=number: states(client).get(number) == "AVAILABLE")
    until(lambda: states(client) == {3: "AVAILABLE", 2: "END", 1: "END"})
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert set(seen) == {1, 2, 3}


@pytest.mark.parametrize(
    ("missing", "code"),
    [
        ("saved_model.pb", "saved_model.pb is missing"),
        ("variables/variables.index", "variables.index is missing"),
        ("variables/variables.data-00000-of-00001", "shards none"),
    ],
)
def test_a_half_written_version_is_refused_and_the_old_one_goes_on(publish, launch, tmp_path, missing, code):
    _, client = launch(config(publish(1)))
    half = publish(2, model="elsewhere")
    (half / missing).unlink()
    half.rename(tmp_path / "models" / "m" / "2")
    until(lambda: states(client) == {2: "END", 1: "AVAILABLE"})
    assert code in client.status("m")[0].error
    assert client.predict("m", {"x": X}, label=None).version == 1


def test_a_graph_that_is_none_is_refused(publish, launch):
    version = publish(1)
    (version / "saved_model.pb").write_bytes(b"\xff" * 100)
    _, client = launch(config(version))
    (status,) = client.status("m")
    assert status.state == "END"
    assert status.error


def test_deleting_a_version_unloads_it(publish, launch):
    version = publish(1)
    _, client = launch(config(version))
    shutil.rmtree(version)
    until(lambda: states(client) == {1: "END"})
    assert client.status("m")[0].error == ""
    with pytest.raises(ServerRefusedError, match=r"Latest\(m\)"):
        client.predict("m", {"x": X}, label=None)


def test_a_version_answers_its_warm_up_requests_before_it_is_served(publish, launch):
    version = publish(1)
    write_warmup(version, X, count=3)
    _, client = launch(config(version))
    assert states(client) == {1: "AVAILABLE"}


@pytest.mark.parametrize("problem", ["refused", "damaged", "too many", "unparsable"])
def test_a_warm_up_that_fails_fails_the_load(publish, launch, problem):
    version = publish(1)
    write_warmup(version, X[None] if problem == "refused" else X, count=1001 if problem == "too many" else 1)
    file = version / "assets.extra" / "tf_serving_warmup_requests"
    if problem == "damaged":
        file.write_bytes(file.read_bytes()[:-3])
    if problem == "unparsable":
        with tf.io.TFRecordWriter(str(file)) as writer:
            writer.write(b"\xff\xff")
    _, client = launch(config(version))
    (status,) = client.status("m")
    assert status.state == "END"
    expected = {
        "refused": "is not compatible with expected shape",
        "damaged": "truncated record",
        "too many": "Number of warmup records exceeds the maximum (1000)",
        "unparsable": "Failed to parse warmup record",
    }
    assert expected[problem] in status.error


def test_a_release_adds_a_version_and_then_moves_the_label(publish, launch):
    first = publish(1)
    _, client = launch(config(first, versions=[1]))
    client.reload(config(first, versions=[1], labels={"stable": 1}))
    publish(2)
    with pytest.raises(ServerRefusedError) as error:
        client.reload(config(first, versions=[1, 2], labels={"stable": 2}))
    assert error.value.code == "FAILED_PRECONDITION"
    assert client.predict("m", {"x": X}).version == 1
    client.reload(config(first, versions=[1, 2], labels={"stable": 1}))
    until(lambda: states(client) == {2: "AVAILABLE", 1: "AVAILABLE"})
    assert client.predict("m", {"x": X}).version == 1
    client.reload(config(first, versions=[1, 2], labels={"stable": 2}))
    assert client.predict("m", {"x": X}).version == 2


def test_a_reload_answers_when_a_new_model_is_available(publish, launch):
    _, client = launch(server_config([]))
    client.reload(config(publish(1)))
    assert states(client) == {1: "AVAILABLE"}


def test_a_reload_says_that_a_new_model_failed(publish, launch):
    version = publish(1)
    (version / "saved_model.pb").unlink()
    _, client = launch(server_config([]))
    with pytest.raises(ServerRefusedError, match=r"1 model\(s\) did not become available") as error:
        client.reload(config(version))
    assert error.value.code == "UNKNOWN"


def test_a_reload_of_something_else_is_refused(launch):
    _, client = launch(server_config([]))
    with pytest.raises(ServerRefusedError, match="Only ModelConfigList is currently supported"):
        client.reload(model_server_config_pb2.ModelServerConfig())
