"""Nested lists to tensors and back, in TensorFlow Serving's words (json_tensor.cc, json_tensor_test.cc)."""

import base64
import json
import time

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nightshift.protos import predict_pb2, types_pb2
from nightshift.serving.embedded import json_predict
from nightshift.serving.embedded.json_document import Constant, parse
from nightshift.serving.embedded.json_predict import Form, answer_to, fill_inputs, signature_name
from nightshift.serving.embedded.json_values import array_of, first_unfit
from nightshift.serving.status import StatusError
from nightshift.serving.tensors import to_array, to_field_proto

ROWS = "Failed to process element: "


class Info:
    """A TensorInfo's dtype."""

    def __init__(self, name):
        self.dtype = types_pb2.DataType.Value(f"DT_{name}")


def number(name):
    return types_pb2.DataType.Value(f"DT_{name}")


def array(value, name="FLOAT", max_bytes=2**20):
    return array_of(value, number(name), max_bytes=max_bytes)


def refused(work):
    with pytest.raises(StatusError) as error:
        work()
    return error.value.message


def read(text, max_bytes=2**20, **infos):
    """Inputs and form of a request of those dtypes."""
    request = predict_pb2.PredictRequest()
    found = {name: Info(dtype) for name, dtype in infos.items()}
    form = fill_inputs(parse(text.encode(), max_memory=2**30), found, request.inputs, max_bytes=max_bytes)
    return {name: to_array(proto) for name, proto in request.inputs.items()}, form


def written(form, max_bytes=2**20, **arrays):
    outputs = {name: to_field_proto(np.asarray(value)) for name, value in arrays.items()}
    return answer_to(outputs, form, max_bytes=max_bytes)


# One value


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("FLOAT", [1, 2.5], np.float32([1, 2.5])),
        ("DOUBLE", 0.1, np.float64(0.1)),
        ("INT64", [[-(2**63)], [2**63 - 1]], np.int64([[-(2**63)], [2**63 - 1]])),
        ("UINT64", [2**64 - 1], np.uint64([2**64 - 1])),
        ("UINT8", [0, 255], np.uint8([0, 255])),
        ("INT8", [-128, 127], np.int8([-128, 127])),
        ("BOOL", [[True, False]], np.array([[True, False]])),
        ("STRING", ["a", {"b64": "/w=="}, {"b64": "/w"}, {"b64": ""}], np.array([b"a", b"\xff", b"\xff", b""], object)),
        ("FLOAT", [], np.float32([])),
        ("FLOAT", [[], []], np.zeros((2, 0), np.float32)),
        ("FLOAT", [Constant("nan"), Constant("-inf")], np.float32(["nan", "-inf"])),
    ],
)
def test_lists_become_arrays_of_the_signature_s_dtype(name, value, expected):
    found = array(value, name)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert found.tolist() == expected.tolist() or np.array_equal(found, expected, equal_nan=True)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("FLOAT", "a", 'JSON Value: "a" Type: String is not of expected type: float'),
        ("FLOAT", [1, [2]], "Encountered list at unexpected level: 1 expected < 1"),
        ("FLOAT", [[1], 2], "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
        ("FLOAT", [[1, 2], [3]], "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
        ("FLOAT", [True], "JSON Value: true Type: True is not of expected type: float"),
        ("FLOAT", [None], "JSON Value: null Type: Null is not of expected type: float"),
        ("FLOAT", [{"b64": "aa"}], 'JSON Value: {\n    "b64": "aa"\n} Type: Object is not of expected type: float'),
        ("FLOAT", [1e39], "JSON Value: 1e+39 Type: Number is not of expected type: float"),
        ("FLOAT", [10**400], "Type: Number is not of expected type: float"),
        ("DOUBLE", [float("inf")], "Type: Number is not of expected type: double"),
        ("INT32", [1.0], "JSON Value: 1.0 Type: Number is not of expected type: int32"),
        ("INT32", [True], "JSON Value: true Type: True is not of expected type: int32"),
        ("INT32", [2**31], "JSON Value: 2147483648 Type: Number is not of expected type: int32"),
        ("UINT8", [256], "JSON Value: 256 Type: Number is not of expected type: uint8"),
        ("UINT8", [-1], "JSON Value: -1 Type: Number is not of expected type: uint8"),
        ("BOOL", [1], "JSON Value: 1 Type: Number is not of expected type: bool"),
        ("STRING", [1], "JSON Value: 1 Type: Number is not of expected type: string"),
        ("STRING", [{"b64": "é"}], "Unable to base64 decode"),
        ("STRING", [{"b64": "a"}], "Unable to base64 decode"),
        ("STRING", [{"b64": 1}], 'JSON Value: {\n    "b64": 1\n} not formatted correctly for base64 data'),
        ("STRING", [{"b64": "aa", "c": 1}], "not formatted correctly for base64 data"),
        ("STRING", ["\ud800"], "The surrogate pair in string is invalid."),
        ("FLOAT", [0] * 262_145, "shape [262145] of float is larger than the limit of 1048576 bytes"),
        ("STRING", [""] * 43_691, "shape [43691] of string is larger than the limit of 1048576 bytes"),
    ],
)
def test_a_value_that_does_not_fit_is_named(name, value, message):
    assert message in refused(lambda: array(value, name))


def test_blanks_in_base64_are_passed_over():
    assert array([{"b64": " /w\n== "}], "STRING").tolist() == [b"\xff"]


@pytest.mark.parametrize("name", ["HALF", "UINT16", "COMPLEX64", "VARIANT"])
def test_dtypes_that_json_has_not_are_not_implemented(name):
    with pytest.raises(StatusError) as error:
        array([1], name)
    assert error.value.code is grpc.StatusCode.UNIMPLEMENTED
    assert error.value.message == f"Conversion of JSON Value: [1] to type: {name.lower()}"


def test_lists_nested_deeper_than_an_array_can_be_are_refused():
    value = 1.0
    for _ in range(65):
        value = [value]
    assert "nested 65 deep" in refused(lambda: array(value))


@given(st.lists(st.booleans(), min_size=1, max_size=40).filter(lambda found: not all(found)))
def test_the_first_that_does_not_fit_is_found(found):
    assert first_unfit(found, all) == found.index(False)


def test_the_last_of_a_million_is_found_soon():
    started = time.process_time()
    assert "Type: True" in refused(lambda: array([[0]] * 1_000_000 + [[True]], max_bytes=2**30))
    assert time.process_time() - started < 20


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-300, 300)
    | st.floats(width=32)
    | st.text(max_size=2)
    | st.just({"b64": "aa"}),
    lambda children: st.lists(children, max_size=3),
    max_leaves=8,
)


@given(VALUES, st.sampled_from(["FLOAT", "DOUBLE", "INT32", "UINT8", "BOOL", "STRING", "HALF"]))
def test_any_value_becomes_an_array_of_its_shape_or_is_refused(value, name):
    try:
        found = array(value, name)
    except StatusError as error:
        assert error.message  # noqa: PT017
        return
    shape, inner = [], value
    while isinstance(inner, list):
        shape.append(len(inner))
        inner = inner[0] if inner else None
    assert found.shape == tuple(shape)


# Requests


def test_rows_and_columns_are_read():
    rows, form = read('{"instances": [[1, 2], [3, 4]]}', x="FLOAT")
    assert (rows["x"].tolist(), form) == ([[1, 2], [3, 4]], Form.ROWS)
    columns, form = read('{"inputs": [[1, 2], [3, 4]]}', x="FLOAT")
    assert (columns["x"].tolist(), form) == ([[1, 2], [3, 4]], Form.COLUMNS)
    scalar, _ = read('{"inputs": 1}', x="FLOAT")
    assert scalar["x"].shape == ()


def test_several_inputs_are_named():
    expected = {"a": [1, 2], "b": [[1], [2]]}
    for text in (
        '{"instances": [{"a": 1, "b": [1]}, {"b": [2], "a": 2}]}',
        '{"inputs": {"a": [1, 2], "b": [[1], [2]]}}',
    ):
        found, _ = read(text, a="INT32", b="FLOAT")
        assert {name: found[name].tolist() for name in found} == expected


def test_bytes_may_be_a_row_or_a_value_by_themselves():
    assert read('{"instances": [{"b64": "/w=="}, "a"]}', s="STRING")[0]["s"].tolist() == [b"\xff", b"a"]
    assert read('{"inputs": {"b64": "/w=="}}', s="STRING")[0]["s"].tolist() == b"\xff"
    assert read('{"instances": [{"s": {"b64": "/w=="}}]}', s="STRING")[0]["s"].tolist() == [b"\xff"]


@pytest.mark.parametrize(
    ("text", "infos", "message"),
    [
        (
            '{"instances": [1]}',
            {"a": "FLOAT", "b": "FLOAT"},
            "instances is a plain list, but expecting list of objects",
        ),
        ('{"instances": [{"b64": "aa"}]}', {"a": "STRING", "b": "STRING"}, "instances is a plain list"),
        ('{"inputs": [1]}', {"a": "FLOAT", "b": "FLOAT"}, "inputs is a plain value/list, but expecting an object"),
        ('{"inputs": {"a": 1}}', {"a": "FLOAT", "b": "FLOAT"}, "Missing named input: b in 'inputs' object."),
        ('{"instances": [{"a": 1}, [1]]}', {"a": "FLOAT"}, "Expecting object but got list at item 1 of input list"),
        ('{"instances": [1, {"a": 1}]}', {"a": "FLOAT"}, "Expecting value/list but got object at item 1 of input list"),
        (
            '{"instances": [{"a": 1, "b": 1}, {"a": 1}]}',
            {"a": "FLOAT", "b": "FLOAT"},
            ROWS + "1 of 'instances' list. JSON object: {\n    \"a\": 1\n} keys must be equal to: a,b",
        ),
        (
            '{"instances": [[1], [1, 2]]}',
            {"a": "FLOAT"},
            ROWS + "1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting tensor size: 1 but got: 2",
        ),
        (
            '{"instances": [[1, 2], [[1], [2]]]}',
            {"a": "FLOAT"},
            ROWS + "1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting shape [2] but got: [2,1]",
        ),
        (
            '{"instances": [{"a": [1]}, {"a": ["x"]}]}',
            {"a": "INT64"},
            ROWS + "1 key: a of 'instances' list. Error: INVALID_ARGUMENT: "
            'JSON Value: "x" Type: String is not of expected type: int64',
        ),
        (
            '{"instances": [[1, 2], [3, [4]]]}',
            {"a": "INT64"},
            ROWS + "1 of 'instances' list. Error: INVALID_ARGUMENT: "
            "Encountered list at unexpected level: 1 expected < 1",
        ),
    ],
)
def test_requests_that_are_none_are_refused(text, infos, message):
    assert refused(lambda: read(text, **infos)).startswith(message)


def test_rows_that_are_too_large_together_are_refused():
    found = refused(lambda: read('{"instances": [[1, 2], [3, 4]]}', max_bytes=15, x="FLOAT"))
    assert found == "shape [2, 2] of float is larger than the limit of 15 bytes"


# Answers


def test_one_output_stands_for_itself_and_several_are_named():
    a, b = np.float32([1, 2]), np.int64([[3], [4]])
    assert json.loads(written(Form.ROWS, a=a)) == {"predictions": [1.0, 2.0]}
    assert json.loads(written(Form.COLUMNS, a=a)) == {"outputs": [1.0, 2.0]}
    assert json.loads(written(Form.ROWS, a=a, b=b)) == {"predictions": [{"a": 1.0, "b": [3]}, {"a": 2.0, "b": [4]}]}
    assert json.loads(written(Form.COLUMNS, a=a, b=b)) == {"outputs": {"a": [1.0, 2.0], "b": [[3], [4]]}}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.float32(0.2), b"0.2"),
        (np.float32(3), b"3.0"),
        (np.float32(1e30), b"1e+30"),
        (np.float64(0.1), b"0.1"),
        (np.float32("nan"), b"NaN"),
        (np.float64("-inf"), b"-Infinity"),
        (np.float32("inf"), b"Infinity"),
        (np.uint64(2**64 - 1), b"18446744073709551615"),
        (np.bool_(True), b"true"),
        (np.array('a"\n', object), b'"a\\"\\n"'),
        (np.array("é", object), '"é"'.encode()),
        (np.array(b"\xff", object), b'"\xff"'),
    ],
)
def test_values_are_written_as_tensorflow_serving_writes_them(value, text):
    assert written(Form.COLUMNS, a=value) == b'{"outputs": %s}\n' % text


def test_only_outputs_whose_names_end_in_bytes_are_base64():
    value = np.array([b"\xff\x00"], object)
    assert json.loads(written(Form.ROWS, png_bytes=value)) == {"predictions": [{"b64": "/wA="}]}
    assert json.loads(written(Form.COLUMNS, png_bytes=value)) == {"outputs": [{"b64": "/wA="}]}
    assert written(Form.ROWS, bytes_png=value) == b'{"predictions": ["\xff\\u0000"]}\n'


def test_outputs_without_a_common_batch_are_refused_in_rows():
    assert refused(lambda: written(Form.ROWS, a=np.float32(1))) == "Tensor name: a has no shape information "
    message = "Tensor name: b has inconsistent batch size: 2 expecting: 1"
    assert refused(lambda: written(Form.ROWS, a=np.float32([1]), b=np.float32([1, 2]))) == message


def test_dtypes_that_json_has_not_are_refused():
    assert "Failed to write JSON value for tensor type: half" in refused(lambda: written(Form.ROWS, a=np.float16([1])))


@pytest.mark.parametrize("at_once", [1, 2, 7, 2**14])
@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4), (1, 30), (0,), (0, 3), (3, 0), (2, 0, 3), (1, 1, 1)])
def test_any_shape_is_written_in_whatever_portions(monkeypatch, shape, at_once):
    monkeypatch.setattr(json_predict, "_AT_ONCE", at_once)
    for dtype in (np.float32, np.int32):
        value = np.arange(np.prod(shape), dtype=dtype).reshape(shape)
        assert json.loads(written(Form.COLUMNS, a=value)) == {"outputs": value.tolist()}
        assert json.loads(written(Form.ROWS, a=value)) == {"predictions": value.tolist()}


@given(
    hnp.arrays(
        st.sampled_from(["float32", "float64", "int8", "int64", "uint8", "uint64", "bool"]),
        hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3),
    )
)
def test_what_is_written_reads_as_the_same(value):
    text = written(Form.COLUMNS, a=value).replace(b'"outputs"', b'"inputs"').decode()
    name = {"float32": "FLOAT", "float64": "DOUBLE"}.get(value.dtype.name, value.dtype.name.upper())
    found = read(text, a=name)[0]["a"]
    if value.size:  # or else the inner sizes are not to be seen
        assert found.dtype == value.dtype
        assert np.array_equal(found, value, equal_nan=value.dtype.kind == "f")


def test_base64_goes_both_ways():
    content = bytes(range(256))
    text = written(Form.COLUMNS, x_bytes=np.array([content], object)).replace(b"outputs", b"inputs").decode()
    assert base64.b64encode(content).decode() in text
    assert read(text, x="STRING")[0]["x"].tolist() == [content]


def test_a_signature_with_half_a_surrogate_pair_is_refused():
    document = parse(rb'{"signature_name": "\ud800", "instances": [1]}', max_memory=2**30)
    assert "The surrogate pair in string is invalid." in refused(lambda: signature_name(document))
    whole = parse(rb'{"signature_name": "\ud83d\ude00", "instances": [1]}', max_memory=2**30)
    assert signature_name(whole) == "\U0001f600"
