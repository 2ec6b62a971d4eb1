"""Predict in JSON: rows (`instances`) or columns (`inputs`) to tensors, and back, as TensorFlow Serving's REST API."""

import base64
import enum
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from nightshift.serving.embedded.json_document import shown
from nightshift.serving.embedded.json_values import array_of, first_unfit, is_base64, kind_of, runtime_name, string_of
from nightshift.serving.status import StatusError, invalid_argument
from nightshift.serving.tensors import to_array, to_proto

_SIGNATURE, _INSTANCES, _INPUTS = "signature_name", "instances", "inputs"
_BYTES_SUFFIX = "_bytes"
_AT_ONCE = 2**14
"""Values that become text at a time: as objects they take 20 times the memory."""


class Form(enum.Enum):
    """How a request holds its tensors, and its answer will: the value is the answer's field."""

    ROWS = "predictions"
    COLUMNS = "outputs"


def signature_name(document: Mapping[str, Any]) -> str:
    """The signature that a request names; '' if it names none.

    Raises:
        StatusError: it is no string, or has half a surrogate pair.
    """
    name = document.get(_SIGNATURE, "")
    if not isinstance(name, str):
        raise invalid_argument(
            f"JSON Value: {shown(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return string_of(name).decode()


def fill_inputs(document: Mapping[str, Any], infos: Mapping[str, Any], inputs: Any, *, max_bytes: int) -> Form:
    """Read the tensors of a request.

    Args:
        document: with `instances`, a list with a value or an object for each example, or `inputs`, one value or an
            object of values.
        infos: name to TensorInfo, of the signature.
        inputs: where to put a TensorProto for each name.
        max_bytes: the most memory that one of them may take.

    Raises:
        StatusError: the document holds no tensors, or not those of the signature.
    """
    if _INSTANCES in document and _INPUTS in document:
        raise invalid_argument(
            f"JSON Value: {shown(document)} Not formatted correctly expecting only one of 'inputs' or 'instances' "
            "keys to exist "
        )
    if _INSTANCES in document:
        arrays, form = _of_rows(document, infos, max_bytes), Form.ROWS
    elif _INPUTS in document:
        arrays, form = _of_columns(document[_INPUTS], infos, max_bytes), Form.COLUMNS
    else:
        raise invalid_argument("Missing 'inputs' or 'instances' key")
    for name, array in arrays.items():
        inputs[name].CopyFrom(to_proto(array))
    return form


def _of_columns(value: Any, infos: Mapping[str, Any], max_bytes: int) -> dict[str, np.ndarray[Any, Any]]:
    if not _is_object(value):
        if len(infos) > 1:
            raise invalid_argument(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        value = dict.fromkeys(infos, value)
    for name in sorted(infos):
        if name not in value:
            raise invalid_argument(f"Missing named input: {name} in 'inputs' object.")
    return {name: array_of(value[name], info.dtype, max_bytes=max_bytes) for name, info in infos.items()}


def _of_rows(document: Mapping[str, Any], infos: Mapping[str, Any], max_bytes: int) -> dict[str, np.ndarray[Any, Any]]:
    rows = document[_INSTANCES]
    if not isinstance(rows, list):
        raise invalid_argument(f"JSON Value: {shown(document)} Expecting 'instances' to be an list/array")
    if not rows:
        raise invalid_argument(f"JSON Value: {shown(document)} No values in 'instances' array")
    if not _is_object(rows[0]) and len(infos) > 1:
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    if not _is_object(rows[0]):
        _check_all(rows, lambda row: not _is_object(row), "Expecting value/list but got object at item")
        (name,) = infos
        return {name: _stacked(rows, infos[name].dtype, max_bytes, "")}
    _check_all(rows, _is_object, "Expecting object but got list at item")
    for index, row in enumerate(rows):
        _check_names(row, infos, index)
    return {
        name: _stacked([row[name] for row in rows], info.dtype, max_bytes, f" key: {name}")
        for name, info in infos.items()
    }


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _check_all(rows: list[Any], sound: Callable[[Any], bool], message: str) -> None:
    for index, row in enumerate(rows):
        if not sound(row):
            raise invalid_argument(f"{message} {index} of input list")


def _check_names(row: dict[str, Any], infos: Mapping[str, Any], index: int) -> None:
    for name in row:
        if name not in infos:
            raise invalid_argument(
                f"Failed to process element: {index} key: {name} of 'instances' list. Error: INVALID_ARGUMENT: "
                f"JSON object: does not have named input: {name}"
            )
    if len(row) != len(infos):
        raise invalid_argument(
            f"Failed to process element: {index} of 'instances' list. JSON object: {shown(row)} keys must be equal to: "
            + ",".join(sorted(infos))
        )


def _stacked(rows: list[Any], dtype: int, max_bytes: int, key: str) -> np.ndarray[Any, Any]:
    """The rows as one array; if they make none, the first row at fault is named."""

    def of(some: Any) -> np.ndarray[Any, Any]:
        return array_of(some, dtype, max_bytes=max_bytes)

    try:
        return of(rows)
    except StatusError as failure:
        index = first_unfit(rows, lambda part: _succeeds(lambda: of([rows[0], *part])))
        try:
            shapes = [of(row).shape for row in (rows[0], rows[index])]
            if shapes[0] == shapes[1]:
                raise failure  # all of them together are too large
            raise invalid_argument(_unequal(*shapes))
        except StatusError as error:
            if error is failure:
                raise
            reason = f"{error.code.name}: {error.message}"
            message = f"Failed to process element: {index}{key} of 'instances' list. Error: {reason}"
            raise StatusError(error.code, message) from error


def _succeeds(work: Callable[[], object]) -> bool:
    try:
        work()
    except StatusError:
        return False
    return True


def _unequal(expected: tuple[int, ...], found: tuple[int, ...]) -> str:
    if np.prod(expected) != np.prod(found):
        return f"Expecting tensor size: {np.prod(expected):g} but got: {np.prod(found):g}"
    as_text = [f"[{','.join(map(str, shape))}]" for shape in (expected, found)]
    return f"Expecting shape {as_text[0]} but got: {as_text[1]}"


def answer_to(outputs: Mapping[str, Any], form: Form, *, max_bytes: int) -> bytes:
    """The body of an answer; one output stands for itself, several have their names.

    Strings are text as they are, whether they are UTF-8 or not; those of an output whose name ends in `_bytes` are
    {"b64": "..."}. Floats are the shortest text that reads as the same number; NaN and Infinity are bare words.

    Args:
        outputs: name to TensorProto.
        form: of the request.
        max_bytes: the most memory that one array may take.

    Raises:
        StatusError: an output cannot be written, or has no rows.
    """
    arrays = {name: _readable(name, outputs[name], max_bytes) for name in sorted(outputs)}
    several = len(arrays) > 1
    if form is Form.ROWS:
        _check_batch(arrays)
        pieces = [b"[", *_separated(_rows(arrays)), b"]"]
    elif several:
        named = (b"".join([_quoted(name), *_text(array, name)]) for name, array in arrays.items())
        pieces = [b"{", *_separated(named), b"}"]
    else:
        ((name, array),) = arrays.items()
        pieces = _text(array, name)
    return b"".join([b'{"%s": ' % form.value.encode(), *pieces, b"}\n"])


def _separated(texts: Iterable[bytes]) -> Iterator[bytes]:
    for index, text in enumerate(texts):
        yield b", " + text if index else text


def _quoted(name: str) -> bytes:
    return json.dumps(name).encode() + b": "


def _readable(name: str, proto: Any, max_bytes: int) -> np.ndarray[Any, Any]:
    if kind_of(proto.dtype) is None:
        raise invalid_argument(f"Failed to write JSON value for tensor type: {runtime_name(proto.dtype)} ({name})")
    return to_array(proto, max_bytes=max_bytes)


def _check_batch(arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    size = -1
    for name, array in arrays.items():
        if array.ndim == 0:
            raise invalid_argument(f"Tensor name: {name} has no shape information ")
        if size not in (-1, len(array)):
            raise invalid_argument(f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {size}")
        size = len(array)


def _rows(arrays: Mapping[str, np.ndarray[Any, Any]]) -> Iterator[bytes]:
    """The rows, some at a time; each an object if there are several arrays."""
    names = [_quoted(name) for name in arrays]
    for rows in _portions(len(next(iter(arrays.values()))), sum(array.size for array in arrays.values())):
        columns = [_texts(array[rows], name) for name, array in arrays.items()]
        if len(names) == 1:
            yield b", ".join(columns[0])
        else:
            fields = (map(bytes.__add__, names, row) for row in zip(*columns, strict=True))
            yield b", ".join(b"{" + b", ".join(row) + b"}" for row in fields)


def _text(array: np.ndarray[Any, Any], name: str) -> list[bytes]:
    """The array, in pieces."""
    if array.ndim == 0:
        return _values(array.reshape(1), name)
    portions = (b", ".join(_texts(array[rows], name)) for rows in _portions(len(array), array.size))
    return [b"[", *_separated(portions), b"]"]


def _portions(length: int, size: int) -> Iterator[slice]:
    """Rows at a time of so many that hold so many values, for about _AT_ONCE values each."""
    count = max(_AT_ONCE * length // max(size, 1), 1)
    return (slice(start, start + count) for start in range(0, length, count))


def _texts(block: np.ndarray[Any, Any], name: str) -> list[bytes]:
    """Each row; a single one may be large."""
    if block.size <= _AT_ONCE:
        return _nested(block, name)
    return [b"".join(_text(row, name)) for row in block]


def _nested(block: np.ndarray[Any, Any], name: str) -> list[bytes]:
    """The text of each row of not too many values at once: single values, wrapped from the innermost lists outwards."""
    texts = _values(block.reshape(-1), name)
    for axis in range(block.ndim - 1, 0, -1):
        size, count = block.shape[axis], int(np.prod(block.shape[:axis]))
        texts = [b"[" + b", ".join(texts[size * one : size * (one + 1)]) + b"]" for one in range(count)]
    return texts


_NOT_FINITE = {b"nan": b"NaN", b"inf": b"Infinity", b"-inf": b"-Infinity"}


def _values(vector: np.ndarray[Any, Any], name: str) -> list[bytes]:
    if vector.dtype.kind == "f":
        texts = vector.astype("S32").tolist()
        return texts if np.isfinite(vector).all() else [_NOT_FINITE.get(text, text) for text in texts]
    if vector.dtype.kind == "b":
        return [b"true" if value else b"false" for value in vector.tolist()]
    if vector.dtype.kind != "O":
        return [b"%d" % value for value in vector.tolist()]
    if name.endswith(_BYTES_SUFFIX):
        return [b'{"b64": "%s"}' % base64.b64encode(value) for value in vector.tolist()]
    return [text_of(value) for value in vector.tolist()]


def text_of(value: bytes) -> bytes:
    """A string as JSON; bytes that are no UTF-8 pass through, as they do in TensorFlow Serving."""
    return json.dumps(value.decode(errors="surrogateescape"), ensure_ascii=False).encode(errors="surrogateescape")


def number_of(value: float) -> bytes:
    """A float32 as JSON."""
    return _values(np.array([value], dtype=np.float32), "")[0]
