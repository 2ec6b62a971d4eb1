"""Predict and Classify over REST, in TensorFlow Serving's words (http_rest_api_handler.cc, json_tensor.cc)."""

import base64
import gzip
import http.client
import json
import math
import threading
import time

import numpy as np
import pytest
from rest import ask

from nightshift.serving.config import model_config, server_config
from nightshift.serving.embedded import rest as rest_module
from nightshift.serving.embedded import server as embedded

M = "/v1/models/m"


@pytest.fixture(scope="module")
def server(saved_model, tmp_path_factory):
    """Versions 1 and 2 of m, label stable on 1."""
    base = tmp_path_factory.mktemp("models") / "m"
    base.mkdir()
    for number in (1, 2):
        (base / str(number)).symlink_to(saved_model)
    config = server_config([model_config("m", base, versions=[1, 2], labels={"stable": 1})])
    options = embedded.ServerOptions(labels_for_unavailable=True, poll_seconds=0, rest_port=0, max_message_bytes=2**20)
    running = embedded.start(config, options=options)
    yield running
    running.stop()


def predict(server, body, path=M, **named):
    return ask(server, f"{path}:predict", "POST", body, **named)


@pytest.mark.parametrize("path", [M, f"{M}/versions/1", f"{M}/labels/stable", "/V1/Models/%6D/Versions/2"])
def test_rows_are_answered_by_rows(server, path):
    assert predict(server, {"instances": [2, 4.5]}, path) == (200, {"predictions": [3.0, 4.25]})


@pytest.mark.parametrize("inputs", [[2, 4], {"x": [2, 4]}])
def test_columns_are_answered_by_columns(server, inputs):
    assert predict(server, {"inputs": inputs}) == (200, {"outputs": [3.0, 4.0]})


def test_a_row_may_name_its_input(server):
    assert predict(server, {"instances": [{"x": 2}, {"x": 4}]}) == (200, {"predictions": [3.0, 4.0]})


def test_several_outputs_have_their_names(server):
    rows = predict(server, {"signature_name": "two_outputs", "instances": [2, 4]})
    assert rows == (200, {"predictions": [{"twice": 6.0, "y": 3.0}, {"twice": 8.0, "y": 4.0}]})
    columns = predict(server, {"signature_name": "two_outputs", "inputs": [2, 4]})
    assert columns == (200, {"outputs": {"twice": [6.0, 8.0], "y": [3.0, 4.0]}})


def test_numbers_that_are_none_go_both_ways(server):
    status, found = predict(server, '{"instances": [NaN, Infinity, -Infinity]}')
    assert status == 200
    assert [str(value) for value in found["predictions"]] == ["nan", "inf", "-inf"]


def test_strings_are_text_or_base64_and_scalars_come_in_columns_only(server):
    body = {"signature_name": "text", "inputs": ["a", {"b64": base64.b64encode("é".encode()).decode()}]}
    assert predict(server, body) == (200, {"outputs": {"joined": "aé", "same": ["a", "é"]}})
    status, found = predict(server, {"signature_name": "text", "instances": ["a"]})
    assert (status, found) == (400, {"error": "Tensor name: joined has no shape information "})


def test_bytes_that_are_no_text_come_back_as_they_are(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=30)
    body = {"signature_name": "text", "inputs": [{"b64": base64.b64encode(b'\xff"').decode()}]}
    connection.request("POST", f"{M}:predict", json.dumps(body))
    response = connection.getresponse()
    assert response.status == 200
    assert b'"joined": "\xff\\""' in response.read()
    connection.close()


def test_a_body_may_be_compressed(server):
    body = json.dumps({"instances": [2.0] * 100}).encode()
    status, found = predict(server, gzip.compress(body), headers={"Content-Encoding": "gzip"})
    assert (status, found["predictions"]) == (200, [3.0] * 100)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"not gzip", 400, "expected gzip"),
        (gzip.compress(b'{"instances": [2]}')[:-5], 400, "one whole member"),
        (gzip.compress(b'{"instances": [2]}') * 2, 400, "one whole member"),
        (gzip.compress(b" " * 2**21), 429, f"more than {2**20} bytes, decompressed"),
    ],
)
def test_what_is_badly_compressed_or_a_bomb_is_refused(server, body, status, said):
    found = predict(server, body, headers={"Content-Encoding": "gzip"})
    assert found[0] == status
    assert said in found[1]["error"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "JSON Parse error: The document is empty"),
        ("{", "JSON Parse error: Expecting property name enclosed in double quotes at offset: 1"),
        ("[1]", "JSON Value: [1] Is not object"),
        ("{}", "Missing 'inputs' or 'instances' key"),
        ('{"instances": []}', "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array"),
        ('{"instances": 1}', "JSON Value: {\n    \"instances\": 1\n} Expecting 'instances' to be an list/array"),
        (
            '{"instances": [1], "inputs": [1]}',
            'JSON Value: {\n    "instances": [1],\n    "inputs": [1]\n} Not formatted correctly expecting only one of '
            "'inputs' or 'instances' keys to exist ",
        ),
        (
            '{"signature_name": 1, "instances": [1]}',
            'JSON Value: {\n    "signature_name": 1,\n    "instances": [1]\n} not formatted correctly. '
            "'signature_name' key must be a string value.",
        ),
        ('{"signature_name": "s", "instances": [1]}', 'Serving signature name: "s" not found in signature def'),
        (
            '{"instances": ["a"]}',
            "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: "
            'JSON Value: "a" Type: String is not of expected type: float',
        ),
        (
            '{"instances": [{"x": 1}, {"x": [1]}]}',
            "Failed to process element: 1 key: x of 'instances' list. Error: INVALID_ARGUMENT: "
            "Expecting shape [] but got: [1]",
        ),
        (
            '{"instances": [{"z": 1}]}',
            "Failed to process element: 0 key: z of 'instances' list. Error: INVALID_ARGUMENT: "
            "JSON object: does not have named input: z",
        ),
        ('{"inputs": {"z": 1}}', "Missing named input: x in 'inputs' object."),
        ('{"instances": [1], "instances": [2]}', 'JSON Parse error: Found the field "instances" twice in one object'),
    ],
)
def test_what_is_no_request_is_refused_in_tensorflow_serving_s_words(server, body, message):
    assert predict(server, body) == (400, {"error": message})


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/v1/models/other", 404, "Servable not found for request: Latest(other)"),
        (f"{M}/versions/9", 404, "Servable not found for request: Specific(m, 9)"),
        (f"{M}/labels/x", 400, "Unrecognized servable version label: x"),
        ("/v1/models/%ff", 400, "Failed to decode model name:%ff"),
    ],
)
def test_what_is_not_served_is_refused(server, path, status, message):
    assert predict(server, {"instances": [2]}, path) == (status, {"error": message})


def test_a_shape_that_the_model_refuses_is_the_model_s_error(server):
    status, found = predict(server, {"instances": [[2]]})
    assert status == 400
    assert "is not compatible with expected shape" in found["error"]


def test_deep_nesting_is_refused(server):
    for depth in (100, 20_000):
        status, found = predict(server, '{"instances": ' + "[" * depth + "]" * depth + "}")
        assert status == 400
        assert "deep" in found["error"]


def test_what_would_take_too_much_once_parsed_is_refused_before(server):
    status, found = predict(server, '{"instances": [' + "[]," * 300_000 + "[]]}")
    assert status == 429
    assert f"more than the limit of {10 * 2**20}; send fewer instances, or ask over gRPC" in found["error"]


def test_of_very_many_small_lists_the_one_at_fault_is_named(publish, launch):
    config = server_config([model_config("m", publish(1).parent)])
    server = launch(config, rest_port=0)[0]
    status, found = predict(server, '{"instances": [' + "[0]," * 200_000 + "[true]]}")
    assert status == 400
    assert found["error"].startswith("Failed to process element: 200000 of 'instances' list")


def test_a_tensor_beyond_the_limit_is_refused(server):
    body = '{"signature_name": "text", "inputs": [' + '"",' * 50_000 + '""]}'
    message = "shape [50001] of string is larger than the limit of 1048576 bytes"
    assert predict(server, body) == (400, {"error": message})


def test_classify_takes_examples_and_gives_labels_with_scores(server):
    body = {"signature_name": "classify", "examples": [{"x": 2.0}, {"x": [4.0]}]}
    found = ask(server, f"{M}:classify", "POST", body)
    assert found == (200, {"results": [[["half", 3.0], ["whole", 2.0]], [["half", 4.0], ["whole", 4.0]]]})
    body = {"signature_name": "classify", "context": {"x": 2.0}, "examples": [{}, {"x": 4.0}]}
    found = ask(server, f"{M}/labels/stable:classify", "POST", body)
    assert found == (200, {"results": [[["half", 3.0], ["whole", 2.0]], [["half", 4.0], ["whole", 4.0]]]})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"examples": 1}, "Expecting 'examples' value to be an list/array"),
        ({"examples": []}, "'examples' value is an empty array"),
        ({}, "When method is classify, key 'examples' is expected and was not found"),
        ({"examples": [1]}, "Example must be JSON object but got JSON Number"),
        ({"examples": [{"x": None}]}, "Feature: x has element with unexpected JSON type: Null"),
        ({"examples": [{"x": {"y": 1}}]}, "Feature: x has element with unexpected JSON type: Object"),
        ({"examples": [{"x": [1.0, "a"]}]}, "Unexpected element type in feature: x expecting type: float"),
        ({"examples": [{"x": 2**63}]}, "Feature: x has uint64_t element. Only int64_t is supported."),
        ({"examples": [{"x": "\ud800"}]}, "The surrogate pair in string is invalid."),
        ({"examples": [{"x": 2}], "signature_name": "classify"}, "Key: x"),
    ],
)
def test_what_cannot_be_classified_is_refused(server, body, message):
    status, found = ask(server, f"{M}:classify", "POST", body)
    assert status == 400
    assert message in found["error"]


def test_regress_is_not_implemented_and_says_so(server):
    found = ask(server, f"{M}:regress", "POST", {"examples": [{"x": 2.0}]})
    assert found == (501, {"error": "regress is not implemented by this server; use Predict or Classify"})


@pytest.fixture
def busy(publish, launch, monkeypatch):
    """A server of one thread, which is computing, and the event that lets it go on; its REST waits for 0.5 s."""
    config = server_config([model_config("m", publish(1).parent)])
    server, client = launch(config, rest_port=0, threads=1, rest_seconds=0.5)
    going_on, begun = threading.Event(), threading.Event()
    whole = rest_module._whole

    def slowly(request, max_bytes):
        begun.set()
        assert going_on.wait(30)
        return whole(request, max_bytes)

    monkeypatch.setattr(rest_module, "_whole", slowly)
    first = threading.Thread(target=predict, args=(server, {"instances": [2]}))
    first.start()
    assert begun.wait(10)
    monkeypatch.setattr(rest_module, "_whole", whole)
    yield server, client, going_on
    going_on.set()
    first.join()


def test_a_request_that_is_not_begun_in_time_is_given_up(busy):
    status, found = predict(busy[0], {"instances": [2]})
    assert (status, found) == (504, {"error": "the request was not begun within 0.5 s"})


def test_whether_it_is_ready_is_answered_while_all_threads_compute(busy):
    assert ask(busy[0], f"{M}/metadata")[0] == 200


def test_a_request_whose_client_has_left_is_not_computed(publish, launch, monkeypatch):
    monkeypatch.setattr(rest_module, "_PATIENCE_SECONDS", 0.0)
    server, _ = launch(server_config([model_config("m", publish(1).parent)]), rest_port=0, threads=1)
    left = threading.Event()
    whole = rest_module._whole

    def after_it_left(request, max_bytes):
        deadline = time.monotonic() + 10
        while left.is_set() and not request.gone():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return whole(request, max_bytes)

    monkeypatch.setattr(rest_module, "_whole", after_it_left)
    left.set()
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=30)
    connection.request("POST", f"{M}:predict", '{"instances": [2]}')
    connection.close()

    def counted():
        return server._measures._requests._series.get(("m", "CANCELLED"))

    deadline = time.monotonic() + 10
    while not counted():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    left.clear()
    assert predict(server, {"instances": [2]})[0] == 200


def test_a_server_that_stops_finishes_what_it_has_begun_over_rest(publish, launch):
    server, _ = launch(server_config([model_config("m", publish(1).parent)]), rest_port=0)
    answers = []
    body = {"signature_name": "slow", "inputs": 3000}
    asking = threading.Thread(target=lambda: answers.append(predict(server, body)))
    asking.start()
    deadline = time.monotonic() + 10
    while not server._measures._flying()[("REST",)]:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    time.sleep(0.1)  # so that it is computing
    assert answers == [], "the request is still under way"
    server.stop()
    asking.join()
    status, found = answers[0]
    assert status == 200
    assert math.isfinite(found["outputs"])
    assert found["outputs"] > 0


def test_rest_and_grpc_give_the_same_answer(launch, publish):
    server, client = launch(server_config([model_config("m", publish(1).parent)]), rest_port=0)
    x = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    expected = client.predict("m", {"x": x}, label=None).outputs["y"]
    _, found = predict(server, {"instances": x.tolist()})
    assert np.array_equal(np.float32(found["predictions"]), expected)


@pytest.mark.parametrize("method", ["predict", "classify"])
@pytest.mark.parametrize(
    "body",
    [
        r'{"signature_name": "\ud800", "instances": [1], "examples": [{"x": 1.0}]}',
        r'{"signature_name": "text", "instances": ["\ud800"], "examples": [{"x": "\ud800"}]}',
        r'{"signature_name": "text", "instances": [{"b64": "\ud800"}], "examples": [{"x": {"b64": "\ud800"}}]}',
        r'{"instances": [{"\ud800": 1}], "examples": [{"\ud800": 1}]}',
        r'{"inputs": {"\ud800": 1}, "context": {"\ud800": 1}, "examples": [{"x": 1.0}]}',
        r'{"\ud800": 1, "\ud800": 2}',
        r'{"\ud800": 1}',
    ],
)
def test_half_a_surrogate_pair_anywhere_is_refused_in_words(server, method, body):
    status, found = ask(server, f"{M}:{method}", "POST", body)
    assert status == 400, found
    assert found["error"]
