"""Nested lists of JSON to arrays of a signature's dtype, in TensorFlow Serving's words (json_tensor.cc).

A whole tensor is converted at once, level by level. Only if that fails the first value that is at fault is looked for.
"""

import base64
import binascii
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nightshift.protos import types_pb2
from nightshift.serving.embedded.json_document import Constant, shown, type_name
from nightshift.serving.status import StatusError, invalid_argument, unimplemented

_MAX_RANK = 64
"""NumPy's limit."""

_STRING_BYTES = 24
"""What TensorFlow takes for an element of a string tensor, before its content."""

_B64 = "b64"


class _UnfitError(Exception):
    """Some value does not fit; `_explain` tells which one."""


@dataclass(frozen=True)
class Kind:
    """How values of one dtype are written in JSON.

    Attributes:
        name: TensorFlow's for the dtype.
        dtype: of the array; object for strings.
        types: what a value may be in Python.
    """

    name: str
    dtype: np.dtype[Any]
    types: frozenset[type]

    def array(self, values: list[Any]) -> np.ndarray[Any, Any]:
        """The values as a vector.

        Raises:
            _UnfitError: one is of another type or beyond the dtype's range.
        """
        if not set(map(type, values)) <= self.types:
            raise _UnfitError
        if self.dtype.kind == "O":
            strings = np.empty(len(values), dtype=object)
            strings[:] = [string_of(value) for value in values]
            return strings
        try:
            return self._floats(values) if self.dtype.kind == "f" else np.array(values, dtype=self.dtype)
        except OverflowError as error:
            raise _UnfitError from error

    def _floats(self, values: list[Any]) -> np.ndarray[Any, Any]:
        found = np.array(values, dtype=np.float64)
        with np.errstate(over="ignore"):
            narrow = found.astype(self.dtype, copy=False)
        for index in np.flatnonzero(np.isinf(narrow)):
            if type(values[index]) is not Constant:  # a number that overflows, where `Infinity` was not written
                raise _UnfitError
        return narrow


def _kind(proto_name: str, dtype: str, *types: type) -> tuple[int, Kind]:
    number = types_pb2.DataType.Value(f"DT_{proto_name}")
    return number, Kind(proto_name.lower(), np.dtype(dtype), frozenset(types))


_KINDS = dict(
    (
        _kind("FLOAT", "float32", float, int, Constant),
        _kind("DOUBLE", "float64", float, int, Constant),
        _kind("INT8", "int8", int),
        _kind("INT16", "int16", int),
        _kind("INT32", "int32", int),
        _kind("INT64", "int64", int),
        _kind("UINT8", "uint8", int),
        _kind("UINT32", "uint32", int),
        _kind("UINT64", "uint64", int),
        _kind("BOOL", "bool", bool),
        _kind("STRING", "O", str, dict),
    )
)
"""By DataType; TensorFlow Serving reads and writes no others in JSON."""


def kind_of(dtype: int) -> Kind | None:
    """How a DataType is written in JSON; None if it is not."""
    return _KINDS.get(dtype)


def is_base64(value: Any) -> bool:
    """Whether a parsed value is a string of bytes: {"b64": "..."}."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get(_B64), str)


def string_of(value: Any) -> bytes:
    """The bytes of a string, or of {"b64": "..."}.

    Raises:
        StatusError: it is neither, no base64, or half a surrogate pair.
    """
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            raise invalid_argument("JSON Parse error: The surrogate pair in string is invalid.") from error
    if not is_base64(value):
        raise invalid_argument(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
    try:
        return _unpadded(value[_B64])
    except ValueError as error:
        raise invalid_argument("Unable to base64 decode") from error


def _unpadded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        # Blanks between, and no padding at the end, are as good.
        text = "".join(text.split()).rstrip("=")
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def array_of(value: Any, dtype: int, *, max_bytes: int) -> np.ndarray[Any, Any]:
    """A value, a list of values, or lists of lists, as an array.

    Integers do for floats, floats not for integers, and no number is taken that its dtype cannot hold (TensorFlow
    Serving cuts those to eight bits for a uint8).

    Args:
        value: parsed JSON.
        dtype: the DataType to be.
        max_bytes: the most memory that it may take.

    Raises:
        StatusError: INVALID_ARGUMENT with the first value at fault; UNIMPLEMENTED for a dtype that JSON has not.
    """
    kind = kind_of(dtype)
    if kind is None:
        raise unimplemented(f"Conversion of JSON Value: {shown(value)} to type: {runtime_name(dtype)}")
    try:
        shape, values = _flattened(value)
        _check_size(shape, kind, max_bytes)
        return kind.array(values).reshape(shape)
    except _UnfitError:
        _explain(value, _first_shape(value), kind, 0)
        raise AssertionError("some value does not fit") from None


def runtime_name(dtype: int) -> str:
    """TensorFlow's name of a DataType, as `float`."""
    known = dtype in types_pb2.DataType.values()
    return str(types_pb2.DataType.Name(dtype)).removeprefix("DT_").lower() if known else f"unknown dtype enum ({dtype})"


def _flattened(value: Any) -> tuple[list[int], list[Any]]:
    shape: list[int] = []
    level = [value]
    while level and type(level[0]) is list:
        sizes = set(map(len, level)) if set(map(type, level)) == {list} else set()
        if len(sizes) != 1:
            raise _UnfitError
        shape += sizes
        if len(shape) > _MAX_RANK:
            raise invalid_argument(f"found lists nested {len(shape)} deep, expected at most {_MAX_RANK}")
        level = list(itertools.chain.from_iterable(level))
    return shape, level


def _check_size(shape: list[int], kind: Kind, max_bytes: int) -> None:
    element = _STRING_BYTES if kind.dtype.kind == "O" else kind.dtype.itemsize
    if math.prod(shape) * element > max_bytes:
        raise invalid_argument(f"shape {shape} of {kind.name} is larger than the limit of {max_bytes} bytes")


def _first_shape(value: Any) -> list[int]:
    """The shape that the first elements promise; no deeper than what can be walked."""
    shape: list[int] = []
    while isinstance(value, list) and len(shape) < _MAX_RANK:
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape


def _explain(value: Any, shape: list[int], kind: Kind, level: int) -> None:
    """Raise what TensorFlow Serving says of the first value that does not fit."""
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid_argument(
                f"JSON Value: {shown(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {len(shape)}"
            )
        _check(value, kind)
        return
    if level >= len(shape):
        raise invalid_argument(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid_argument(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    index = first_unfit(value, lambda part: _fit(part, shape[level + 1 :], kind))
    _explain(value[index], shape, kind, level + 1)


def _fit(values: list[Any], shape: list[int], kind: Kind) -> bool:
    try:
        found, leaves = _flattened(values)
        kind.array(leaves)
    except (_UnfitError, StatusError):
        return False
    return found[1:] == shape


def first_unfit(values: list[Any], fit: Callable[[list[Any]], bool]) -> int:
    """The index of the first value that does not fit, of some of which one does not.

    Halved again and again, so that it takes no longer than to look at all of them together twice.
    """
    low, high = 0, len(values)
    while high - low > 1:
        middle = (low + high) // 2
        if fit(values[low:middle]):
            low = middle
        else:
            high = middle
    return low


def _check(value: Any, kind: Kind) -> None:
    try:
        kind.array([value])
    except _UnfitError:
        raise invalid_argument(
            f"JSON Value: {shown(value)} Type: {type_name(value)} is not of expected type: {kind.name}"
        ) from None
