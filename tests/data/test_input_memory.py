"""What reading shards takes of memory, in processes of their own."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from nightshift.data.lanes import LANES
from nightshift.data.manifest import MANIFEST_NAME, Dataset, Shard
from nightshift.files import sha256_of, write_json

SHAPE = (64, 64, 3)
EXAMPLES = 100
"""A shard, 1.2 MB."""

READ = """
import resource, sys
from nightshift.data import input as pipeline
from nightshift.data.manifest import Dataset

pipeline.CACHE_BYTES, pipeline.SHUFFLE_BYTES = 0, 16 << 20
dataset = Dataset.open(sys.argv[1])
made = pipeline.training_batches(
    dataset, batch_size=48, epochs=range(2), seed=0, transform=lambda batch, epoch: (batch["image"], batch["label"])
)
print(sum(1 for _ in made), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""


def stretched(dataset: Dataset, folder, shards_a_lane: int) -> Dataset:
    """A dataset of one shard under many names."""
    folder.mkdir()
    first = folder / "train-00000-of-00001.tfrecord"
    random = np.random.default_rng(0)
    with tf.io.TFRecordWriter(str(first)) as writer:
        for number in range(EXAMPLES):
            example = tf.train.Example()
            pixels = random.integers(0, 256, SHAPE, np.uint8)
            example.features.feature["image"].bytes_list.value.append(pixels.tobytes())
            example.features.feature["label"].int64_list.value.append(0)
            example.features.feature["id"].int64_list.value.append(number)
            writer.write(example.SerializeToString())
    count = LANES * shards_a_lane
    content = {"sha256": sha256_of(first), "bytes": first.stat().st_size, "count": EXAMPLES}
    shards = [Shard(name=f"train-{index:05d}-of-{count:05d}.tfrecord", **content) for index in range(count)]
    for shard in shards:
        os.link(first, folder / shard.name)
    train = dataset.manifest.splits["train"].model_copy(update={"shards": shards, "count": EXAMPLES * count})
    manifest = dataset.manifest.model_copy(update={"image_shape": SHAPE, "splits": {"train": train}})
    write_json(folder / MANIFEST_NAME, manifest.model_dump(mode="json"))
    return Dataset.open(folder)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_dataset(corners, tmp_path):
    peaks = []
    for shards_a_lane in (2, 20):
        dataset = stretched(corners, tmp_path / str(shards_a_lane), shards_a_lane)
        result = subprocess.run([sys.executable, "-c", READ, dataset.path], capture_output=True, text=True, check=True)
        batches, peak = map(int, result.stdout.split())
        assert batches == 2 * shards_a_lane * LANES * EXAMPLES // 48
        peaks.append(peak)
        size = sum(shard.bytes for shard in dataset.manifest.splits["train"].shards)
        print(f"shards of {size >> 20} MiB: at most {peak} MiB of memory")
    assert peaks[1] <= 1.1 * peaks[0], f"MiB: {peaks}"
