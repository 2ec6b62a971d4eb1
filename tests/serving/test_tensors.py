import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nightshift.protos import tensor_pb2, types_pb2
from nightshift.serving.tensors import TensorError, dtype_name, to_array, to_field_proto, to_proto

NUMBERS = [
    *("float16", "float32", "float64", "complex64", "complex128", "bool"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def string_array(values, shape):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array.reshape(shape)


NUMBER_ARRAYS = st.sampled_from(NUMBERS).flatmap(lambda dtype: hnp.arrays(dtype, SHAPES))
STRING_ARRAYS = SHAPES.flatmap(
    lambda shape: st.lists(st.binary(max_size=5), min_size=int(np.prod(shape)), max_size=int(np.prod(shape))).map(
        lambda values: string_array(values, shape)
    )
)
ARRAYS = NUMBER_ARRAYS | STRING_ARRAYS


def assert_same(found, expected):
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert found.tolist() == expected.tolist() or found.tobytes() == expected.tobytes()


@given(ARRAYS)
def test_what_is_sent_arrives(array):
    assert_same(to_array(to_proto(array)), array)
    assert_same(to_array(to_field_proto(array)), array)


@given(ARRAYS)
def test_tensorflow_reads_what_is_sent(array):
    assert_same(tf.make_ndarray(to_proto(array)), array)
    assert_same(tf.make_ndarray(to_field_proto(array)), array)


@given(ARRAYS)
def test_what_tensorflow_sends_is_read(array):
    assert_same(to_array(tf.make_tensor_proto(array, dtype=tf.as_dtype(array.dtype), shape=array.shape)), array)


@given(st.sampled_from(NUMBERS), st.integers(0, 1), hnp.array_shapes(max_dims=3, max_side=4))
def test_a_single_value_fills_the_shape_as_in_tensorflow(dtype, value, shape):
    proto = to_field_proto(np.array(value, dtype=dtype))
    proto.tensor_shape.CopyFrom(to_proto(np.zeros(shape)).tensor_shape)
    assert_same(to_array(proto), tf.make_ndarray(proto))


def test_a_string_keeps_the_zeros_at_its_end():
    assert to_array(to_proto(string_array([b"a\0\0"], (1,)))).tolist() == [b"a\0\0"]


def test_text_is_sent_as_utf_8():
    assert to_proto(np.array(["Zürich"])).string_val[0] == "Zürich".encode()


def test_other_byte_orders_are_sent_as_numbers():
    assert to_array(to_proto(np.array([1, 258], dtype=">i4"))).tolist() == [1, 258]


@pytest.mark.parametrize(
    "array",
    [np.array([b"fixed width"]), np.array([None]), np.array(["2026-01-01"], "M8[D]"), np.array([1], np.longdouble)],
    ids=str,
)
def test_what_has_no_counterpart_is_refused(array):
    with pytest.raises(TensorError):
        to_proto(array)


def proto(dtype="DT_FLOAT", shape=(), **fields):
    message = tensor_pb2.TensorProto(dtype=types_pb2.DataType.Value(dtype), **fields)
    for size in shape:
        message.tensor_shape.dim.add().size = size
    return message


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (proto("DT_INVALID", float_val=[1]), "DT_INVALID"),
        (proto("DT_VARIANT"), "DT_VARIANT"),
        (proto("DT_FLOAT_REF", float_val=[1]), "DT_FLOAT_REF"),
        (tensor_pb2.TensorProto(dtype=12345), "12345"),
        (proto(shape=[2], tensor_content=bytes(7)), "found 7 bytes of tensor_content, expected 8"),
        (proto(shape=[2], tensor_content=bytes(12)), "found 12 bytes"),
        (proto(shape=[-1], float_val=[1]), "negative"),
        (proto(shape=[3], float_val=[1, 2]), "found 2 values of float32, expected 3"),
        (proto(shape=[2]), "found 0 values"),
        (proto(shape=[1], float_val=[1, 2]), "found 2 values"),
        (proto(shape=[2**62, 2**62], float_val=[1]), "larger than the limit"),
        (proto(shape=[0, 2**62]), "larger than the limit"),
        (proto(shape=[2**40], float_val=[1]), "larger than the limit"),
        (proto("DT_STRING", shape=[2**40], string_val=[b"a"]), "larger than the limit"),
        (proto("DT_STRING", shape=[1000], string_val=[bytes(2**20)]), "larger than the limit"),
        (proto(shape=[1] * 65, float_val=[1]), "rank 65"),
        (proto(shape=[1], string_val=[b"1"]), "found string_val in a tensor of float32"),
        (proto("DT_STRING", shape=[1], float_val=[1]), "found float_val in a tensor of string"),
        (proto("DT_STRING", shape=[1], tensor_content=b"\1a"), "tensor_content in a tensor of string"),
        (proto(shape=[1], float_val=[1], tensor_content=bytes(4)), "both tensor_content and float_val"),
        (proto("DT_UINT8", shape=[1], int_val=[256]), "does not fit uint8"),
        (proto("DT_UINT8", shape=[1], int_val=[-1]), "does not fit uint8"),
        (proto("DT_HALF", shape=[1], half_val=[2**16]), "does not fit float16"),
        (proto("DT_BOOL", shape=[1], tensor_content=b"\2"), "other than 0 and 1"),
        (proto("DT_COMPLEX64", shape=[1], scomplex_val=[1.0]), "pairs"),
        (proto("DT_COMPLEX64", shape=[1], scomplex_val=[1.0, 2.0, 3.0]), "pairs"),
    ],
)
def test_what_is_not_a_tensor_is_refused(message, reason):
    with pytest.raises(TensorError, match=reason):
        to_array(message)


def test_an_unknown_rank_is_refused():
    message = proto(float_val=[1])
    message.tensor_shape.unknown_rank = True
    with pytest.raises(TensorError, match="unknown rank"):
        to_array(message)


@given(st.binary(max_size=60))
@settings(max_examples=300)
def test_random_bytes_are_a_tensor_or_an_error(content):
    message = tensor_pb2.TensorProto()
    try:
        message.MergeFromString(content)
    except Exception:
        return
    try:
        array = to_array(message, max_bytes=2**20)
    except TensorError:
        return
    assert array.size == 0 or array.nbytes <= 2**20


def test_dtypes_have_names():
    assert dtype_name(types_pb2.DT_UINT8) == "uint8"
    assert dtype_name(types_pb2.DT_STRING) == "string"
    assert dtype_name(types_pb2.DT_VARIANT) == "DT_VARIANT"
    assert dtype_name(9999) == "DataType 9999"
