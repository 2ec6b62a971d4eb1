"""What limits a 3x3 puzzle solver: its wrong answers on the test split, by kind, by flat tiles, by what it may look at.

    python -m benchmarks.puzzle_errors puzzle_3x3 workspace/checkpoints/KEY DATA

A tile is flat if its pixels differ little: nothing on it tells where it belongs. The search is exact, so a wrong answer
is one that the network's scores prefer to the truth.
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import keras
import numpy as np
import tensorflow as tf

import nightshift.models.seamnet  # noqa: F401  its layers are needed to load the network
from nightshift.data.input import evaluation_batches
from nightshift.data.prepare import prepare
from nightshift.errors import ConfigurationError
from nightshift.problems.puzzle import SCORES_RANK, Puzzle
from nightshift.problems.registry import problem_of
from nightshift.tasks.registry import task as task_of
from nightshift.training.model import TrainedModel
from nightshift.workspace import Workspace

BATCH = 250
FLAT = 4.0
"""Standard deviation of a tile's pixels (0 to 255), largest of the channels, below which it is called flat."""

PARTS = {"positions alone": (1, 0, 0), "seams alone": (0, 1, 1), "all": (1, 1, 1)}
"""Which of the scores U, H and V count."""


def answers(network: keras.Model, problem: Puzzle, batches: Any, seed: int) -> Iterator[dict[str, np.ndarray]]:
    """Of each batch: the pictures' tiles, which answers are right by what they look at, and the answer to all of it."""

    @tf.function(reduce_retracing=True)
    def solve(inputs: tf.Tensor) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        scores = network(inputs, training=False)
        by_part = {
            name: problem.answers(inputs, scores * tf.reshape(tf.constant(part, tf.float32), (3, 1, 1)))
            for name, part in PARTS.items()
        }
        return {name: answer["solved"] for name, answer in by_part.items()}, by_part["all"]

    for batch in batches:
        inputs, targets = problem.evaluation_batch(batch, seed)
        solved, answer = solve(inputs)
        original = batch["image"].numpy()
        yield {
            "flat": flat_tiles(original, problem.grid),
            "placed": np.take_along_axis(
                problem.permutations[targets.numpy()], answer["permutation"].numpy().argsort(axis=1), axis=1
            ),
            "probability": answer["probability"].numpy(),
        } | {name: (pixels.numpy() == original).all(axis=(1, 2, 3)) for name, pixels in solved.items()}


def flat_tiles(images: np.ndarray, grid: int) -> np.ndarray:
    """How many tiles of each image are flat, [B]."""
    count, side, _, channels = images.shape
    tiles = images.reshape(count, grid, side // grid, grid, side // grid, channels)
    return (tiles.std(axis=(2, 4)).max(axis=-1) < FLAT).sum(axis=(1, 2))


def by_flat_tiles(found: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """How many pictures there are of each number of flat tiles, and the share that is solved."""
    groups = {"0": (0, 0), "1": (1, 1), "2": (2, 2), "3 and more": (3, 9)}
    chosen = {name: (found["flat"] >= low) & (found["flat"] <= high) for name, (low, high) in groups.items()}
    return {
        name: {"pictures": int(mask.sum()), "exact": float(found["all"][mask].mean())}
        for name, mask in chosen.items()
        if mask.any()
    }


def kinds(found: dict[str, np.ndarray]) -> dict[str, int]:
    """The number of wrong answers of each kind."""
    placed = found["placed"][~found["all"]].reshape(-1, 3, 3)  # the tile at each position; in order if solved
    order = np.arange(9).reshape(3, 3)
    rows = (placed[:, :, 1:] - placed[:, :, :-1] == 1).all(axis=(1, 2)) & (placed[:, :, 0] % 3 == 0).all(axis=1)
    columns = (placed[:, 1:] - placed[:, :-1] == 3).all(axis=(1, 2))
    misplaced = (placed != order).sum(axis=(1, 2))
    named = {
        "rows or columns moved as a whole": rows | columns,
        "two tiles swapped": misplaced == 2,
        "three tiles moved round": misplaced == 3,
    }
    return {name: int(mask.sum()) for name, mask in named.items()} | {
        "others": int((~np.any(list(named.values()), axis=0)).sum())
    }


@click.command()
@click.argument("task")
@click.argument("training", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("data")
@click.option("--seed", default=0, show_default=True)
def main(task: str, training: Path, data: str, seed: int) -> None:
    """Print figures of TRAINING, a folder in checkpoints, on the test split of DATA as one line of JSON."""
    chosen = task_of(task)
    problem = problem_of(chosen, ())
    network = keras.models.load_model(TrainedModel.open(training).weights)
    if not isinstance(problem, Puzzle) or len(network.output_shape) != SCORES_RANK:
        raise ConfigurationError(f"{training}: expected a puzzle solver that answers scores of positions and pairs")
    with tempfile.TemporaryDirectory() as folder:
        dataset = prepare(chosen, data, Workspace(Path(folder)), seed=seed)
        parts = list(answers(network, problem, evaluation_batches(dataset, "test", BATCH), seed))
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    wrong = ~found["all"]
    result = {
        "pictures": len(wrong),
        "exact": {name: float(found[name].mean()) for name in PARTS},
        "exact_by_flat_tiles": by_flat_tiles(found),
        "wrong": kinds(found),
        "wrong_with_a_flat_tile": float((found["flat"][wrong] > 0).mean()) if wrong.any() else 0.0,
        "mean_probability": {
            name: float(found["probability"][mask].mean())
            for name, mask in (("right", ~wrong), ("wrong", wrong))
            if mask.any()
        },
        "exact_of_surest_90_percent": float(
            found["all"][np.argsort(-found["probability"])][: len(wrong) * 9 // 10].mean()
        ),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
