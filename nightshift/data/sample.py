"""A few examples of a dataset, read without TensorFlow, to be looked at."""

import struct
from collections.abc import Iterator

import numpy as np

from nightshift.data.manifest import Dataset
from nightshift.errors import DataError
from nightshift.protos import example_pb2


def sample(dataset: Dataset, split: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first examples of a split; their order is a hash's, so they are a fair sample.

    Returns:
        images, uint8 [n, H, W, C], and labels, int64 [n], for n up to `count`.
    """
    images, labels = [], []
    for record in _records(dataset, split):
        example = example_pb2.Example.FromString(record).features.feature
        pixels = np.frombuffer(example["image"].bytes_list.value[0], np.uint8)
        images.append(pixels.reshape(dataset.manifest.image_shape))
        labels.append(example["label"].int64_list.value[0])
        if len(images) == count:
            break
    return np.stack(images), np.array(labels, np.int64)


def _records(dataset: Dataset, split: str) -> Iterator[bytes]:
    """The records of a split's TFRecord files: length, its checksum, content, its checksum, little endian."""
    for shard in dataset.manifest.splits[split].shards:
        with dataset.local(shard) as path, open(path, "rb") as file:
            left = path.stat().st_size
            while header := file.read(12):
                length = struct.unpack("<Q", header[:8])[0] if len(header) == 12 else left
                left -= 12 + length + 4
                if left < 0:
                    raise DataError(f"{path}: ends inside a record; prepare the dataset again")
                yield file.read(length + 4)[:-4]
