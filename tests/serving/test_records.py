"""TFRecord framing: what TensorFlow reads, and what damage is seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.errors import DataError
from nightshift.serving.records import framed, unframed

RECORDS = [b"", b"a", bytes(range(256)) * 40]


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_records_come_back_as_they_were(records):
    assert list(unframed(framed(records), "file")) == records


def test_tensorflow_reads_and_writes_the_same_bytes(tmp_path):
    import tensorflow as tf

    path = tmp_path / "records"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in RECORDS:
            writer.write(record)
    assert path.read_bytes() == framed(RECORDS)
    assert [record.numpy() for record in tf.data.TFRecordDataset(str(path))] == RECORDS


@given(st.data())
def test_a_changed_or_missing_byte_is_an_error(data):
    content = framed([b"first", b"second"])
    place = data.draw(st.integers(0, len(content) - 1))
    changed = content[:place] + bytes([content[place] ^ data.draw(st.integers(1, 255))]) + content[place + 1 :]
    with pytest.raises(DataError, match="file: byte"):
        list(unframed(changed, "file"))
    if place not in (0, len(framed([b"first"]))):
        with pytest.raises(DataError, match="file: byte"):
            list(unframed(content[:place], "file"))
