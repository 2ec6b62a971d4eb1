import dataclasses
import struct

import numpy as np
import pytest
import tensorflow as tf

from nightshift.data.manifest import Dataset
from nightshift.data.sample import sample
from nightshift.errors import DataError


def test_the_sample_is_what_tensorflow_reads_first(corners):
    images, labels = sample(corners, "test", 5)
    files = [str(path) for path in corners.shards("test")]
    for number, record in enumerate(tf.data.TFRecordDataset(files).take(5)):
        feature = tf.train.Example.FromString(record.numpy()).features.feature
        assert images[number].tobytes() == feature["image"].bytes_list.value[0]
        assert labels[number] == feature["label"].int64_list.value[0]
    assert images.shape == (5, 12, 12, 1)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64


def test_a_split_smaller_than_asked_for_comes_whole(corners):
    images, labels = sample(corners, "validation", 1000)
    assert len(images) == len(labels) == 60


def test_the_order_is_fair_to_the_classes(corners):
    _, labels = sample(corners, "train", 100)
    assert np.bincount(labels, minlength=4).min() > 10


def cut_off(dataset: Dataset, folder, keep: int) -> Dataset:
    """A dataset whose first test shard ends too early."""
    shard = dataset.manifest.splits["test"].shards[0].name
    (folder / shard).write_bytes((dataset.path / shard).read_bytes()[:keep])
    return dataclasses.replace(dataset, path=folder)


@pytest.mark.parametrize("keep", [5, 11, 12, 40])
def test_a_file_that_ends_inside_a_record_is_named(corners, tmp_path, keep):
    with pytest.raises(DataError, match=r"test-00000-of-00024\.tfrecord: ends inside a record"):
        sample(cut_off(corners, tmp_path, keep), "test", 3)


def test_a_length_beyond_the_file_is_not_allocated(corners, tmp_path):
    shard = corners.manifest.splits["test"].shards[0].name
    (tmp_path / shard).write_bytes(struct.pack("<QI", 1 << 60, 0) + b"short")
    with pytest.raises(DataError, match="ends inside a record"):
        sample(dataclasses.replace(corners, path=tmp_path), "test", 1)
