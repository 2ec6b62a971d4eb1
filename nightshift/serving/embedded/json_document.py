"""A JSON document from a stranger: parsed within bounds of memory, and shown in errors as TensorFlow Serving does."""

import json
from typing import Any

from nightshift.serving.status import invalid_argument, resource_exhausted

_VALUE_BYTES, _STRING_BYTES, _LIST_BYTES, _OBJECT_BYTES, _FIELD_BYTES = 45, 80, 110, 100, 180
"""What the interpreter takes at most for one of them: a number and its place in a list, a short string, a list, an
object, and a field of one with its place in the table. tests/serving/test_json_document.py measures."""

_SHOWN_CHARACTERS = 256


class Constant(float):
    """NaN, Infinity or -Infinity as written; a number that overflows is a plain float."""


def memory_of(body: bytes | bytearray) -> int:
    """An upper bound of the memory that parsing a document takes, in bytes, without parsing it.

    Args:
        body: JSON in UTF-8, or not.
    """
    lists, objects = body.count(b"["), body.count(b"{")
    values = body.count(b",") + lists + objects
    # A character beyond the 16-bit ones takes four bytes, and makes the others of its string as wide.
    characters = (2 if body.isascii() else 9) * len(body)
    return (
        characters
        + values * _VALUE_BYTES
        + body.count(b'"') // 2 * _STRING_BYTES
        + lists * _LIST_BYTES
        + objects * _OBJECT_BYTES
        + body.count(b":") * _FIELD_BYTES
    )


def parse(body: bytes | bytearray, *, max_memory: int) -> dict[str, Any]:
    """The object that a document holds.

    NaN, Infinity and -Infinity are numbers, as in TensorFlow Serving. Stricter than there: bytes that are no UTF-8,
    anything behind the object, and two fields of one name are refused.

    Args:
        body: JSON in UTF-8.
        max_memory: what parsing may take, in bytes.

    Raises:
        StatusError: INVALID_ARGUMENT for what is no such document, RESOURCE_EXHAUSTED for one that takes too much.
    """
    if not body:
        raise invalid_argument("JSON Parse error: The document is empty")
    needed = memory_of(body)
    if needed > max_memory:
        raise resource_exhausted(
            f"JSON of {len(body)} bytes may take {needed} bytes once parsed, more than the limit of {max_memory}; send "
            "fewer instances, or ask over gRPC"
        )
    try:
        document = json.loads(body.decode(), object_pairs_hook=_object, parse_constant=Constant)
    except UnicodeDecodeError as error:
        raise invalid_argument(f"JSON Parse error: Invalid encoding at offset: {error.start}") from error
    except json.JSONDecodeError as error:
        raise invalid_argument(f"JSON Parse error: {error.msg} at offset: {error.pos}") from error
    except RecursionError as error:
        raise invalid_argument("JSON Parse error: Nested too deeply") from error
    except ValueError as error:  # an integer of thousands of digits
        raise invalid_argument(f"JSON Parse error: {error}") from error
    if not isinstance(document, dict):
        raise invalid_argument(f"JSON Value: {shown(document)} Is not object")
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise invalid_argument(f"JSON Parse error: Found the field {shown(_repeated(pairs))} twice in one object")
    return found


def _repeated(pairs: list[tuple[str, Any]]) -> str:
    """The first name that was there before; some name was."""
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            break
        seen.add(name)
    return name


def type_name(value: Any) -> str:
    """What rapidjson calls the type of a parsed value."""
    if value is None or isinstance(value, bool):
        return {None: "Null", True: "True", False: "False"}[value]
    if isinstance(value, dict):
        return "Object"
    return "Array" if isinstance(value, list) else "String" if isinstance(value, str) else "Number"


def shown(value: Any) -> str:
    """A parsed value as JSON for a message: no more than about 256 characters, laid out as TensorFlow Serving does."""
    writer = _Writer()
    writer.write(value, 0)
    return writer.text[:_SHOWN_CHARACTERS]


class _Writer:
    """Writes until there is enough; each level of nesting takes a character, so that ends the recursion too."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, value: Any, depth: int) -> None:
        if self._full():
            return
        if isinstance(value, dict):
            self._write_object(value, depth)
        elif isinstance(value, list):
            self._write_list(value, depth)
        else:
            self.text += json.dumps(value[:_SHOWN_CHARACTERS] if isinstance(value, str) else value, ensure_ascii=False)

    def _full(self) -> bool:
        return len(self.text) >= _SHOWN_CHARACTERS

    def _write_object(self, value: dict[str, Any], depth: int) -> None:
        self.text += "{"
        for index, (name, field) in enumerate(value.items()):
            if self._full():
                return
            self.text += ("," if index else "") + "\n" + "    " * (depth + 1)
            self.write(name, depth + 1)
            self.text += ": "
            self.write(field, depth + 1)
        self.text += ("\n" + "    " * depth if value else "") + "}"

    def _write_list(self, value: list[Any], depth: int) -> None:
        self.text += "["
        for index, element in enumerate(value):
            if self._full():
                return
            self.text += ", " if index else ""
            self.write(element, depth + 1)
        self.text += "]"
