"""Arrays to TensorProto and back, without TensorFlow, and safe on what strangers send."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nightshift.errors import ServingError
from nightshift.protos import tensor_pb2, types_pb2

MAX_TENSOR_BYTES = 64 * 2**20
"""The most memory that one message may ask for: a single value is repeated to fill whatever shape it declares."""

_MAX_RANK = 64
"""NumPy's limit."""

_AT_ONCE = 2**16
"""Numbers that are Python's at a time: as objects they take ten times the memory."""

_STRING_BYTES = 24
"""What TensorFlow takes for an element of a string tensor, before its content."""


class TensorError(ServingError):
    """An array cannot be sent, or a TensorProto is not a tensor."""


@dataclass(frozen=True)
class _Kind:
    """How elements of one dtype travel."""

    number: int
    name: str
    dtype: np.dtype[Any]
    field: str
    stored: np.dtype[Any]
    """What one value in the field is: bits for halves, one of two parts for complex numbers."""


def _kind(proto_name: str, dtype: str, field: str, stored: str = "") -> _Kind:
    name = "string" if dtype == "O" else dtype
    number = types_pb2.DataType.Value(f"DT_{proto_name}")
    return _Kind(number, name, np.dtype(dtype), field, np.dtype(stored or dtype))


_KINDS = (
    _kind("FLOAT", "float32", "float_val"),
    _kind("DOUBLE", "float64", "double_val"),
    _kind("HALF", "float16", "half_val", "uint16"),
    _kind("INT8", "int8", "int_val"),
    _kind("INT16", "int16", "int_val"),
    _kind("INT32", "int32", "int_val"),
    _kind("INT64", "int64", "int64_val"),
    _kind("UINT8", "uint8", "int_val"),
    _kind("UINT16", "uint16", "int_val"),
    _kind("UINT32", "uint32", "uint32_val"),
    _kind("UINT64", "uint64", "uint64_val"),
    _kind("BOOL", "bool", "bool_val"),
    _kind("COMPLEX64", "complex64", "scomplex_val", "float32"),
    _kind("COMPLEX128", "complex128", "dcomplex_val", "float64"),
    _kind("STRING", "O", "string_val"),
)
_BY_NUMBER = {kind.number: kind for kind in _KINDS}
_BY_DTYPE = {kind.dtype: kind for kind in _KINDS}


def dtype_name(number: int) -> str:
    """The name of a DataType: NumPy's where there is one, `string` for strings, else TensorFlow's (`DT_VARIANT`)."""
    if number in _BY_NUMBER:
        return _BY_NUMBER[number].name
    return types_pb2.DataType.Name(number) if number in types_pb2.DataType.values() else f"DataType {number}"


def to_proto(array: np.ndarray[Any, Any]) -> Any:
    """A TensorProto of the array, numbers as raw bytes (`tensor_content`): the compact form, for requests.

    Args:
        array: any shape; bool, number, or object with an element of bytes or str each.

    Raises:
        TensorError: its dtype has no counterpart, or an object is neither bytes nor str.
    """
    proto = tensor_pb2.TensorProto()
    kind = _begin(proto, array)
    if kind.name == "string":
        proto.string_val.extend(_bytes_of(array))
    else:
        proto.tensor_content = np.ascontiguousarray(array, dtype=kind.dtype).tobytes()
    return proto


def to_field_proto(array: np.ndarray[Any, Any]) -> Any:
    """A TensorProto of the array, numbers in their typed field (`float_val` and so on), as TensorFlow Serving answers.

    Clients are written that read the field directly. Arguments and errors are those of `to_proto`.
    """
    proto = tensor_pb2.TensorProto()
    fill_field_proto(proto, array)
    return proto


def fill_field_proto(proto: Any, array: np.ndarray[Any, Any]) -> None:
    """As `to_field_proto`, into an empty TensorProto: one inside another message need not be copied there."""
    kind = _begin(proto, array)
    if kind.name == "string":
        proto.string_val.extend(_bytes_of(array))
    else:
        values = np.ascontiguousarray(array, dtype=kind.dtype).reshape(-1).view(kind.stored)
        for start in range(0, len(values), _AT_ONCE):
            getattr(proto, kind.field).extend(values[start : start + _AT_ONCE].tolist())


def _begin(proto: Any, array: np.ndarray[Any, Any]) -> _Kind:
    """Write dtype and shape."""
    kind = _BY_DTYPE.get(array.dtype)
    if kind is None:
        native = array.dtype.newbyteorder("=")
        kind = _BY_DTYPE.get(np.dtype("O") if native.kind == "U" else native)
    if kind is None:
        hint = ", put bytes into an object array" if native.kind == "S" else ""
        raise TensorError(f"found an array of dtype {array.dtype}, expected numbers, bool or strings{hint}")
    proto.dtype = kind.number
    shape = proto.tensor_shape
    shape.SetInParent()
    for size in array.shape:
        shape.dim.add().size = size
    return kind


def _bytes_of(array: np.ndarray[Any, Any]) -> Iterable[bytes]:
    for value in array.reshape(-1).tolist():
        if isinstance(value, str):
            yield value.encode()
        elif isinstance(value, bytes):
            yield value
        else:
            raise TensorError(f"found {type(value).__name__} in an array of objects, expected bytes or str")


def to_array(proto: Any, *, max_bytes: int = MAX_TENSOR_BYTES) -> np.ndarray[Any, Any]:
    """The array in a TensorProto; strings become an object array of bytes. It may be read-only.

    Values are taken from `tensor_content` or the dtype's own field, where a single one fills the shape. Nothing is
    allocated before the declared size has been held against what was sent. Unlike TensorFlow, which pads, a count
    of values between one and the size is refused, and so is none for a shape that holds some.

    Args:
        proto: a tensorflow.TensorProto.
        max_bytes: the most that the array may take.

    Raises:
        TensorError: dtype, shape and values do not make a tensor, or it is too large.
    """
    kind = _BY_NUMBER.get(proto.dtype)
    if kind is None:
        raise TensorError(f"dtype {dtype_name(proto.dtype)} cannot be read")
    shape = _shape_of(proto, kind, max_bytes)
    count = math.prod(shape)
    _refuse_foreign_fields(proto, kind)
    if proto.tensor_content:
        return _from_content(proto.tensor_content, kind, count).reshape(shape)
    values = _from_strings(proto, count, max_bytes) if kind.name == "string" else _from_field(proto, kind)
    if len(values) == count:
        return values.reshape(shape)
    if len(values) == 1:
        return np.broadcast_to(values, (count,)).copy().reshape(shape)
    raise TensorError(f"found {len(values)} values of {kind.name}, expected {count} for shape {list(shape)}")


def _shape_of(proto: Any, kind: _Kind, max_bytes: int) -> tuple[int, ...]:
    if proto.tensor_shape.unknown_rank:
        raise TensorError("the shape has an unknown rank")
    shape = tuple(dimension.size for dimension in proto.tensor_shape.dim)
    if len(shape) > _MAX_RANK:
        raise TensorError(f"found rank {len(shape)}, expected at most {_MAX_RANK}")
    if any(size < 0 for size in shape):
        raise TensorError(f"found shape {list(shape)}, expected no negative size")
    element = _STRING_BYTES if kind.name == "string" else kind.dtype.itemsize
    # Sizes beside a zero count too: NumPy multiplies them.
    if math.prod(max(size, 1) for size in shape) * element > max_bytes:
        raise TensorError(f"shape {list(shape)} of {kind.name} is larger than the limit of {max_bytes} bytes")
    return shape


def _refuse_foreign_fields(proto: Any, kind: _Kind) -> None:
    own = {"dtype", "tensor_shape", "version_number", kind.field, "tensor_content"}
    found = [field.name for field, _ in proto.ListFields() if field.name not in own]
    if found:
        raise TensorError(f"found {', '.join(found)} in a tensor of {kind.name}, expected {kind.field}")
    if proto.tensor_content and getattr(proto, kind.field):
        raise TensorError(f"found both tensor_content and {kind.field}")


def _from_content(content: bytes, kind: _Kind, count: int) -> np.ndarray[Any, Any]:
    if kind.name == "string":
        raise TensorError("found tensor_content in a tensor of string, expected string_val")
    if len(content) != count * kind.dtype.itemsize:
        expected = count * kind.dtype.itemsize
        raise TensorError(f"found {len(content)} bytes of tensor_content, expected {expected} of {kind.name}")
    if kind.name == "bool" and content.translate(None, b"\0\1"):
        raise TensorError("found a byte other than 0 and 1 in a tensor of bool")
    return np.frombuffer(content, dtype=kind.dtype.newbyteorder("<")).astype(kind.dtype, copy=False)


def _from_field(proto: Any, kind: _Kind) -> np.ndarray[Any, Any]:
    values = getattr(proto, kind.field)
    if len(values) * kind.stored.itemsize % kind.dtype.itemsize:
        raise TensorError(f"found {len(values)} values in {kind.field}, expected pairs")
    try:
        return np.fromiter(values, kind.stored, len(values)).view(kind.dtype)
    except OverflowError as error:
        raise TensorError(f"a value in {kind.field} does not fit {kind.name}: {error}") from error


def _from_strings(proto: Any, count: int, max_bytes: int) -> np.ndarray[Any, Any]:
    values = proto.string_val
    if len(values) == 1 and len(values[0]) * count > max_bytes:
        raise TensorError(f"one string for {count} elements is larger than the limit of {max_bytes} bytes")
    array = np.empty(len(values), dtype=object)
    array[:] = list(values)
    return array
