"""REST: rows and columns, binary values, status, metadata, and the error that stands for each refusal."""

import base64
import json
import math
from typing import Any

from nightshift.serving.conformance import rest
from nightshift.serving.conformance.case import Cases, Need
from nightshift.serving.conformance.expectations import LeftOutError, contains, equal
from nightshift.serving.conformance.folder import METRICS_PATH, MODEL, VERSIONED
from nightshift.serving.conformance.server import Server, floats

case = Cases()

HANDLER = "model_servers/http_rest_api_handler.cc"
JSON = "util/json_tensor.cc"
PATHS = "model_servers/http_rest_api_util.cc: ParseModelInfo"
CODES = "model_servers/http_server.cc: ToHTTPStatusCode"
DOCS = "g3doc/api_rest.md"
AT = f"/v1/models/{MODEL}"
VERSIONED_AT = f"/v1/models/{VERSIONED}"


def _predict(server: Server, content: Any, path: str = AT) -> Any:
    return rest.answer(_address(server), "POST", f"{path}:predict", content)


def _refused(server: Server, content: Any, pattern: str, *, path: str = f"{AT}:predict", status: int = 400) -> None:
    rest.refusal(_address(server), "POST", path, content, status, pattern)


def _address(server: Server) -> str:
    assert server.rest is not None
    return server.rest


def _b64(content: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(content).decode()}


@case(19, f"{JSON}: FillPredictRequestFromJson, MakeJsonFromTensors", Need.REST)
def rows_are_answered_by_predictions_and_columns_by_outputs(server: Server) -> None:
    """`instances` -> `predictions`, `inputs` -> `outputs`; with one output its name is left out."""
    equal("instances", _predict(server, {"instances": [2, 8.0]}), {"predictions": [3.0, 6.0]})
    equal("inputs", _predict(server, {"inputs": [2, 8.0]}), {"outputs": [3.0, 6.0]})
    equal("named rows", _predict(server, {"instances": [{"x": 2}, {"x": 8}]}), {"predictions": [3.0, 6.0]})
    equal("named columns", _predict(server, {"inputs": {"x": [2, 8]}}), {"outputs": [3.0, 6.0]})


@case(20, f"{JSON}: ParseJson", Need.REST)
def an_empty_body_is_refused(server: Server) -> None:
    """400 'JSON Parse error: The document is empty'."""
    _refused(server, b"", "^JSON Parse error: The document is empty")


@case(59, f"{PATHS}; {DOCS}", Need.REST)
def versions_and_labels_stand_in_the_path(server: Server) -> None:
    """/versions/1 and /labels/stable (version 2) answer with their own constants."""
    content = {"instances": [2]}
    equal("version 1", _predict(server, content, f"{VERSIONED_AT}/versions/1"), {"predictions": [11.0]})
    equal("label stable", _predict(server, content, f"{VERSIONED_AT}/labels/stable"), {"predictions": [21.0]})


@case(60, f"{JSON}: JsonDecodeBase64Object, IsNamedTensorBytes", Need.REST)
def binary_values_are_base64_under_names_that_end_in_bytes(server: Server) -> None:
    """{"b64": ...} in; `raw_bytes` comes back as {"b64": ...}, `text` as text; in rows and in columns."""
    content = {"signature_name": "text", "instances": [_b64(b"plain"), "caf\u00e9"]}
    row = {"text": "plain", "raw_bytes": _b64(b"plain")}
    other = {"text": "caf\u00e9", "raw_bytes": _b64("caf\u00e9".encode())}
    equal("rows", _predict(server, content), {"predictions": [row, other]})
    columns = {"signature_name": "text", "inputs": {"s": [_b64(b"plain")]}}
    equal("columns", _predict(server, columns), {"outputs": {"text": ["plain"], "raw_bytes": [_b64(b"plain")]}})


@case(61, f"{JSON}: FillTensorMapFromInstancesList, FillTensorMapFromInputsMap", Need.REST)
def several_inputs_are_named(server: Server) -> None:
    """Rows and columns of a and b; several outputs are objects a row, and an object of columns."""
    add: dict[str, Any] = {"signature_name": "add", "instances": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]}
    equal("rows", _predict(server, add), {"predictions": [3.0, 7.0]})
    add = {"signature_name": "add", "inputs": {"a": [1, 3], "b": [2, 4]}}
    equal("columns", _predict(server, add), {"outputs": [3.0, 7.0]})
    two = {"signature_name": "two_outputs", "instances": [2, 4]}
    equal("outputs", _predict(server, two), {"predictions": [{"y": 3.0, "twice": 6.0}, {"y": 4.0, "twice": 8.0}]})
    two = {"signature_name": "two_outputs", "inputs": [2, 4]}
    equal("columns out", _predict(server, two), {"outputs": {"y": [3.0, 4.0], "twice": [6.0, 8.0]}})


@case(62, f"{JSON}: AddValueToTensor, AddSingleValueAndAdvance", Need.REST)
def every_dtype_has_its_json(server: Server) -> None:
    """Whole numbers stay whole, fractions have their point, truth is true and false; nested lists keep their shape."""
    row = {"i": 2**60, "u": 255, "b": True, "d": 0.1}
    found = _predict(server, {"signature_name": "kinds", "instances": [row]})
    expected = {"i2": 2**60, "u2": 255, "b2": True, "d2": 0.1}
    equal("kinds", found, {"predictions": [expected]})
    equal("type of i2", type(found["predictions"][0]["i2"]), int)
    matrix = {"signature_name": "matrix", "instances": [[1, 2], [3, 4]]}
    equal("matrix", _predict(server, matrix), {"predictions": [[1.0, 2.0], [3.0, 4.0]]})
    body = rest.ask(_address(server), "POST", f"{AT}:predict", b'{"instances": [0]}').body.decode()
    contains("a whole number of float", body, r"\b2\.0\b")


@case(63, f"{JSON}: WriteDecimal; {DOCS}: JSON conformance", Need.REST)
def numbers_without_end_have_their_tokens(server: Server) -> None:
    """NaN, Infinity and -Infinity are read and written."""
    body = b'{"signature_name": "matrix", "instances": [[NaN, Infinity, -Infinity, 1e-3, 16777216.0, 0.2]]}'
    reply = rest.ask(_address(server), "POST", f"{AT}:predict", body)
    equal(f"status ({reply.body[:200]!r})", reply.status, 200)
    nan, *others = reply.json()["predictions"][0]
    equal("the first is NaN", math.isnan(nan), True)
    expected = [math.inf, -math.inf, 1e-3, 16777216.0, 0.2]
    equal("the others, as float", floats(*others).tolist(), floats(*expected).tolist())
    contains("0.2 of float, written short", reply.body.decode(), r"\b0\.2\b(?!\d)")


@case(64, f"{JSON}: MakeRowFormatJsonFromTensors", Need.REST)
def an_output_without_rows_is_refused_in_rows_only(server: Server) -> None:
    """A total is 400 'Tensor name: total has no shape information' for `instances`, and a number for `inputs`."""
    _refused(server, {"signature_name": "total", "instances": [1, 2]}, "^Tensor name: total has no shape information")
    equal("columns", _predict(server, {"signature_name": "total", "inputs": [1, 2]}), {"outputs": 3.0})


@case(65, f"{CODES}; {HANDLER}: GetInfoMap", Need.REST)
def each_refusal_has_its_status(server: Server) -> None:
    """404 for what is not found, 400 for an unknown label or signature, and what is wrong with the tensors."""
    rows = {"instances": [2]}
    missing = "^Servable not found for request: "
    _refused(server, rows, rf"{missing}Latest\(other\)", path="/v1/models/other:predict", status=404)
    _refused(server, rows, rf"{missing}Specific\({MODEL}, 9\)", path=f"{AT}/versions/9:predict", status=404)
    _refused(
        server, rows, rf"{missing}Specific\({VERSIONED}, 9\)", path=f"{VERSIONED_AT}/labels/ahead:predict", status=404
    )
    _refused(server, rows, "^Unrecognized servable version label: x", path=f"{VERSIONED_AT}/labels/x:predict")
    _refused(server, rows | {"signature_name": "s"}, '^Serving signature name: "s" not found in signature def')
    _refused(server, {"instances": [[1], [2]]}, "(?i)shape")


@case(66, f"{JSON}: FillPredictRequestFromJson", Need.REST)
def what_is_no_request_is_refused(server: Server) -> None:
    """400 for text that is no JSON, no object, without `inputs` and `instances` or with both, or with no rows."""
    _refused(server, b"{not json", "^JSON Parse error: ")
    _refused(server, [1, 2], "Is not object")
    _refused(server, {}, "^Missing 'inputs' or 'instances' key")
    _refused(server, {"instances": [1], "inputs": [1]}, "expecting only one of 'inputs' or 'instances' keys to exist")
    _refused(server, {"instances": 1}, "Expecting 'instances' to be an list/array")
    _refused(server, {"instances": []}, "No values in 'instances' array")
    _refused(server, {"instances": [1], "signature_name": 5}, "'signature_name' key must be a string value")


@case(67, f"{JSON}: FillTensorProto, AddInstanceItem", Need.REST)
def values_that_do_not_fit_are_refused(server: Server) -> None:
    """400 for strings where numbers go, ragged rows, unknown and missing names, and what is no base64."""
    _refused(server, {"instances": ["two"]}, "is not of expected type: float")
    matrix = {"signature_name": "matrix"}
    _refused(server, matrix | {"instances": [[1, 2], [3]]}, "Expecting tensor size: 2 but got: 1")
    _refused(server, matrix | {"inputs": [[1, 2], [3]]}, "^Encountered list at unexpected size: 1 at level: 1")
    _refused(server, {"instances": [{"z": 1}]}, "does not have named input: z")
    add = {"signature_name": "add"}
    _refused(server, add | {"instances": [{"a": 1}]}, "keys must be equal to: a,b")
    _refused(server, add | {"inputs": {"a": [1]}}, "^Missing named input: b in 'inputs' object")
    _refused(server, add | {"instances": [1, 2]}, "^instances is a plain list, but expecting list of objects")
    _refused(server, {"signature_name": "text", "instances": [{"b64": "*"}]}, "Unable to base64 decode")
    kinds = {"i": 1, "u": 1, "b": True, "d": 1}
    _refused(server, {"signature_name": "kinds", "instances": [kinds | {"i": 1.5}]}, "is not of expected type: int64")


@case(68, f"{PATHS}; {HANDLER}: ProcessRequest", Need.REST)
def a_path_that_is_none_is_refused(server: Server) -> None:
    """400 'Malformed request: METHOD PATH' under /v1, and 404 elsewhere."""
    address = _address(server)
    for method, path in (
        ("GET", f"{AT}:predict"),
        ("POST", AT),
        ("POST", f"{AT}:explain"),
        ("GET", f"{AT}/versions/x"),
        ("GET", "/v1/other"),
    ):
        body = {"instances": [2]} if method == "POST" else None
        rest.refusal(address, method, path, body, 400, f"^Malformed request: {method} {path}$")
    rest.refusal(address, "GET", "/v1/models", None, 400, r"^Missing model name in request\.$")
    number = 2**63
    path = f"{AT}/versions/{number}:predict"
    _refused(server, {"instances": [2]}, f"^Failed to convert version: {number} to numeric", path=path)
    equal("status of /other", rest.ask(address, "GET", "/other").status, 404)


@case(69, f"{HANDLER}: ProcessModelStatusRequest; http_rest_api_util.cc: ToJsonString", Need.REST)
def status_over_rest_lists_every_version(server: Server) -> None:
    """From the highest, with error_code OK; a label changes nothing; unknown models and versions are 404."""
    address = _address(server)
    status = {"error_code": "OK", "error_message": ""}
    every = [{"version": str(number), "state": "AVAILABLE", "status": status} for number in (3, 2, 1)]
    equal("status", rest.answer(address, "GET", VERSIONED_AT), {"model_version_status": every})
    equal("by label", rest.answer(address, "GET", f"{VERSIONED_AT}/labels/stable"), {"model_version_status": every})
    equal(
        "of version 1", rest.answer(address, "GET", f"{VERSIONED_AT}/versions/1"), {"model_version_status": every[2:]}
    )
    pattern = "^Could not find any versions of model other$"
    rest.refusal(address, "GET", "/v1/models/other", None, 404, pattern)
    pattern = f"^Could not find version 9 of model {VERSIONED}$"
    rest.refusal(address, "GET", f"{VERSIONED_AT}/versions/9", None, 404, pattern)


@case(70, f"{HANDLER}: ProcessModelMetadataRequest; http_rest_api_util.cc: ToJsonString", Need.REST)
def metadata_over_rest_are_the_signatures(server: Server) -> None:
    """The version by path, and the signatures under metadata.signature_def.signature_def; 404 and 400 as elsewhere."""
    address = _address(server)
    for path, version in (("", "3"), ("/versions/1", "1"), ("/labels/stable", "2")):
        found = rest.answer(address, "GET", f"{VERSIONED_AT}{path}/metadata")
        equal("model_spec", found["model_spec"], {"name": VERSIONED, "signature_name": "", "version": version})
    signature = found["metadata"]["signature_def"]["signature_def"]["serving_default"]
    x = {"dtype": "DT_FLOAT", "name": "x:0", "tensor_shape": {"dim": [], "unknown_rank": True}}
    equal("x", signature["inputs"]["x"], x)
    y = {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}}
    equal("y", {key: signature["outputs"]["y"][key] for key in y}, y)
    equal("method", signature["method_name"], "tensorflow/serving/predict")
    missing = rf"^Servable not found for request: Specific\({VERSIONED}, 9\)$"
    rest.refusal(address, "GET", f"{VERSIONED_AT}/versions/9/metadata", None, 404, missing)
    pattern = "^Unrecognized servable version label: x$"
    rest.refusal(address, "GET", f"{VERSIONED_AT}/labels/x/metadata", None, 400, pattern)


@case(71, f"{JSON}: FillClassificationRequestFromJson, MakeJsonFromClassificationResult", Need.REST)
def classify_over_rest_answers_labels_with_scores(server: Server) -> None:
    """`examples` -> `results`: a list of [label, score] an example; a `context` goes into each."""
    content: dict[str, Any] = {"signature_name": "classify", "examples": [{"x": 2.0}, {"x": [8.0]}]}
    found = _classified(server, content)
    equal("results", found, [[["half", 3.0], ["whole", 2.0]], [["half", 6.0], ["whole", 8.0]]])
    content = {"signature_name": "classify", "context": {"x": 2.0}, "examples": [{}]}
    equal("with a context", _classified(server, content), [[["half", 3.0], ["whole", 2.0]]])
    path = f"{AT}:classify"
    _refused(server, {"signature_name": "classify"}, "key 'examples' is expected and was not found", path=path)


def _classified(server: Server, content: Any) -> Any:
    found = rest.answer(_address(server), "POST", f"{AT}:classify", content)
    equal("keys", list(found), ["results"])
    return found["results"]


@case(72, f"{HANDLER}: ProcessRegressRequest", Need.REST)
def regress_over_rest_answers_a_number_an_example(server: Server) -> None:
    """`examples` -> `results`; a server may leave the call out by 501."""
    content = {"signature_name": "regress", "examples": [{"x": 2.0}, {"x": 8.0}]}
    equal("results", _or_left_out(server, f"{AT}:regress", content, "regress"), {"results": [3.0, 6.0]})


def _or_left_out(server: Server, path: str, content: Any, method: str) -> Any:
    reply = rest.ask(_address(server), "POST", path, json.dumps(content).encode())
    if reply.status == 501 and method in reply.json().get("error", "").lower():
        raise LeftOutError(reply.json()["error"])
    return rest.answer(_address(server), "POST", path, content)


@case(73, f"{PATHS} (the pattern's (?i), DecodeArg)", Need.REST)
def paths_are_read_in_any_case_and_names_are_decoded(server: Server) -> None:
    """/V1/Models, and %5F for the underscores of the model's name; the name itself is as it is."""
    name = MODEL.replace("_", "%5F")
    rows = {"instances": [2]}
    equal("y", _predict(server, rows, f"/V1/Models/{name}/Versions/1"), {"predictions": [3.0]})
    _refused(server, rows, "^Servable not found", path=f"/v1/models/{MODEL.upper()}:predict", status=404)


@case(74, "util/prometheus_exporter.cc; servables/tensorflow/util.cc", Need.REST)
def requests_are_counted_for_prometheus(server: Server) -> None:
    """The monitoring path has `# TYPE` lines, and :tensorflow:serving:request_count of a model grows by a request."""
    address = _address(server)
    before = _count(address)
    for _ in range(3):
        _predict(server, {"instances": [2]})
    server.connection.predict(2)
    equal("requests counted", _count(address) - before, 4)


def _count(address: str) -> int:
    reply = rest.ask(address, "GET", METRICS_PATH)
    equal(f"status of {METRICS_PATH} ({reply.body[:100]!r})", reply.status, 200)
    contains("Content-Type", reply.content_type, "^text/plain")
    page = reply.body.decode()
    contains("the page", page, "# TYPE :tensorflow:serving:request_count counter")
    wanted = (":tensorflow:serving:request_count{", f'model_name="{MODEL}"', 'status="OK"')
    lines = [line for line in page.splitlines() if all(part in line for part in wanted)]
    return int(float(lines[0].split()[-1])) if lines else 0
