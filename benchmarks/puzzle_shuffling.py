"""How many images a second are cut and shuffled: ours in tf.data against the post's Python loop, in one run.

    python -m benchmarks.puzzle_shuffling

Both get the same images in memory and give the same kind of batch; the runs alternate, medians are compared.
"""

import json
import statistics
import time

import click
import numpy as np
import tensorflow as tf

from benchmarks.posts import shuffle_puzzles
from nightshift.problems.puzzle import Puzzle
from nightshift.tasks.base import Augmentation


def run_post(images: np.ndarray) -> float:
    """Images a second of the post's loop."""
    began = time.perf_counter()
    shuffle_puzzles(images, np.random.default_rng(0))
    return len(images) / (time.perf_counter() - began)


def run_ours(images: np.ndarray, batch_size: int, epochs: int) -> float:
    """Images a second of the input pipeline's own function, in batches, over some epochs."""
    problem = Puzzle()
    columns = {"image": images, "id": np.arange(len(images), dtype=np.int64)}
    batches = tf.data.Dataset.from_tensors(columns).repeat(epochs).rebatch(batch_size)  # as nightshift.data.input does

    def shuffled(batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        return problem.training_batch(batch, Augmentation(), 0, tf.constant(1, tf.int64))

    pipeline = batches.map(shuffled, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
    began = time.perf_counter()
    count = sum(len(targets) for _, targets in pipeline)
    assert count == epochs * len(images)
    return count / (time.perf_counter() - began)


@click.command()
@click.option("--images", default=50_000, show_default=True)
@click.option("--batch-size", default=250, show_default=True)
@click.option("--epochs", default=5, show_default=True, help="Of ours in a run: it shuffles anew every epoch.")
@click.option("--runs", default=5, show_default=True)
def main(images: int, batch_size: int, epochs: int, runs: int) -> None:
    """Print both medians and their ratio as one line of JSON."""
    pictures = np.random.default_rng(0).integers(0, 256, (images, 32, 32, 3), np.uint8)
    pairs = [(run_post(pictures), run_ours(pictures, batch_size, epochs)) for _ in range(runs)]
    theirs, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(
        json.dumps(
            {
                "post_images_per_second": round(theirs),
                "ours_images_per_second": round(ours),
                "ratio": statistics.median(b / a for a, b in pairs),
            }
        )
    )


if __name__ == "__main__":
    main()
