"""Writes the TFRecord shards of a split.

A record is a tf.train.Example: `image` (raw uint8 pixels, row major), `label` (int64, -1: unlabelled), `id` (int64)
and `key` (UTF-8). Shard and order follow from hash(seed, split, key), whose first 8 bytes are the id, so that the
same images give the same bytes whoever writes them in whatever order.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path

import tensorflow as tf

from nightshift.data.manifest import Shard, Split, SplitStatistics
from nightshift.data.spool import Placed, Spool
from nightshift.data.statistics import Statistics
from nightshift.files import sha256_of

SHARD_BYTES = 32 * 2**20


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
    total = spool.counts()[split]
    height, width, channels = image_shape
    shards = max(1, min(total, -(-total * height * width * channels // SHARD_BYTES)))
    statistics = Statistics(image_shape)
    groups = groupby(spool.in_order(split), key=lambda placed: shard_of(placed.place, shards))
    files: list[Shard] = []
    for index, examples in _with_empty(groups, shards):
        path = folder / f"{split}-{index:05d}-of-{shards:05d}.tfrecord"
        count = _write_shard(path, examples, statistics)
        files.append(Shard(name=path.name, sha256=sha256_of(path), bytes=path.stat().st_size, count=count))
        written(count)
    return Split(count=total, class_counts=class_counts, shards=files), statistics.result()


def shard_of(place: bytes, shards: int) -> int:
    """The shard of an example by the 8 bytes of its place: equal ranges of the hash."""
    return int.from_bytes(place, "big") * shards >> 64


def _with_empty(groups: Iterable[tuple[int, Iterator[Placed]]], shards: int) -> Iterator[tuple[int, Iterator[Placed]]]:
    """Every shard in order, those that no example fell into as well."""
    following = 0
    for index, examples in groups:
        for empty in range(following, index):
            yield empty, iter(())
        yield index, examples
        following = index + 1
    for empty in range(following, shards):
        yield empty, iter(())


def _write_shard(path: Path, examples: Iterator[Placed], statistics: Statistics) -> int:
    count = 0
    with tf.io.TFRecordWriter(str(path)) as writer:
        for example in examples:
            writer.write(_serialized(example))
            statistics.add(example.image)
            count += 1
    return count


def _serialized(placed: Placed) -> bytes:
    example = tf.train.Example()
    feature = example.features.feature
    feature["image"].bytes_list.value.append(placed.image)
    feature["label"].int64_list.value.append(placed.label)
    feature["id"].int64_list.value.append(int.from_bytes(placed.place, "big", signed=True))
    feature["key"].bytes_list.value.append(placed.key.encode())
    return bytes(example.SerializeToString(deterministic=True))
