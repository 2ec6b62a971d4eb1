"""Asks a model, trained or exported, about the test split: both through the endpoint's own outputs."""

from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from nightshift.data.input import evaluation_batches
from nightshift.data.manifest import Dataset
from nightshift.evaluation.classification import ClassificationJudge
from nightshift.evaluation.judgement import Answered, Judgement
from nightshift.evaluation.puzzle import PuzzleJudge
from nightshift.problems.base import Problem
from nightshift.problems.puzzle import Puzzle
from nightshift.problems.registry import problem_of
from nightshift.tasks.base import Task

Answer = Callable[[tf.Tensor], Mapping[str, tf.Tensor]]
BATCH = 250


def of_keras(path: Path, problem: Problem) -> Answer:
    """The answers of a trained model."""
    import nightshift.models.seamnet  # noqa: F401  its layers are needed to load it

    model = keras.models.load_model(path)

    @tf.function(reduce_retracing=True)
    def answer(images: tf.Tensor) -> Mapping[str, tf.Tensor]:
        return problem.answers(images, model(images, training=False))

    return answer


def of_saved_model(path: Path) -> Answer:
    """The answers of a released version."""
    loaded = tf.saved_model.load(str(path))
    (name,) = loaded.signatures["serving_default"].structured_input_signature[1]

    def answer(images: tf.Tensor) -> Mapping[str, tf.Tensor]:
        # By way of `loaded`: a signature alone does not keep its variables alive.
        return loaded.signatures["serving_default"](**{name: images})

    return answer


def judge(
    task: Task,
    dataset: Dataset,
    answer: Answer,
    *,
    seed: int,
    split: str = "test",
    progress: Callable[[float, str], None] = lambda fraction, message: None,
) -> Judgement:
    """Judge a model's answers to a split.

    Args:
        task: what is judged.
        dataset: prepared data.
        answer: uint8 [B, H, W, C] -> the endpoint's outputs.
        seed: puzzles are shuffled by it.
        split: which examples.
        progress: told (share done, words).
    """
    problem = problem_of(task, tuple(dataset.manifest.classes))
    judges = PuzzleJudge(problem.permutations) if isinstance(problem, Puzzle) else ClassificationJudge(problem.classes)
    count, done = dataset.manifest.splits[split].count, 0
    for batch in evaluation_batches(dataset, split, BATCH):
        inputs, targets = problem.evaluation_batch(batch, seed)
        answers = _arrays(answer(inputs))
        in_order = _arrays(answer(batch["image"])) if isinstance(problem, Puzzle) else answers
        judges.add(Answered(batch["image"].numpy(), inputs.numpy(), targets.numpy(), answers, in_order))
        done += len(inputs)
        progress(done / count, f"judging on the {split} split: {done:,} of {count:,}")
    return judges.judgement()


def _arrays(answers: Mapping[str, tf.Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in answers.items()}
