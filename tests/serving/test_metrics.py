"""Prometheus: the text form, TensorFlow Serving's names, and series that no client can multiply."""

import http.client
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from rest import ask

from nightshift.errors import ConfigurationError
from nightshift.serving.client import Client, ServerRefusedError, ServerUnavailableError
from nightshift.serving.config import model_config, server_config
from nightshift.serving.embedded import metrics
from nightshift.serving.embedded.metrics import MICROSECONDS, Counter, Gauge, Histogram, page
from nightshift.serving.embedded.monitoring import DEFAULT_PATH, read_metrics_path

REQUESTS = ":tensorflow:serving:request_count"
LATENCY = ":tensorflow:serving:request_latency"
RUNTIME = ":tensorflow:serving:runtime_latency"


def samples(text):
    """Name and labels to value, as prometheus_client reads them."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name
            if f"# TYPE {family.name} counter\n" in text:
                name = name.removesuffix("_total")  # the parser adds it, as OpenMetrics would have it
            found[name, frozenset(sample.labels.items())] = sample.value
    return found


def labelled(name, **labels):
    return name, frozenset(labels.items())


def scraped(server, path=DEFAULT_PATH):
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=10)
    connection.request("GET", path)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return samples(text)


@pytest.fixture
def running(publish, launch):
    config = server_config([model_config("m", publish(1).parent)])
    return launch(config, rest_port=0, metrics_path=DEFAULT_PATH)


# The text form


def test_the_text_is_what_prometheus_reads():
    counter, histogram = Counter("c", "A counter.", ("a", "b")), Histogram("h", "A histogram.", (), (1.0, 10.0))
    counter.add("x", "y")
    counter.add("x", "y", by=2)
    for value in (0.5, 1.0, 5.0, 100.0):
        histogram.observe(value)
    gauge = Gauge("g", "A gauge.", ("a",), lambda: {("x",): 1.5})
    text = page([counter, histogram, gauge]).decode()
    assert "# TYPE c counter\n" in text
    assert "# TYPE h histogram\n" in text
    assert samples(text) == {
        labelled("c", a="x", b="y"): 3,
        labelled("h_bucket", le="1"): 2,
        labelled("h_bucket", le="10"): 3,
        labelled("h_bucket", le="+Inf"): 4,
        labelled("h_sum"): 106.5,
        labelled("h_count"): 4,
        labelled("g", a="x"): 1.5,
    }


@given(st.text())
def test_any_value_of_a_label_survives(value):
    counter = Counter("c", "A counter.", ("a",))
    counter.add(value)
    assert samples(page([counter]).decode("utf-8", "surrogatepass")) == {labelled("c", a=value): 1}


def test_there_are_no_more_series_than_that_and_the_longest_unused_go_first(monkeypatch):
    monkeypatch.setattr(metrics, "MAX_SERIES", 3)
    counter = Counter("c", "A counter.", ("a",))
    for value in ("1", "2", "3", "1", "4"):
        counter.add(value)
    assert samples(page([counter]).decode()) == {
        labelled("c", a="1"): 2,
        labelled("c", a="3"): 1,
        labelled("c", a="4"): 1,
    }


def test_counts_of_many_threads_are_all_there():
    counter, histogram = Counter("c", "A counter.", ()), Histogram("h", "A histogram.", ())

    def count():
        for _ in range(2000):
            counter.add()
            histogram.observe(1.0)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = samples(page([counter, histogram]).decode())
    assert found[labelled("c")] == found[labelled("h_count")] == found[labelled("h_sum")] == 8000


def test_the_buckets_are_tensorflow_serving_s():
    assert len(MICROSECONDS) == 33
    assert [f"{bound:g}" for bound in MICROSECONDS[:4]] == ["10", "18", "32.4", "58.32"]


# The server's


def test_requests_are_counted_and_timed_by_tensorflow_serving_s_names(running):
    server, client = running
    for _ in range(3):
        client.predict("m", {"x": np.float32([2])}, label=None)
    with pytest.raises(ServerRefusedError):
        client.predict("m", {"z": np.float32([2])}, label=None)
    assert ask(server, "/v1/models/m:predict", "POST", {"instances": [2]})[0] == 200
    assert ask(server, "/v1/models/m:predict", "POST", {"instances": ["a"]})[0] == 400
    found = scraped(server)
    assert found[labelled(REQUESTS, model_name="m", status="OK")] == 4
    assert found[labelled(REQUESTS, model_name="m", status="INVALID_ARGUMENT")] == 2
    assert found[labelled(f"{LATENCY}_count", model_name="m", API="Predict", entrypoint="GRPC")] == 3
    assert found[labelled(f"{LATENCY}_count", model_name="m", API="predict", entrypoint="REST")] == 1
    assert 0 < found[labelled(f"{LATENCY}_sum", model_name="m", API="Predict", entrypoint="GRPC")] < 60e6
    assert found[labelled(f"{RUNTIME}_count", model_name="m", API="Predict", runtime="TF1")] == 3
    assert found[labelled(f"{RUNTIME}_count", model_name="m", API="predict", runtime="TF1")] == 1
    assert found[labelled("nightshift_version_requests_total", model_name="m", version="1", status="OK")] == 4
    assert found[labelled("nightshift_version_request_latency_microseconds_count", model_name="m", version="1")] == 4
    assert found[labelled("nightshift_version_state", model_name="m", version="1", state="AVAILABLE")] == 1
    for name in ("resident_memory_bytes", "request_threads", "max_message_bytes"):
        assert found[labelled(f"nightshift_{name}")] > 0


def test_loading_is_timed_and_its_failures_counted(publish, launch):
    broken = publish(2)
    (broken / "saved_model.pb").unlink()
    whole = publish(1)
    config = server_config([model_config("m", whole.parent, versions=[1, 2])])
    server, _ = launch(config, rest_port=0, metrics_path="/metrics")
    found = scraped(server, "/metrics")
    attempts = ":tensorflow:cc:saved_model:load_attempt_count"
    assert found[labelled(attempts, model_path=str(whole), status="success")] == 1
    assert found[labelled(attempts, model_path=str(broken), status="fail")] == 1
    assert found[labelled(":tensorflow:cc:saved_model:load_latency", model_path=str(whole))] > 0
    assert found[labelled("nightshift_version_state", model_name="m", version="2", state="END")] == 1


def test_names_that_nobody_serves_make_no_series(running):
    server, client = running
    before = len(scraped(server))
    for number in range(20):
        with pytest.raises(ServerRefusedError):
            client.predict(f"stranger-{number}", {"x": np.float32([2])}, label=None)
        with pytest.raises(ServerRefusedError):
            client.predict("m", {"x": np.float32([2])}, version=100 + number)
        assert ask(server, f"/v1/models/stranger-{number}/versions/{number}:predict", "POST", {})[0] == 404
        assert ask(server, f"/v1/models/m/labels/stranger-{number}/metadata")[0] == 400
    found = scraped(server)
    assert found[labelled(REQUESTS, model_name="", status="NOT_FOUND")] == 40
    assert found[labelled(REQUESTS, model_name="m", status="NOT_FOUND")] == 20
    assert not [labels for _, labels in found if "stranger" in str(labels)]
    assert len(found) <= before + 5


def test_what_is_under_way_and_what_waits_is_seen(publish, launch):
    config = server_config([model_config("m", publish(1).parent)])
    server, client = launch(config, rest_port=0, metrics_path=DEFAULT_PATH, threads=1)
    steps = {"steps": np.int64(2000)[...]}
    asking = [
        threading.Thread(target=client.predict, args=("m", steps), kwargs={"signature": "slow", "label": None})
        for _ in range(2)
    ]
    for thread in asking:
        thread.start()
    flying = labelled("nightshift_requests_in_flight", entrypoint="GRPC")
    deadline = time.monotonic() + 10
    while (found := scraped(server))[flying] != 1 or found[labelled("nightshift_requests_waiting")] != 1:
        assert time.monotonic() < deadline
    for thread in asking:
        thread.join()
    found = scraped(server)
    assert found[flying] == found[labelled("nightshift_requests_waiting")] == 0


def test_a_call_whose_deadline_passes_while_it_waits_is_not_computed(publish, launch):
    config = server_config([model_config("m", publish(1).parent)])
    server, client = launch(config, rest_port=0, metrics_path=DEFAULT_PATH, threads=1)
    steps = {"steps": np.int64(3000)[...]}
    slow = threading.Thread(target=client.predict, args=("m", steps), kwargs={"signature": "slow", "label": None})
    slow.start()
    flying = labelled("nightshift_requests_in_flight", entrypoint="GRPC")
    deadline = time.monotonic() + 10
    while scraped(server)[flying] != 1:
        assert time.monotonic() < deadline
    with Client(client.target, retries=0, timeout=0.2) as hasty, pytest.raises(ServerUnavailableError):
        hasty.predict("m", {"x": np.float32([2])}, label=None)
    assert slow.is_alive(), "the first request is still under way"
    slow.join()
    assert client.predict("m", {"x": np.float32([2])}, label=None).version == 1  # behind whatever waited
    assert scraped(server)[labelled(f"{RUNTIME}_count", model_name="m", API="Predict", runtime="TF1")] == 2


def test_without_the_option_there_are_no_metrics(publish, launch):
    server, _ = launch(server_config([model_config("m", publish(1).parent)]), rest_port=0)
    assert ask(server, DEFAULT_PATH)[0] == 404


def test_metrics_are_only_read(running):
    assert ask(running[0], DEFAULT_PATH, "POST", "") == (405, {"error": "found POST, expected GET"})


# The file


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", ""),
        ("prometheus_config { enable: true }", DEFAULT_PATH),
        ('prometheus_config { enable: true, path: "/metrics" }', "/metrics"),
        ('prometheus_config { enable: false, path: "/metrics" }', ""),
        ('prometheus_config: {\n  enable: true,\n  path: "/monitoring/prometheus/metrics"\n}\n', DEFAULT_PATH),
    ],
)
def test_the_file_is_tensorflow_serving_s(tmp_path, text, path):
    (tmp_path / "monitoring.config").write_text(text)
    assert read_metrics_path(tmp_path / "monitoring.config") == path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prometheus_config { enabled: true }", "expected a MonitoringConfig in text form: line 1"),
        ('prometheus_config { enable: true, path: "metrics" }', "found 'metrics', expected a path such as /metrics"),
        ('prometheus_config { enable: true, path: "/a b" }', "found '/a b', expected a path"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path, text, message):
    (tmp_path / "monitoring.config").write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        read_metrics_path(tmp_path / "monitoring.config")
