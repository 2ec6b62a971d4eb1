"""From shards, in a folder or in a bucket, to examples."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

from nightshift.data.manifest import Dataset, Shard

READ_BUFFER = 1 << 20
AHEAD = 8
"""Shards that are fetched from a bucket before they are read, where they are read one after the other."""

Batch = dict[str, tf.Tensor]


def records(dataset: Dataset, shards: Sequence[Shard], batch_size: int) -> tf.data.Dataset:
    """The examples of some shards one after the other, `batch_size` at a time, the last time fewer.

    Args:
        dataset: prepared data.
        shards: of its manifest.
        batch_size: examples an element.

    Returns:
        a dataset of {image: uint8 [B, H, W, C], label: int64 [B], id: int64 [B]}.
    """
    serialized = tf.data.TFRecordDataset(shard_files(dataset, shards, tf.range(len(shards))), buffer_size=READ_BUFFER)
    return serialized.batch(batch_size).map(parser(dataset), num_parallel_calls=tf.data.AUTOTUNE)


def parser(dataset: Dataset) -> Callable[[tf.Tensor], Batch]:
    """From records, string [B], to examples."""
    features = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
        "id": tf.io.FixedLenFeature([], tf.int64),
    }

    def parse(serialized: tf.Tensor) -> Batch:
        parsed = tf.io.parse_example(serialized, features)
        pixels = tf.io.decode_raw(parsed["image"], tf.uint8, fixed_length=image_bytes(dataset))
        return parsed | {"image": tf.reshape(pixels, (-1, *dataset.manifest.image_shape))}

    return parse


def nothing(dataset: Dataset) -> tf.data.Dataset:
    """One batch of no examples."""
    return tf.data.Dataset.from_tensors(tf.constant([], tf.string)).map(parser(dataset))


def shard_files(
    dataset: Dataset, shards: Sequence[Shard], numbers: tf.Tensor, begin: tf.Tensor | None = None
) -> tf.data.Dataset:
    """The paths of some shards, each there until the next is asked for.

    Args:
        dataset: prepared data.
        shards: of its manifest.
        numbers: int32 [n], which of them, in this order.
        begin: int32 [m], those with which the lanes begin, of a dataset in a bucket fetched together; None: these
            shards are the only ones that are read.
    """
    if dataset.bucket is None:
        paths = tf.constant([str(dataset.path / shard.name) for shard in shards], tf.string)
        return tf.data.Dataset.from_tensor_slices(tf.gather(paths, numbers))
    bucket = dataset.bucket

    def fetched(numbers: np.ndarray, first: np.ndarray) -> Iterator[str]:
        bucket.ahead([shards[number] for number in first])
        for path in bucket.in_order([shards[number] for number in numbers], AHEAD if begin is None else 1):
            yield str(path)

    at_once = numbers[:0] if begin is None else begin
    return tf.data.Dataset.from_generator(
        fetched, output_signature=tf.TensorSpec((), tf.string), args=(numbers, at_once)
    )


def image_bytes(dataset: Dataset) -> int:
    """Of the pixels of one image."""
    height, width, channels = dataset.manifest.image_shape
    return height * width * channels


@contextmanager
def in_words(dataset: Dataset) -> Iterator[None]:
    """Raise an error of reading a bucket as what it was before it went through TensorFlow, for who takes batches."""
    try:
        yield
    except tf.errors.OpError as error:
        if dataset.bucket is None or dataset.bucket.failure is None:
            raise
        raise dataset.bucket.failure from error
