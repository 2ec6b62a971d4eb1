"""JSON of strangers: what parsing takes is known before, and whatever is sent has an answer in bounded time."""

import json
import time
import tracemalloc

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightshift.serving.embedded.json_document import memory_of, parse, shown, type_name
from nightshift.serving.status import StatusError

ANY = 10**12


def message_of(body, max_memory=ANY):
    with pytest.raises(StatusError) as error:
        parse(body, max_memory=max_memory)
    return error.value.message


def many(element, count=3000):
    return b'{"instances": [' + b",".join([element] * count) + b"]}"


@pytest.mark.parametrize(
    "body",
    [
        many(b"0"),
        many(b"257"),
        many(b"1.5"),
        many(b"9" * 300),
        many(b"[]"),
        many(b"[0]"),
        many(b"[1.5]"),
        many(b"[1.5,2.5,3.5,4.5,5.5]"),
        many(b"[[[[]]]]"),
        many(b"{}"),
        many(b'{"a":1.5}'),
        many(b'{"a":"bc"}'),
        many(b'{"a":{"a":{}}}'),
        many(b'{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6}'),
        many(b'{"abcdefghij":[]}'),
        many(b'{"b64":"abcd"}'),
        many(b'"ab"'),
        many(b'"\\u0041\\u0042"'),
        many('"é1"'.encode()),
        many(b'"' + b"x" * 1000 + b'"', 500),
        b'{"a": ["' + "😀".encode() + b"x" * 500_000 + b'"]}',
        b"{" + b",".join(b'"%d":0' % number for number in range(3000)) + b"}",
        b"{" + b",".join(b'"%d":{"%d":1.5}' % (number, number) for number in range(1500)) + b"}",
    ],
    ids=lambda body: body[:40].decode("utf-8", "replace"),
)
def test_parsing_takes_no_more_than_was_reckoned(body):
    tracemalloc.start()
    try:
        document = parse(body, max_memory=ANY)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert document
    assert peak <= memory_of(body)


def test_what_would_take_more_is_refused_before():
    body = many(b"{}")
    with pytest.raises(StatusError) as error:
        parse(body, max_memory=memory_of(body) - 1)
    assert error.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert parse(body, max_memory=memory_of(body))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The document is empty"),
        (b'{"a": \xff}', "Invalid encoding at offset: 6"),
        (b'{"a": 1} 2', "Extra data at offset: 9"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', 'Found the field "c" twice in one object'),
        (b"[" * 100_000, "Nested too deeply"),
        (b'{"a":' * 100_000, "Nested too deeply"),
        (b'{"a": ' + b"1" * 5000 + b"}", "Exceeds the limit"),
        (b'{"a": nan}', "Expecting value at offset: 6"),
        (b'{"a": "\x00"}', "Invalid control character"),
    ],
)
def test_what_is_no_document_is_refused(body, message):
    assert message_of(body).startswith("JSON Parse error: ")
    assert message in message_of(body)


def test_a_repeated_field_among_very_many_is_found_soon():
    body = b"{" + b",".join(b'"%d":0' % number for number in [*range(100_000), 99_999]) + b"}"
    started = time.process_time()
    assert 'Found the field "99999" twice' in message_of(body)
    assert time.process_time() - started < 10


@pytest.mark.parametrize("body", [b"1", b"[]", b'"a"', b"null", b"NaN"])
def test_a_document_is_an_object(body):
    assert message_of(body).endswith(" Is not object")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=10,
)
FEW = settings(max_examples=40)


@FEW
@given(st.dictionaries(st.text(), JSON))
def test_any_document_is_read_as_it_was_written(document):
    read = parse(json.dumps(document).encode(), max_memory=ANY)
    assert repr(read) == repr(document) or json.dumps(read) == json.dumps(document)


@given(st.binary(max_size=50) | st.text(alphabet='{}[]":,0123456789.eE-+truefalsnINaity\\u ').map(str.encode))
def test_any_bytes_are_read_or_refused(body):
    try:
        assert isinstance(parse(body, max_memory=ANY), dict)
    except StatusError as error:
        assert error.message.startswith("JSON ")  # noqa: PT017


@FEW
@given(JSON)
def test_what_is_shown_in_errors_is_short(value):
    text = shown(value)
    assert 0 < len(text) <= 256
    if len(text) < 200:
        assert json.dumps(json.loads(text)) == json.dumps(value)


def test_what_is_shown_is_laid_out_as_tensorflow_serving_does():
    assert shown({"a": [1, {"b": None}], "c": {}}) == (
        '{\n    "a": [1, {\n            "b": null\n        }],\n    "c": {}\n}'
    )
    nested = value = []
    for _ in range(5000):
        value.append([])
        value = value[0]
    assert shown(nested) == "[" * 256
    while nested:  # or else it is freed recursively
        nested = nested[0]


@pytest.mark.parametrize(
    ("value", "name"),
    [(None, "Null"), (True, "True"), (False, "False"), ({}, "Object"), ([], "Array"), ("", "String"), (1.5, "Number")],
)
def test_types_have_rapidjson_s_names(value, name):
    assert type_name(value) == name
