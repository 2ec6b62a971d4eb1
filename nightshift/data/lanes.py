"""How the examples of a split are shared out: shards of equal size, lanes of shards, parts of lanes.

A split's examples, in the order of their hashes, fill its shards evenly. Shard i belongs to lane i % LANES, and an
epoch takes from lane after lane in turn, so that example j of lane l is number j * LANES + l of the epoch. Whoever has
every n-th lane therefore has every n-th example of each global batch, and any number of workers that divides LANES
trains on the same global batches, each reading shards of its own. No TensorFlow here.
"""

from dataclasses import dataclass

from nightshift.data.manifest import Split

LANES = 24
"""Divided by the usual numbers of workers; also how many files one worker reads at once."""

SHARD_BYTES = 64 * 2**20
"""Pixels a shard, at most: https://www.tensorflow.org/tutorials/load_data/tfrecord advises 100 MB and more."""


@dataclass(frozen=True)
class Part:
    """One of `count` equal shares of a split: the lanes `index`, `index + count`, ..."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if self.count < 1 or LANES % self.count or not 0 <= self.index < self.count:
            raise ValueError(f"part {self.index} of {self.count}: the number has to divide {LANES}")

    @property
    def lanes(self) -> range:
        """The lanes of this part."""
        return range(self.index, LANES, self.count)


def shard_sizes(examples: int, image_bytes: int) -> list[int]:
    """How many examples go into each shard of a split: a multiple of LANES shards that differ by one at most."""
    shards = LANES * max(1, -(-examples * image_bytes // (LANES * SHARD_BYTES)))
    each, more = divmod(examples, shards)
    return [each + (index < more) for index in range(shards)]


def lane_sizes(split: Split) -> list[int]:
    """How many examples each lane has."""
    return [sum(shard.count for shard in split.shards[lane::LANES]) for lane in range(LANES)]


def usable(split: Split) -> int:
    """How many examples an epoch can take in turn until a lane is at its end: all, or all but a few.

    The lanes of a prepared split differ by one example at most, the longer ones first, and nothing is lost; in a split
    put together of two they may differ by two.
    """
    sizes = lane_sizes(split)
    shortest = min(sizes)
    longer = next((lane for lane, size in enumerate(sizes) if size == shortest), LANES)
    return shortest * LANES + longer
