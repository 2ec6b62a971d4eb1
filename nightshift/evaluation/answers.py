"""Asks a model, trained or exported, about the test split: both through the endpoint's own outputs."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from nightshift.data.input import evaluation_batches
from nightshift.data.manifest import Dataset
from nightshift.evaluation.architecture import load_network
from nightshift.evaluation.classification import ClassificationJudge
from nightshift.evaluation.grouped import GroupedJudge
from nightshift.evaluation.judgement import Answered, Judgement
from nightshift.evaluation.puzzle import PuzzleJudge
from nightshift.problems.base import Problem
from nightshift.problems.classification import Classification
from nightshift.problems.grouped import GroupedClassification
from nightshift.problems.puzzle import Puzzle
from nightshift.problems.registry import problem_of
from nightshift.tasks.base import Task

Answer = Callable[[tf.Tensor], Mapping[str, tf.Tensor]]
BATCH = 250


def of_keras(path: Path, problem: Problem) -> Answer:
    """The answers of a trained model."""
    model = load_network(path)

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


def in_order_of(classes: Sequence[str], answered: Sequence[str], answer: Answer) -> Answer:
    """A classifier's answers with its classes brought to another order, by name.

    Where the serving model knows other classes than the candidate, as after a folder of images has got another class,
    both can so be judged on the same examples.

    Args:
        classes: the order wanted.
        answered: the model's own classes.
        answer: the model.

    Returns:
        the same answers, with `probabilities` [B, K] in the order wanted, 0 for a class that the model does not know,
        and `class_id` -1 where it names one that is not wanted.
    """
    if tuple(classes) == tuple(answered):
        return answer
    unknown = len(answered)
    columns = [answered.index(name) if name in answered else unknown for name in classes]
    numbers = [classes.index(name) if name in classes else -1 for name in answered]

    def reordered(images: tf.Tensor) -> Mapping[str, tf.Tensor]:
        answers = dict(answer(images))
        probabilities = tf.pad(answers["probabilities"], [[0, 0], [0, 1]])
        answers["probabilities"] = tf.gather(probabilities, columns, axis=1)
        answers["class_id"] = tf.gather(tf.constant(numbers, tf.int64), answers["class_id"])
        return answers

    return reordered


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
    judges = judge_of(problem)
    count, done = dataset.manifest.splits[split].count, 0
    for batch in evaluation_batches(dataset, split, BATCH):
        inputs, targets = problem.evaluation_batch(batch, seed)
        answers = _arrays(answer(inputs))
        in_order = _arrays(answer(batch["image"])) if isinstance(problem, Puzzle) else answers
        judges.add(Answered(batch["image"].numpy(), inputs.numpy(), targets.numpy(), answers, in_order))
        done += len(inputs)
        progress(done / count, f"judging on the {split} split: {done:,} of {count:,}")
    return judges.judgement()


def judge_of(problem: Classification | Puzzle) -> ClassificationJudge | PuzzleJudge:
    """What adds up answers of that kind."""
    if isinstance(problem, Puzzle):
        return PuzzleJudge(problem.permutations)
    if isinstance(problem, GroupedClassification):
        return GroupedJudge(problem.classes, problem.answers_of, problem.group_of_class)
    return ClassificationJudge(problem.classes)


def _arrays(answers: Mapping[str, tf.Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in answers.items()}
