"""From shards to batches: the tf.data pipelines of training and evaluation."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from nightshift.data.lanes import LANES, Part, lane_sizes, usable
from nightshift.data.manifest import Dataset, Shard

CACHE_BYTES = 512 << 20
SHUFFLE_BYTES = 256 << 20
READ_BUFFER = 1 << 20

Batch = dict[str, tf.Tensor]
Rounds = Callable[[tf.Tensor], tf.data.Dataset]
"""From an epoch to elements (rows, sizes): a batch that stands lane by lane, and int32 [lanes], rows of each."""

WHOLE = Part()


def records(dataset: Dataset, shards: Sequence[Shard], batch_size: int) -> tf.data.Dataset:
    """The examples of some shards one after the other, `batch_size` at a time, the last time fewer.

    Args:
        dataset: prepared data.
        shards: of its manifest.
        batch_size: examples an element.

    Returns:
        a dataset of {image: uint8 [B, H, W, C], label: int64 [B], id: int64 [B]}.
    """
    # Parsed many at a time: an op a batch costs what an op an image would.
    return _serialized(_files(dataset, shards), batch_size).map(_parser(dataset), num_parallel_calls=tf.data.AUTOTUNE)


def training_batches(
    dataset: Dataset,
    *,
    batch_size: int,
    epochs: range,
    seed: int,
    transform: Callable[[Batch, tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    part: Part = WHOLE,
    replicas: int = 1,
    first_step: int = 0,
) -> tf.data.Dataset:
    """Whole batches of the training split, epoch after epoch, each epoch in an order of its own.

    Each lane (see nightshift.data.lanes) has an order of its own, too, and the examples are taken from lane after lane
    in turn. Lanes of a split that fits in memory are read once, kept as uint8 and shuffled whole. Those of a larger
    one, whose shards are in an order drawn by hash already, are read in a new order of their shards every epoch and
    shuffled block by block. Which of the two does not depend on `part`.

    Args:
        dataset: prepared data.
        batch_size: examples a global batch, over all parts and replicas, a multiple of their number; what is left over
            of an epoch is left out of it.
        epochs: which ones; with `seed` they determine order and changes, so a resumed training goes on as it would.
        seed: of the run.
        transform: (batch, epoch) -> (network inputs, targets), all along the batch.
        part: the examples of every global batch that are wanted here.
        replicas: devices here; each takes one element of each global batch.
        first_step: global batches of the first epoch to leave out.

    Returns:
        a dataset whose elements have batch_size / (part.count * replicas) examples.
    """
    split = dataset.manifest.splits["train"]
    steps, each = usable(split) // batch_size, batch_size // (part.count * replicas)
    height, width, channels = dataset.manifest.image_shape
    image_bytes = height * width * channels
    if split.count * image_bytes <= CACHE_BYTES:
        block, rounds = max(lane_sizes(split)), _cached_rounds(dataset, part)
    else:
        block = max(1, SHUFFLE_BYTES // (LANES * image_bytes))
        rounds = _streamed_rounds(dataset, part, block, seed)

    def epoch_of(epoch: tf.Tensor) -> tf.data.Dataset:
        def shuffled(index: tf.Tensor, of_round: tuple[Batch, tf.Tensor]) -> Batch:
            rows, sizes = of_round
            # What no batch needs goes here, not by `take`: a cache is kept only once it has been read to its end.
            left = tf.maximum(steps * each * replicas - index * block * len(part.lanes), 0)
            order = _in_turn(sizes, part, seed, epoch, index)[:left]
            return {name: tf.gather(column, order) for name, column in rows.items()}

        batches = rounds(epoch).enumerate().map(shuffled).rebatch(each, drop_remainder=True)
        batches = batches.skip(tf.where(tf.equal(epoch, epochs.start), tf.constant(first_step * replicas, tf.int64), 0))
        return batches.map(lambda batch: transform(batch, epoch), num_parallel_calls=tf.data.AUTOTUNE)

    numbers = tf.data.Dataset.range(epochs.start, epochs.stop)
    return numbers.flat_map(epoch_of).prefetch(tf.data.AUTOTUNE)


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
        batches = batches.concatenate(_nothing(dataset).repeat(missing))
    return batches.prefetch(tf.data.AUTOTUNE)


def _nothing(dataset: Dataset) -> tf.data.Dataset:
    """One batch of no examples."""
    return tf.data.Dataset.from_tensors(tf.constant([], tf.string)).map(_parser(dataset))


def _cached_rounds(dataset: Dataset, part: Part) -> Rounds:
    """All at once, read once."""
    split = dataset.manifest.splits["train"]
    shards = [shard for lane in part.lanes for shard in split.shards[lane::LANES]]
    sizes = tf.constant([lane_sizes(split)[lane] for lane in part.lanes])
    cached = records(dataset, shards, max(1, sum(shard.count for shard in shards))).cache()
    return lambda epoch: cached.map(lambda rows: (rows, sizes))


def _streamed_rounds(dataset: Dataset, part: Part, block: int, seed: int) -> Rounds:
    """A block of each lane at once, the lanes read in parallel and each from its shards in an order of the epoch's."""
    split = dataset.manifest.splits["train"]
    rounds = -(-max(lane_sizes(split)) // block)
    parse = _parser(dataset)
    end = tf.data.Dataset.from_tensors(tf.constant([], tf.string)).repeat()

    def of_lane(lane: int, epoch: tf.Tensor) -> tf.data.Dataset:
        shards = split.shards[lane::LANES]
        order = _permutation(len(shards), seed, epoch, tf.constant(lane, tf.int64))
        blocks = _serialized(tf.gather(_files(dataset, shards), order), block).prefetch(1)
        return blocks.concatenate(end).take(rounds)

    def joined(*blocks: tf.Tensor) -> tuple[Batch, tf.Tensor]:
        return parse(tf.concat(blocks, axis=0)), tf.stack([tf.shape(block)[0] for block in blocks])

    def rounds_of(epoch: tf.Tensor) -> tf.data.Dataset:
        lanes = tf.data.Dataset.zip(*(of_lane(lane, epoch) for lane in part.lanes))
        return lanes.map(joined, num_parallel_calls=tf.data.AUTOTUNE)

    return rounds_of


def _files(dataset: Dataset, shards: Sequence[Shard]) -> tf.Tensor:
    """string [shards]."""
    return tf.constant([str(dataset.path / shard.name) for shard in shards], tf.string)


def _serialized(files: tf.Tensor, batch_size: int) -> tf.data.Dataset:
    """The records of some files, string [B], B = batch_size but for the last."""
    return tf.data.TFRecordDataset(files, buffer_size=READ_BUFFER).batch(batch_size)


def _parser(dataset: Dataset) -> Callable[[tf.Tensor], Batch]:
    """From records, string [B], to examples."""
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

    return parse


def _in_turn(sizes: tf.Tensor, part: Part, seed: int, epoch: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """The order of rows that stand lane by lane: one of each lane in turn, each lane's in an order of its own.

    Args:
        sizes: int32 [lanes], rows of each.
        part: which lanes.
        seed: of the run.
        epoch: int64 scalar.
        index: of the round, int64 scalar.
    """
    turns = []
    for slot, lane in enumerate(part.lanes):
        own = _permutation(sizes[slot], seed, epoch, LANES * (index + 1) + lane)
        turns.append(own * len(part.lanes) + slot)
    return tf.argsort(tf.concat(turns, axis=0))


def _permutation(count: tf.Tensor | int, seed: int, epoch: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """0 .. count - 1 in an order that (seed, epoch, index) determine, int32."""
    numbers = tf.stack([tf.constant(seed, tf.int64), epoch * (1 << 32) + index])
    return tf.random.experimental.stateless_shuffle(tf.range(count), seed=numbers)
