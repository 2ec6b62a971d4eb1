"""How much processor time `default` needs to be as good, per position, as the post's code after its 20 epochs.

    python -m benchmarks.puzzle_training DATA.zip

Both run here one after the other, on the same images: the post's code shuffles once, in Python, and fits 20 epochs;
ours is the training loop with the preset `default`, asked about the test puzzles every few steps until it is as good.
Processor seconds count everything from the images in memory on: shuffling, compiling, training; not the asking.
"""

import contextlib
import json
import tempfile
import time
from pathlib import Path

import click
import keras
import numpy as np
import tensorflow as tf

from benchmarks.posts import shuffle_finder, shuffle_puzzles
from nightshift.data.input import evaluation_batches
from nightshift.data.manifest import Dataset
from nightshift.data.prepare import prepare
from nightshift.problems.puzzle import Puzzle
from nightshift.tasks.registry import preset_of, task
from nightshift.training.loop import fit
from nightshift.workspace import Workspace

EVERY = 20


class AsGood(Exception):  # noqa: N818  not an error
    """Ours has reached what the post's code reached."""


class Watch(keras.callbacks.Callback):
    """Asks about the test puzzles every few steps; the processor time of that is taken off."""

    def __init__(self, dataset: Dataset, wanted: float) -> None:
        super().__init__()
        self.batches = [Puzzle().evaluation_batch(batch, 0) for batch in evaluation_batches(dataset, "test", 500)]
        self.wanted, self.asking, self.steps, self.reached = wanted, 0.0, 0, 0.0
        self.started = time.process_time()

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self.steps += 1
        if self.steps % EVERY:
            return
        began = time.process_time()
        self.reached = per_position(self.model, self.batches)
        self.asking += time.process_time() - began
        if self.reached >= self.wanted:
            raise AsGood

    @property
    def cpu_seconds(self) -> float:
        return time.process_time() - self.started - self.asking


def per_position(model: keras.Model, batches: list[tuple[tf.Tensor, tf.Tensor]]) -> float:
    problem = Puzzle()
    answer = tf.function(lambda x: problem.answers(x, model(x, training=False))["permutation"])
    right = [answer(x).numpy() == problem.permutations[targets.numpy()] for x, targets in batches]
    return float(np.concatenate(right).mean())


def run_post(images: np.ndarray, test: np.ndarray, epochs: int) -> tuple[float, float]:
    """Per-position accuracy on the test puzzles and processor seconds."""
    keras.utils.set_random_seed(0)
    random, began = np.random.default_rng(0), time.process_time()
    x, y = shuffle_puzzles(images, random)
    model = shuffle_finder()
    model.fit(x, y, batch_size=1000, epochs=epochs, verbose=2)
    seconds = time.process_time() - began
    x, y = shuffle_puzzles(test, random)
    return float((model.predict(x, batch_size=1000, verbose=0).argmax(axis=2) == y).mean()), seconds


def pixels(dataset: Dataset, split: str) -> np.ndarray:
    return np.concatenate([batch["image"].numpy() for batch in evaluation_batches(dataset, split, 5000)])


@click.command()
@click.argument("data")
@click.option("--epochs", default=20, show_default=True, help="Of the post's code.")
def main(data: str, epochs: int) -> None:
    """Print both, and the ratio, as one line of JSON."""
    puzzle = task("puzzle")
    with tempfile.TemporaryDirectory() as folder:
        dataset = prepare(puzzle, data, Workspace(Path(folder)))
        theirs, their_seconds = run_post(pixels(dataset, "train"), pixels(dataset, "test"), epochs)
        keras.backend.clear_session()
        watch = Watch(dataset, theirs)
        with contextlib.suppress(AsGood):
            fit(
                puzzle,
                preset_of(puzzle, "default"),
                dataset,
                seed=0,
                directory=Path(folder) / "ours",
                callbacks=[watch],
            )
    result = {
        "post_per_position": theirs,
        "post_cpu_seconds": their_seconds,
        "ours_per_position": watch.reached,
        "ours_cpu_seconds": watch.cpu_seconds,
        "ours_steps": watch.steps,
        "ratio": watch.cpu_seconds / their_seconds,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
