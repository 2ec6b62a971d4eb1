"""From shards to batches: the tf.data pipelines of training and evaluation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import tensorflow as tf

from nightshift.data.lanes import LANES, Part, lane_sizes, usable
from nightshift.data.manifest import Dataset
from nightshift.data.reading import READ_BUFFER, image_bytes, nothing, parser, records, shard_files
from nightshift.data.reading import Batch as Batch  # its name for who changes batches

CACHE_BYTES = 512 << 20
SHUFFLE_BYTES = 256 << 20
PARSE_BYTES = 4 << 20
"""Pixels parsed at once where all are wanted: an op for many examples costs little more than for one."""

Transform = Callable[[Batch, tf.Tensor], tuple[tf.Tensor, ...]]

WHOLE = Part()


@dataclass(frozen=True)
class Order:
    """Which examples of the training split a worker takes, and in which order: a function of seed and epoch.

    Attributes:
        part: the examples of every global batch that are wanted here.
        seed: of the run.
        epochs: which ones.
        each: examples an element.
        elements: of a whole epoch.
        done: elements of the first epoch that are left out.
    """

    part: Part
    seed: int
    epochs: range
    each: int
    elements: int
    done: int

    def start(self, epoch: tf.Tensor) -> tf.Tensor:
        """The first element of an epoch, int64."""
        return tf.where(tf.equal(epoch, self.epochs.start), tf.constant(self.done, tf.int64), 0)

    def numbers(self) -> tf.data.Dataset:
        """The epochs, int64."""
        return tf.data.Dataset.range(self.epochs.start, self.epochs.stop)


def training_batches(
    dataset: Dataset,
    *,
    batch_size: int,
    epochs: range,
    seed: int,
    transform: Transform,
    part: Part = WHOLE,
    replicas: int = 1,
    first_step: int = 0,
) -> tf.data.Dataset:
    """Whole batches of the training split, epoch after epoch, each epoch in an order of its own.

    Each lane (see nightshift.data.lanes) has an order of its own, too, and the examples are taken from lane after lane
    in turn. Lanes of a split that fits in memory are read once, kept as uint8 and shuffled whole. Those of a larger
    one, whose shards are in an order drawn by hash already, are read in a new order of their shards every epoch and
    drawn from the next few of each. Which of the two does not depend on `part`.

    Args:
        dataset: prepared data.
        batch_size: examples a global batch, over all parts and replicas, a multiple of their number; what is left over
            of an epoch is left out of it.
        epochs: which ones; with `seed` they determine order and changes, so a resumed training goes on as it would.
        seed: of the run.
        transform: (batch, epoch) -> (network inputs, targets, ...), all along the batch.
        part: the examples of every global batch that are wanted here.
        replicas: devices here; each takes one element of each global batch.
        first_step: global batches of the first epoch to leave out.

    Returns:
        a dataset whose elements have batch_size / (part.count * replicas) examples.
    """
    order = order_of(dataset, batch_size, epochs, seed, part, replicas, first_step)
    drawn = drawn_from_memory if in_memory(dataset) else drawn_from_shards
    return finished(*drawn(dataset, order), transform)


def evaluation_batches(
    dataset: Dataset, split: str, batch_size: int, part: Part = WHOLE, replicas: int = 1
) -> tf.data.Dataset:
    """The batches of a split in the order of its shards, the last one as short as it is.

    Args:
        dataset: prepared data.
        split: `train`, `validation` or `test`.
        batch_size: examples an element.
        part: every `count`-th shard is read here; all parts have equally many batches, if need be empty ones.
        replicas: devices here; their number divides that of the batches.
    """
    shards = dataset.manifest.splits[split].shards
    shares = [sum(shard.count for shard in shards[index :: part.count]) for index in range(part.count)]
    needed = -(-max(shares) // (batch_size * replicas)) * replicas
    batches = records(dataset, shards[part.index :: part.count], batch_size)
    missing = needed - -(-shares[part.index] // batch_size)
    if missing:
        batches = batches.concatenate(nothing(dataset).repeat(missing))
    return batches.prefetch(tf.data.AUTOTUNE)


def in_memory(dataset: Dataset) -> bool:
    """Whether the training split is kept in memory, as a whole over all parts."""
    return dataset.manifest.splits["train"].count * image_bytes(dataset) <= CACHE_BYTES


def order_of(
    dataset: Dataset,
    batch_size: int,
    epochs: range,
    seed: int,
    part: Part = WHOLE,
    replicas: int = 1,
    first_step: int = 0,
) -> Order:
    """The order of `training_batches`, whose arguments these are."""
    return Order(
        part=part,
        seed=seed,
        epochs=epochs,
        each=batch_size // (part.count * replicas),
        elements=usable(dataset.manifest.splits["train"]) // batch_size * replicas,
        done=first_step * replicas,
    )


def finished(
    drawn: tf.data.Dataset,
    examples: Callable[..., Batch],
    transform: Transform,
) -> tf.data.Dataset:
    """What was drawn, taken out or parsed and changed by several threads, ahead of its use."""
    # Not part of what an epoch is, so that the threads go on from one to the next.
    changed = drawn.map(lambda epoch, *found: transform(examples(*found), epoch), num_parallel_calls=tf.data.AUTOTUNE)
    return changed.prefetch(tf.data.AUTOTUNE)


def drawn_from_memory(dataset: Dataset, order: Order) -> tuple[tf.data.Dataset, Callable[..., Batch]]:
    """Elements (epoch, all examples, numbers of those wanted), and the function of the latter two that takes them out.

    Reading and parsing is done once. All examples go along by reference; no batch is copied but once.
    """
    split = dataset.manifest.splits["train"]
    shards = [shard for lane in order.part.lanes for shard in split.shards[lane::LANES]]
    sizes = [lane_sizes(split)[lane] for lane in order.part.lanes]
    parsed = records(dataset, shards, max(1, PARSE_BYTES // image_bytes(dataset)))
    kept = parsed.rebatch(max(1, sum(sizes))).cache()

    def of_epoch(epoch: tf.Tensor, rows: Batch) -> tf.data.Dataset:
        turns = _in_turn(sizes, order, epoch)[: order.elements * order.each]
        wanted = tf.reshape(turns, (-1, order.each))[order.start(epoch) :]
        return tf.data.Dataset.from_tensor_slices(wanted).map(lambda numbers: (epoch, rows, numbers))

    def examples(rows: Batch, numbers: tf.Tensor) -> Batch:
        return {name: tf.gather(column, numbers) for name, column in rows.items()}

    return tf.data.Dataset.zip(order.numbers(), kept.repeat()).flat_map(of_epoch), examples


def drawn_from_shards(dataset: Dataset, order: Order) -> tuple[tf.data.Dataset, Callable[..., Batch]]:
    """Elements (epoch, records, string [each]), and the function that parses the latter.

    One thread takes record by record from lane after lane, each of which keeps its share of SHUFFLE_BYTES to draw from:
    that is all the memory it takes, and faster than a thread a lane, which hand over every single record.
    """
    shards = dataset.manifest.splits["train"].shards
    window = max(1, SHUFFLE_BYTES // (LANES * image_bytes(dataset)))

    def of_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        keys = [_key(order, epoch, lane) for lane in order.part.lanes]
        plan = (
            tf.stack([_permutation(len(shards) // LANES, key) * LANES for key in keys])
            + tf.constant(list(order.part.lanes))[:, None]
        )

        def of_lane(key: tf.Tensor, numbers: tf.Tensor) -> tf.data.Dataset:
            files = shard_files(dataset, shards, numbers, plan[:, 0])
            return _drawn(tf.data.TFRecordDataset(files, buffer_size=READ_BUFFER), window, key)

        lanes = tf.data.Dataset.from_tensor_slices((tf.stack(keys), plan))
        in_turn = lanes.interleave(of_lane, cycle_length=len(order.part.lanes), block_length=1)
        batches = in_turn.batch(order.each, drop_remainder=True).take(order.elements).skip(order.start(epoch))
        return batches.map(lambda serialized: (epoch, serialized))

    return order.numbers().flat_map(of_epoch), parser(dataset)


def _in_turn(sizes: Sequence[int], order: Order, epoch: tf.Tensor) -> tf.Tensor:
    """The order of rows that stand lane by lane: one of each lane in turn, each lane's in an order of its own.

    Args:
        sizes: rows of each lane.
        order: which lanes.
        epoch: int64 scalar.
    """
    turns = []
    for slot, (lane, size) in enumerate(zip(order.part.lanes, sizes, strict=True)):
        turns.append(_permutation(size, _key(order, epoch, lane)) * len(sizes) + slot)
    return tf.argsort(tf.concat(turns, axis=0))


def _drawn(records: tf.data.Dataset, window: int, key: tf.Tensor) -> tf.data.Dataset:
    """Each record as one of the next `window` that are left, in an order that the key, int64 [2], determines."""
    numbers = tf.random.stateless_uniform((), seed=key, maxval=1 << 31, dtype=tf.int64, minval=0)
    # `shuffle` mixes the seed of the graph into its own. This is the graph of one function of tf.data: a constant there
    # keeps what the process as a whole was told, and does not tell it anything.
    tf.compat.v1.set_random_seed(1)
    return records.shuffle(window, seed=numbers, reshuffle_each_iteration=False)


def _permutation(count: int, key: tf.Tensor) -> tf.Tensor:
    """0 .. count - 1 in an order that the key, int64 [2], determines; int32."""
    return tf.random.experimental.stateless_shuffle(tf.range(count), seed=key)


def _key(order: Order, epoch: tf.Tensor, lane: int) -> tf.Tensor:
    """What determines a lane's order in an epoch, int64 [2]."""
    return tf.stack([tf.constant(order.seed, tf.int64), epoch * LANES + lane])
