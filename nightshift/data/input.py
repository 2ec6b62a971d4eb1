"""From shards to batches: the tf.data pipelines of training and evaluation."""

from collections.abc import Callable

import tensorflow as tf

from nightshift.data.manifest import Dataset

CACHE_BYTES = 512 << 20
SHUFFLE_BLOCK = 16_384
READ_BUFFER = 1 << 20

Batch = dict[str, tf.Tensor]


def records(dataset: Dataset, split: str, batch_size: int, shard_order: tf.Tensor | None = None) -> tf.data.Dataset:
    """The examples of a split, `batch_size` at a time, the last time fewer.

    Args:
        dataset: prepared data.
        split: `train`, `validation` or `test`.
        batch_size: examples an element.
        shard_order: int64 [shards], the order to read the shards in; None: as written.

    Returns:
        a dataset of {image: uint8 [B, H, W, C], label: int64 [B], id: int64 [B]}.
    """
    files = tf.constant([str(dataset.path / shard.name) for shard in dataset.manifest.splits[split].shards])
    if shard_order is not None:
        files = tf.gather(files, shard_order)
    height, width, channels = dataset.manifest.image_shape

    def parse(serialized: tf.Tensor) -> Batch:
        features = {
            "image": tf.io.FixedLenFeature([], tf.string),
            "label": tf.io.FixedLenFeature([], tf.int64),
            "id": tf.io.FixedLenFeature([], tf.int64),
        }
        parsed = tf.io.parse_example(serialized, features)
        pixels = tf.io.decode_raw(parsed["image"], tf.uint8, fixed_length=height * width * channels)
        return parsed | {"image": tf.reshape(pixels, (-1, height, width, channels))}

    # Parsed many at a time: an op a batch costs what an op an image would.
    serialized = tf.data.TFRecordDataset(files, buffer_size=READ_BUFFER).batch(batch_size)
    return serialized.map(parse, num_parallel_calls=tf.data.AUTOTUNE)


def training_batches(
    dataset: Dataset,
    *,
    batch_size: int,
    epochs: range,
    seed: int,
    transform: Callable[[Batch, tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
) -> tf.data.Dataset:
    """Whole batches of the training split, epoch after epoch, each epoch in an order of its own.

    A split that fits in memory is read once, kept as uint8 and shuffled whole. A larger one, whose shards are in an
    order drawn by hash already, is read in a new order of its shards every epoch and shuffled block by block.

    Args:
        dataset: prepared data.
        batch_size: images a batch, over all devices; what is left over of an epoch is left out of it.
        epochs: which ones; with `seed` they determine order and changes, so a resumed training goes on as it would.
        seed: of the run.
        transform: (batch, epoch) -> (network inputs, targets), all along the batch.
    """
    split = dataset.manifest.splits["train"]
    height, width, channels = dataset.manifest.image_shape
    fits = split.count * height * width * channels <= CACHE_BYTES
    cached = records(dataset, "train", split.count).cache() if fits else None

    def epoch_of(epoch: tf.Tensor) -> tf.data.Dataset:
        if cached is not None:
            blocks = cached
        else:
            order = _permutation(len(split.shards), seed, epoch, tf.constant(0, tf.int64))
            blocks = records(dataset, "train", SHUFFLE_BLOCK, order)

        def shuffled(index: tf.Tensor, block: Batch) -> Batch:
            order = _permutation(tf.shape(block["id"])[0], seed, epoch, index + 1)
            return {name: tf.gather(column, order) for name, column in block.items()}

        batches = blocks.enumerate().map(shuffled).rebatch(batch_size, drop_remainder=True)
        return batches.map(lambda batch: transform(batch, epoch), num_parallel_calls=tf.data.AUTOTUNE)

    numbers = tf.data.Dataset.range(epochs.start, epochs.stop)
    return numbers.flat_map(epoch_of).prefetch(tf.data.AUTOTUNE)


def _permutation(count: tf.Tensor | int, seed: int, epoch: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """0 .. count - 1 in an order that (seed, epoch, index) determine."""
    numbers = tf.stack([tf.constant(seed, tf.int64), epoch * (1 << 32) + index])
    return tf.random.experimental.stateless_shuffle(tf.range(count), seed=numbers)


def evaluation_batches(dataset: Dataset, split: str, batch_size: int) -> tf.data.Dataset:
    """The batches of a split in the order of its shards, the last one as short as it is."""
    return records(dataset, split, batch_size).prefetch(tf.data.AUTOTUNE)
