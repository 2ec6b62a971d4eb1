"""Requests of every kind, most of them wrong: what hypothesis draws from."""

import base64
import json

from hypothesis import strategies as st

from nightshift.protos import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    types_pb2,
)
from nightshift.serving.conformance.folder import MODEL, VERSIONED
from nightshift.serving.conformance.graph import CLASSIFY as CLASSIFY_METHOD
from nightshift.serving.conformance.models import example

# Not `slow`: it takes as much memory as it is told to, in any server.
SIGNATURES = ("", "serving_default", "two_outputs", "add", "total", "matrix", "text", "kinds", "classify", "regress")
INPUTS = ("x", "a", "b", "m", "s", "i", "u", "d", "inputs")
NAMES = st.sampled_from([*INPUTS, "y", "sum", "", "x:0"]) | st.text(max_size=6)
SIZES = st.integers(-2, 4) | st.sampled_from([2**20, 2**31 - 1, 2**31, 2**40, 2**62, -(2**63)])
INT64 = st.integers(-(2**63), 2**63 - 1)

SPECS = st.fixed_dictionaries(
    {"name": st.sampled_from([MODEL] * 6 + [VERSIONED, VERSIONED, "", "other"]) | st.text(max_size=20)},
    optional={"signature_name": st.sampled_from(SIGNATURES) | st.text(max_size=8)},
).flatmap(
    lambda spec: st.one_of(
        st.just(spec),
        st.just(spec),
        st.sampled_from(["stable", "ahead", "x", ""]).map(lambda label: spec | {"version_label": label}),
        (st.integers(0, 4) | INT64).map(lambda number: spec | {"version": {"value": number}}),
    )
)

TENSORS = st.fixed_dictionaries(
    {"dtype": st.sampled_from([types_pb2.DT_FLOAT] * 8 + types_pb2.DataType.values())},
    optional={
        "tensor_shape": st.fixed_dictionaries(
            {"dim": st.lists(SIZES.map(lambda size: {"size": size}), max_size=4)},
            optional={"unknown_rank": st.booleans()},
        ),
        "version_number": st.integers(-5, 5),
        "tensor_content": st.binary(max_size=24),
        "float_val": st.lists(st.floats(width=32), max_size=4),
        "double_val": st.lists(st.floats(), max_size=3),
        "int_val": st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3),
        "int64_val": st.lists(INT64, max_size=3),
        "bool_val": st.lists(st.booleans(), max_size=3),
        "half_val": st.lists(st.integers(0, 2**16 + 5), max_size=3),
        "string_val": st.lists(st.binary(max_size=6), max_size=3),
        "scomplex_val": st.lists(st.floats(width=32), max_size=3),
        "uint32_val": st.lists(st.integers(0, 2**32 - 1), max_size=3),
        "resource_handle_val": st.just([{"device": "/cpu:0", "name": "x"}]),
    },
)
FITTING = st.lists(st.floats(width=32), max_size=5).map(
    lambda values: {
        "dtype": types_pb2.DT_FLOAT,
        "tensor_shape": {"dim": [{"size": len(values)}]},
        "float_val": values,
    }
)


def _predict(spec, inputs, outputs):
    request = predict_pb2.PredictRequest(model_spec=spec, output_filter=outputs)
    for name, tensor in inputs.items():
        request.inputs[name].MergeFrom(type(request.inputs[name])(**tensor))
    return "PredictionService/Predict", request.SerializeToString()


PREDICT = st.builds(
    _predict,
    SPECS | st.just({"name": MODEL}),
    st.dictionaries(NAMES, FITTING | TENSORS, max_size=3) | st.fixed_dictionaries({"x": FITTING | TENSORS}),
    st.lists(st.sampled_from(["y", "twice", "sum", "y", "text", "z"]), max_size=3) | st.just([]),
)

FEATURES = st.sampled_from(
    [
        {},
        {"float_list": {"value": [2.0]}},
        {"float_list": {"value": []}},
        {"float_list": {"value": [1.0, 2.0]}},
        {"int64_list": {"value": [2]}},
        {"bytes_list": {"value": [b"\xff"]}},
    ]
)
EXAMPLES = st.dictionaries(st.sampled_from(["x", "x", "z", ""]), FEATURES, max_size=2).map(
    lambda features: {"features": {"feature": features}}
)
INPUT = st.one_of(
    st.just({}),
    st.lists(EXAMPLES, max_size=4).map(lambda examples: {"example_list": {"examples": examples}}),
    st.builds(
        lambda context, examples: {"example_list_with_context": {"context": context, "examples": examples}},
        EXAMPLES,
        st.lists(EXAMPLES, max_size=3),
    ),
)


def _classify(spec, sent, method):
    request = classification_pb2.ClassificationRequest(model_spec=spec, input=sent)
    return f"PredictionService/{method}", request.SerializeToString()


CLASSIFY = st.builds(
    _classify,
    SPECS | st.just({"name": MODEL, "signature_name": "classify"}),
    INPUT,
    st.sampled_from(["Classify"] * 4 + ["Regress"]),  # which takes the same message
)


def _several(tasks, sent):
    request = inference_pb2.MultiInferenceRequest(input=sent)
    for spec in tasks:
        request.tasks.add(model_spec=spec, method_name=CLASSIFY_METHOD)
    return "PredictionService/MultiInference", request.SerializeToString()


SEVERAL = st.builds(_several, st.lists(SPECS, max_size=2), INPUT)
METADATA = st.builds(
    lambda spec, fields: (
        "PredictionService/GetModelMetadata",
        get_model_metadata_pb2.GetModelMetadataRequest(model_spec=spec, metadata_field=fields).SerializeToString(),
    ),
    SPECS,
    st.lists(st.sampled_from(["signature_def", "signature_def", "other", ""]), max_size=3),
)
STATUS = st.builds(
    lambda spec: (
        "ModelService/GetModelStatus",
        get_model_status_pb2.GetModelStatusRequest(model_spec=spec).SerializeToString(),
    ),
    SPECS,
)


def reloads(start, paths):
    """Configurations that keep what is served at the start, and add what cannot be served, or can under another name.

    Args:
        start: the ModelServerConfig that the server was started with.
        paths: folders that are there, with versions or without.
    """
    models = st.fixed_dictionaries(
        {
            "name": st.sampled_from(["one", "two", "", MODEL]),
            "base_path": st.sampled_from([*paths, "/not/there", "relative", "", "gs://bucket/model", "/dev/null"]),
        },
        optional={
            "model_platform": st.sampled_from(["tensorflow"] * 4 + ["", "other"]),
            "version_labels": st.dictionaries(st.sampled_from(["live", ""]), st.integers(0, 3) | INT64, max_size=2),
            "model_version_policy": st.sampled_from(
                [
                    {},
                    {"all": {}},
                    {"latest": {"num_versions": 0}},
                    {"latest": {"num_versions": 2**32 - 1}},
                    {"specific": {"versions": [1, 1, 7]}},
                    {"specific": {}},
                ]
            ),
        },
    )

    def reload(added):
        request = model_management_pb2.ReloadConfigRequest(config=start)
        for fields in added:
            request.config.model_config_list.config.add(**fields)
        return "ModelService/HandleReloadConfigRequest", request.SerializeToString()

    return st.lists(models, max_size=3).map(reload)


TWO = {"x": {"dtype": types_pb2.DT_FLOAT, "tensor_shape": {"dim": [{"size": 1}]}, "float_val": [2.0]}}
GOOD = [
    _predict({"name": MODEL}, TWO, ["y"]),
    _predict({"name": VERSIONED, "version_label": "stable"}, TWO, []),
    _classify({"name": MODEL, "signature_name": "classify"}, {"example_list": {"examples": [example(2)]}}, "Classify"),
    ("PredictionService/GetModelMetadata", b"\n\x0f\n\rhalf_plus_two\x12\rsignature_def"),
    ("ModelService/GetModelStatus", b"\n\x0f\n\rhalf_plus_two"),
]
"""Answered with OK, and where the mutated ones begin."""

EDITS = st.lists(
    st.tuples(st.integers(0, 300), st.sampled_from(["set", "cut", "insert", "double"]), st.integers(0, 255)),
    min_size=1,
    max_size=8,
)


def edited(content, edits):
    """Bytes with some of them changed, taken away, put in, or a stretch of them twice."""
    changed = bytearray(content)
    for place, kind, value in edits:
        place %= len(changed) + 1
        if kind == "cut":
            del changed[place : place + 1 + value % 4]
        elif kind == "insert":
            changed.insert(place, value)
        elif kind == "double":
            changed[place:place] = changed[place : place + value % 16]
        elif place < len(changed):
            changed[place] = value
    return bytes(changed)


MUTATED = st.builds(lambda good, edits: (good[0], edited(good[1], edits)), st.sampled_from(GOOD), EDITS)

# HTTP/2, for the gRPC port

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload, length=None):
    """A frame, whose length may be another than its payload's."""
    size = len(payload) if length is None else length
    return size.to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _literals(headers):
    """A header block of literals, never indexed."""
    return b"".join(b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value for name, value in headers)


def call(method, body):
    """The bytes of a call on a connection of its own; `body` is what follows the headers, in one DATA frame."""
    headers = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/tensorflow.serving." + method),
        (b":authority", b"x"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
    ]
    return PREFACE + frame(4, 0, 0, b"") + frame(1, 4, 1, _literals(headers)) + frame(0, 1, 1, body)


FRAMES = st.builds(
    frame,
    st.integers(0, 12),
    st.integers(0, 255),
    st.sampled_from([0, 1, 2, 3, 2**31 - 1]),
    st.binary(max_size=40),
    st.none() | st.sampled_from([0, 1, 9, 2**14 + 1, 2**24 - 1]),
)
PREFIXES = st.builds(
    lambda flag, size, content: bytes([flag]) + size.to_bytes(4, "big") + content,
    st.sampled_from([0, 0, 1, 2, 255]),
    st.sampled_from([0, 1, 5, 2**20, 2**31, 2**32 - 1]),
    st.binary(max_size=30),
)
METHODS = st.sampled_from(
    [b"PredictionService/Predict", b"ModelService/GetModelStatus", b"PredictionService/Other", b"Other/Predict", b""]
)
HTTP2 = st.one_of(
    st.binary(max_size=200),
    st.integers(0, len(PREFACE)).map(lambda size: PREFACE[:size]),
    st.builds(lambda edits: edited(PREFACE, edits), EDITS),
    st.lists(FRAMES, max_size=5).map(lambda frames: PREFACE + b"".join(frames)),
    st.lists(FRAMES, max_size=4).map(lambda frames: PREFACE + frame(4, 0, 0, b"") + b"".join(frames)),
    st.builds(call, METHODS, PREFIXES),
    st.builds(lambda content, edits: edited(content, edits), st.builds(call, METHODS, PREFIXES), EDITS),
    st.sampled_from([b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(64)]),
)

# REST

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8), st.just(1e400)
)
B64 = st.binary(max_size=8).map(lambda content: {"b64": base64.b64encode(content).decode()})
VALUES = st.recursive(
    SCALARS | B64 | st.just({"b64": "*"}) | st.just({"b64": 1}),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*INPUTS, "z"]), inner, max_size=3),
    max_leaves=12,
)
FITTING_ROWS = st.lists(st.floats(width=32), min_size=1, max_size=4)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "signature_name": st.sampled_from(SIGNATURES) | SCALARS,
        "instances": FITTING_ROWS | VALUES,
        "inputs": FITTING_ROWS | VALUES,
        "examples": st.lists(st.dictionaries(st.sampled_from(["x", "z"]), VALUES, max_size=2), max_size=3) | VALUES,
        "context": st.dictionaries(st.sampled_from(["x", "z"]), VALUES, max_size=2) | VALUES,
        "other": VALUES,
    },
)
BODIES = st.one_of(
    DOCUMENTS.map(lambda document: json.dumps(document).encode()),
    FITTING_ROWS.map(lambda rows: json.dumps({"instances": rows}).encode()),
    st.builds(
        lambda document, edits: edited(json.dumps(document).encode(), edits),
        DOCUMENTS | FITTING_ROWS.map(lambda rows: {"instances": rows}),
        EDITS,
    ),
    st.binary(max_size=60),
    st.integers(1, 40_000).map(lambda depth: b'{"instances": ' + b"[" * depth),
    st.integers(1, 4000).map(lambda depth: b'{"inputs": ' + b"[" * depth + b"1" + b"]" * depth + b"}"),
)
PATHS = st.builds(
    lambda name, which, rest: f"/v1/models/{name}{which}{rest}",
    st.sampled_from([MODEL] * 4 + [VERSIONED, "other", "%ff", ""]),
    st.sampled_from(["", "", "", "/versions/1", "/labels/stable", "/versions/9", f"/versions/{2**64}", "/labels/x"]),
    st.sampled_from([":predict"] * 5 + [":classify", ":regress", ":other", "", "/metadata", "?x=1", ":predict?x"]),
)
ODD_PATHS = st.sampled_from(["/", "*", "", "//", "/v1", "/v1/", "/v1/models", "http://x/v1/models", "/%00", "/\xff"])
VERBS = st.sampled_from(["POST"] * 5 + ["GET", "GET", "PUT", "HEAD", "OPTIONS", "TRACE", "get", "X" * 300, ""])
HEADERS = st.lists(
    st.sampled_from(
        [
            "Host: x",
            "Connection: close",
            "Connection: keep-alive",
            "Expect: 100-continue",
            "Transfer-Encoding: chunked",
            "Transfer-Encoding: gzip, chunked",
            "Content-Encoding: gzip",
            "Content-Type: text/html",
            "Content-Length: 5",
            "Content-Length: -1",
            "Content-Length: 99999999999999999999",
            "Content-Length: x",
            "Upgrade: h2c",
            "No colon",
            ": no name",
            "Long: " + "x" * 20_000,
            " folded: yes",
            "Zero: \0",
        ]
    ),
    max_size=3,
)
LINE_ENDS = st.sampled_from(["\r\n"] * 6 + ["\n", "\r"])
HTTP_VERSIONS = st.sampled_from(["HTTP/1.1"] * 6 + ["HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/9", "", "FTP/1.1"])


def _http(verb, path, version, headers, end, body, *, honest):
    lines = [f"{verb} {path} {version}", *headers]
    if honest:
        lines.append(f"Content-Length: {len(body)}")
    return (end.join(lines) + end + end).encode("latin-1", "replace") + body


ONE_HTTP = st.builds(
    _http, VERBS, PATHS | ODD_PATHS, HTTP_VERSIONS, HEADERS, LINE_ENDS, BODIES, honest=st.booleans() | st.just(True)
)
HTTP = st.one_of(
    ONE_HTTP,
    st.lists(ONE_HTTP, min_size=2, max_size=4).map(b"".join),
    st.builds(lambda content, share: content[: int(len(content) * share)], ONE_HTTP, st.floats(0, 1)),
    st.builds(edited, ONE_HTTP, EDITS),
    st.binary(max_size=300),
)
