"""REST: the status and the metadata of models, in TensorFlow Serving's words. Predict: test_rest_predict.py."""

import threading
import time

import numpy as np
import pytest
from rest import ask

from nightshift.serving.config import model_config, server_config


@pytest.fixture
def server(publish, launch):
    """Versions 1 and 2 of m, label stable on 1 and ahead on a version 9 that is not there."""
    labels = {"stable": 1, "ahead": 9, "a b": 2}
    publish(2)
    config = server_config([model_config("m", publish(1).parent, versions=[1, 2], labels=labels)])
    return launch(config, rest_port=0, labels_for_unavailable=True)[0]


def available(*versions):
    status = {"error_code": "OK", "error_message": ""}
    return {"model_version_status": [{"version": str(v), "state": "AVAILABLE", "status": status} for v in versions]}


def test_status_lists_the_versions_from_the_highest_and_ignores_labels(server):
    assert ask(server, "/v1/models/m") == (200, available(2, 1))
    assert ask(server, "/v1/models/m/labels/stable") == (200, available(2, 1))
    assert ask(server, "/v1/models/m/versions/1") == (200, available(1))


@pytest.mark.parametrize(
    ("path", "version"),
    [("", "2"), ("/versions/1", "1"), ("/labels/stable", "1"), ("/labels/a%20b", "2")],
)
def test_metadata_names_the_version_and_its_signatures(server, path, version):
    status, found = ask(server, f"/v1/models/m{path}/metadata")
    assert status == 200
    assert found["model_spec"] == {"name": "m", "signature_name": "", "version": version}
    signature = found["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["x"] == {
        "dtype": "DT_FLOAT",
        "name": "serving_default_x:0",
        "tensor_shape": {"dim": [], "unknown_rank": True},
    }
    assert signature["method_name"] == "tensorflow/serving/predict"


def test_names_are_percent_decoded_and_the_rest_is_read_in_any_case(server):
    assert ask(server, "/V1/Models/%6D/Versions/2") == (200, available(2))
    assert ask(server, "/v1/models/M")[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/v1/models/other", 404, "Could not find any versions of model other"),
        ("GET", "/v1/models/m/versions/9", 404, "Could not find version 9 of model m"),
        ("GET", "/v1/models/m/versions/9/metadata", 404, "Servable not found for request: Specific(m, 9)"),
        ("GET", "/v1/models/m/labels/ahead/metadata", 404, "Servable not found for request: Specific(m, 9)"),
        ("GET", "/v1/models/other/metadata", 404, "Servable not found for request: Latest(other)"),
        ("GET", "/v1/models/m/labels/x/metadata", 400, "Unrecognized servable version label: x"),
        ("GET", f"/v1/models/m/versions/{2**63}", 400, f"Failed to convert version: {2**63} to numeric."),
        ("GET", "/v1/models/%ff", 400, "Failed to decode model name:%ff"),
        ("GET", "/v1/models", 400, "Missing model name in request."),
        ("GET", "/v1/models/m/", 400, "Malformed request: GET /v1/models/m/"),
        ("GET", "/v1/models/m/versions/x", 400, "Malformed request: GET /v1/models/m/versions/x"),
        ("GET", "/v1/models/m:predict", 400, "Malformed request: GET /v1/models/m:predict"),
        ("PUT", "/v1/models/m", 400, "Malformed request: PUT /v1/models/m"),
        ("POST", "/v1/models/m", 400, "Malformed request: POST /v1/models/m"),
        ("GET", "/", 404, "/: expected /v1/models/MODEL"),
        ("GET", "/v2/models/m", 404, "/v2/models/m: expected /v1/models/MODEL"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_json(server, method, path, status, message):
    assert ask(server, path, method) == (status, {"error": message})


def test_a_version_that_cannot_be_loaded_is_at_its_end_and_not_ready(publish, launch):
    version = publish(1)
    (version / "variables" / "variables.data-00000-of-00001").unlink()
    config = server_config([model_config("m", version.parent, versions=[1], labels={"stable": 1})])
    server, client = launch(config, rest_port=0, labels_for_unavailable=True)
    status, found = ask(server, "/v1/models/m")
    assert status == 200
    (entry,) = found["model_version_status"]
    assert (entry["state"], entry["status"]["error_code"]) == ("END", "NOT_FOUND")
    assert "half written, found the shards none" in entry["status"]["error_message"]
    assert entry["status"]["error_message"] == client.status("m")[0].error
    assert ask(server, "/v1/models/m/labels/stable/metadata")[0] == 404


def test_a_label_is_not_ready_before_its_version_is_loaded(publish, launch):
    whole = publish(1)
    absent = publish(2).rename(whole.with_name("later"))
    config = server_config([model_config("m", whole.parent, versions=[2], labels={"stable": 2})])
    server, _ = launch(config, rest_port=0, labels_for_unavailable=True)
    path = "/v1/models/m/labels/stable/metadata"
    assert ask(server, path) == (404, {"error": "Servable not found for request: Specific(m, 2)"})
    absent.rename(whole.with_name("2"))
    deadline = time.monotonic() + 10
    while ask(server, path)[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_server_that_stops_is_not_ready_while_it_finishes_what_it_has_begun(publish, launch):
    config = server_config([model_config("m", publish(1).parent, versions=[1], labels={"stable": 1})])
    server, client = launch(config, rest_port=0, labels_for_unavailable=True)
    path = "/v1/models/m/labels/stable/metadata"
    assert ask(server, path)[0] == 200
    answers = []
    steps = {"steps": np.int64(3000)[...]}
    asking = threading.Thread(target=lambda: answers.append(client.predict("m", steps, signature="slow", label=None)))
    asking.start()
    time.sleep(0.2)
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    time.sleep(0.1)
    assert answers == [], "the request is still under way"
    assert ask(server, path) == (503, {"error": "the server is stopping"})
    stopping.join()
    asking.join()
    assert answers[0].outputs["total"] > 0
    with pytest.raises(ConnectionRefusedError):
        ask(server, path)


def test_no_port_is_opened_unless_asked_for(publish, launch):
    assert launch(server_config([model_config("m", publish(1).parent)]))[0].rest_port is None
