"""The reference statistics of a network that is exported: its validation images, and what it answers to them."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from nightshift.data.input import evaluation_batches
from nightshift.data.manifest import Dataset
from nightshift.drift.again import in_order, solves, tiles_of
from nightshift.drift.features import features, seams
from nightshift.drift.reference import Reference
from nightshift.problems.base import Problem
from nightshift.tasks.base import Task

SPLIT = "validation"
IMAGES = 2_000
TILE_IMAGES = 500
"""Puzzles that are cut out of puzzles: each costs the solver as much as a picture."""
BATCH = 64

Answer = Callable[[tf.Tensor], Mapping[str, tf.Tensor]]


def reference_of(task: Task, dataset: Dataset, problem: Problem, answer: Answer, seed: int) -> Reference:
    """Ask an exported network about at most IMAGES of the validation split, the first in the order of a hash.

    Args:
        task: what the network does.
        dataset: that it was trained on.
        problem: of the task.
        answer: the signature `serving_default`.
        seed: puzzles are shuffled by it.
    """
    images, labels, answers = _asked(dataset, problem, answer, seed)
    grid = task.grid if task.problem == "puzzle" else 1
    columns = features(images, grid)
    facts: dict[str, Any] = {
        "image_shape": task.image_shape,
        "fit": task.fit,
        "grid": grid,
        "classes": tuple(dataset.manifest.classes),
    }
    if grid == 1:
        columns["confidence"] = answers["probabilities"].max(axis=1)
        return Reference(columns=columns, predicted=answers["class_id"], label=labels, **facts)
    originals = _originals(dataset, len(images))
    solved = in_order(images, answers["permutation"])
    columns |= {"confidence": answers["probability"], "seams": seams(solved, grid)}

    def ask(shuffled: np.ndarray) -> np.ndarray:
        permutation: np.ndarray = answer(tf.constant(shuffled))["permutation"].numpy()
        return permutation

    return Reference(
        columns=columns,
        solved=(solved == originals).all(axis=(1, 2, 3)),
        tile_solved=solves(ask, tiles_of(originals[:TILE_IMAGES], grid, seed), grid, seed),
        **facts,
    )


def _asked(
    dataset: Dataset, problem: Problem, answer: Answer, seed: int
) -> tuple[np.ndarray, np.ndarray | None, dict[str, np.ndarray]]:
    """Images as the network sees them, uint8 [N, H, W, C]; labels, int64 [N], if there are any; answers by name."""
    images, labels, answers = [], [], []
    for batch in evaluation_batches(dataset, SPLIT, BATCH).take(-(-IMAGES // BATCH)):
        seen, _ = problem.evaluation_batch(batch, seed)
        images.append(seen.numpy())
        labels.append(batch["label"].numpy())
        answers.append({name: tensor.numpy() for name, tensor in answer(seen).items() if tensor.dtype != tf.string})
    labelled = np.concatenate(labels)[:IMAGES]
    return (
        np.concatenate(images)[:IMAGES],
        None if (labelled < 0).any() else labelled,
        {name: np.concatenate([one[name] for one in answers])[:IMAGES] for name in answers[0]},
    )


def _originals(dataset: Dataset, count: int) -> np.ndarray:
    """The first images as they are in the dataset."""
    batches = evaluation_batches(dataset, SPLIT, BATCH).take(-(-count // BATCH))
    return np.concatenate([batch["image"].numpy() for batch in batches])[:count]
