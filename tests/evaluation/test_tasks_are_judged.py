"""Every task's thresholds and score are figures that its judge gives."""

import numpy as np
import pytest
import tensorflow as tf

from nightshift.evaluation.answers import judge_of
from nightshift.evaluation.gate import decide
from nightshift.evaluation.judgement import Answered
from nightshift.problems.classification import Classification
from nightshift.problems.registry import problem_of
from nightshift.tasks.registry import tasks

CLASSIFIERS = [task for task in tasks().values() if isinstance(problem_of(task, task.classes), Classification)]


@pytest.mark.parametrize("task", CLASSIFIERS, ids=lambda task: task.name)
def test_the_judge_gives_what_the_task_asks_for_and_a_blind_model_is_refused(task):
    classes = task.classes or tuple("abcdef")
    problem = problem_of(task, classes)
    labels = np.arange(4 * len(classes)) % len(classes)
    images = np.zeros((len(labels), *task.image_shape), np.uint8)
    found = problem.answers(tf.constant(images), tf.zeros((len(labels), problem.outputs)))
    answers = {name: tensor.numpy() for name, tensor in found.items()}
    judge = judge_of(problem)
    judge.add(Answered(images, images, labels, answers, answers))
    judgement = judge.judgement()
    assert {task.score, *task.thresholds} <= judgement.metrics.keys()
    assert judgement.metrics["kappa"] == pytest.approx(0)
    decision = decide(task, judgement, None)
    assert not decision.blessed
    for name in task.thresholds:
        assert f"{name} {judgement.metrics[name]:.4f} is below" in decision.reason
