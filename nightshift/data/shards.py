"""Writes the TFRecord shards of a split.

A record is a tf.train.Example: `image` (raw uint8 pixels, row major), `label` (int64, -1: unlabelled), `id` (int64)
and `key` (UTF-8). Their order is that of hash(seed, split, key), whose first 8 bytes are the id, and the shards take
equal numbers of them, so that the same images give the same bytes whoever writes them in whatever order.
"""

from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import tensorflow as tf

from nightshift.data.lanes import shard_sizes
from nightshift.data.manifest import Shard, Split, SplitStatistics
from nightshift.data.spool import Placed, Spool
from nightshift.data.statistics import Statistics
from nightshift.files import sha256_of


def write_split(
    spool: Spool,
    split: str,
    folder: Path,
    image_shape: tuple[int, int, int],
    class_counts: list[int],
    written: Callable[[int], None],
) -> tuple[Split, SplitStatistics]:
    """Write all shards of a split.

    Args:
        spool: with labels and places set.
        split: its name.
        folder: where the files go.
        image_shape: (height, width, channels).
        class_counts: examples a class.
        written: told after every shard how many examples it holds.
    """
    height, width, channels = image_shape
    sizes = shard_sizes(spool.counts()[split], height * width * channels)
    statistics = Statistics(image_shape)
    examples = spool.in_order(split)
    files: list[Shard] = []
    for index, size in enumerate(sizes):
        name = shard_name(split, index, len(sizes))
        files.append(write_shard(folder / name, name, islice(examples, size), statistics))
        written(size)
    return Split(count=sum(sizes), class_counts=class_counts, shards=files), statistics.sums().result()


def shard_name(split: str, index: int, count: int) -> str:
    """The file's name of one shard of `count`."""
    return f"{split}-{index:05d}-of-{count:05d}.tfrecord"


def write_shard(path: Path, name: str, examples: Iterable[Placed], statistics: Statistics) -> Shard:
    """Write one shard.

    Args:
        path: of the file.
        name: that the manifest is to give it.
        examples: in their order.
        statistics: takes their pixels.
    """
    count = 0
    with tf.io.TFRecordWriter(str(path)) as writer:
        for example in examples:
            writer.write(_serialized(example))
            statistics.add(example.image)
            count += 1
    return Shard(name=name, sha256=sha256_of(path), bytes=path.stat().st_size, count=count)


def _serialized(placed: Placed) -> bytes:
    example = tf.train.Example()
    feature = example.features.feature
    feature["image"].bytes_list.value.append(placed.image)
    feature["label"].int64_list.value.append(placed.label)
    feature["id"].int64_list.value.append(int.from_bytes(placed.place, "big", signed=True))
    feature["key"].bytes_list.value.append(placed.key.encode())
    return bytes(example.SerializeToString(deterministic=True))
