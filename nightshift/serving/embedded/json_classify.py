"""Classify in JSON: tf.Examples as objects of features, labels with scores, as in TensorFlow Serving's REST API."""

from collections.abc import Mapping
from typing import Any

from nightshift.serving.embedded.json_document import Constant, shown, type_name
from nightshift.serving.embedded.json_predict import number_of, text_of
from nightshift.serving.embedded.json_values import is_base64, string_of
from nightshift.serving.status import invalid_argument

_CONTEXT, _EXAMPLES = "context", "examples"
_INT64 = 2**63
_FIELDS = {str: "bytes", dict: "bytes", bool: "int64", int: "int64", float: "float", Constant: "float"}
"""Type of a value to the kind of feature that holds it."""


def fill_examples(document: Mapping[str, Any], sent: Any) -> None:
    """Read the examples of a request into an Input, and the context that is merged into each, if there is one.

    Raises:
        StatusError: there are none, or a feature is none.
    """
    into = sent.example_list
    if _CONTEXT in document:
        into = sent.example_list_with_context
        _fill(into.context, document[_CONTEXT])
    if _EXAMPLES not in document:
        raise invalid_argument(
            f"JSON Value: {shown(document)} When method is classify, key 'examples' is expected and was not found"
        )
    examples = document[_EXAMPLES]
    if not isinstance(examples, list):
        raise invalid_argument(f"JSON Value: {shown(document)} Expecting 'examples' value to be an list/array")
    if not examples:
        raise invalid_argument(f"JSON Value: {shown(document)} 'examples' value is an empty array")
    for example in examples:
        _fill(into.examples.add(), example)


def _fill(example: Any, value: Any) -> None:
    if not isinstance(value, dict):
        raise invalid_argument(f"Example must be JSON object but got JSON {type_name(value)}")
    for name, content in value.items():
        # Half a surrogate pair is a string in Python, and none in a message.
        feature = example.features.feature[string_of(name).decode()]
        _fill_feature(feature, name, content if isinstance(content, list) else [content])


def _fill_feature(feature: Any, name: str, values: list[Any]) -> None:
    for value in values:
        if type(value) not in _FIELDS or (isinstance(value, dict) and not is_base64(value)):
            raise invalid_argument(f"Feature: {name} has element with unexpected JSON type: {type_name(value)}")
    kinds = list(dict.fromkeys(_FIELDS[type(value)] for value in values))
    if len(kinds) > 1:
        raise invalid_argument(f"Unexpected element type in feature: {name} expecting type: {kinds[0]}")
    if not kinds:
        return
    if kinds == ["bytes"]:
        feature.bytes_list.value.extend(string_of(value) for value in values)
    elif kinds == ["float"]:
        feature.float_list.value.extend(values)
    else:
        if any(not -_INT64 <= value < _INT64 for value in values):
            raise invalid_argument(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
        feature.int64_list.value.extend(map(int, values))


def answer_to_classify(result: Any) -> bytes:
    """The body of an answer: for each example a list of pairs of label and score.

    Args:
        result: a ClassificationResult.
    """
    rows = (b", ".join(_pair(entry) for entry in row.classes) for row in result.classifications)
    return b'{"results": [%s]}\n' % b", ".join(b"[%s]" % row for row in rows)


def _pair(entry: Any) -> bytes:
    return b"[%s, %s]" % (text_of(entry.label.encode()), number_of(entry.score))
