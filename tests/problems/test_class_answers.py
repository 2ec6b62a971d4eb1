import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from nightshift.problems.classification import Classification
from nightshift.problems.puzzle import Puzzle
from nightshift.problems.registry import problem_of
from nightshift.tasks.registry import task

CLASSES = ("paper", "rock", "scissors")
PROBLEM = Classification(CLASSES)


@st.composite
def logits(draw):
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return (random.normal(size=(draw(st.integers(1, 6)), 3)) * draw(st.sampled_from([0.1, 1, 30]))).astype(np.float32)


@settings(deadline=None, max_examples=40)
@given(logits())
def test_the_answer_is_the_most_probable_class(given_logits):
    found = PROBLEM.answers(tf.zeros((1, 2, 2, 1), tf.uint8), tf.constant(given_logits))
    assert found["probabilities"].numpy().sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert found["class_id"].numpy().tolist() == given_logits.argmax(axis=1).tolist()
    assert found["label"].numpy().tolist() == [CLASSES[k].encode() for k in given_logits.argmax(axis=1)]
    assert found["class_id"].dtype == tf.int64


@settings(deadline=None, max_examples=40)
@given(logits())
def test_classify_lists_all_classes_the_most_probable_first(given_logits):
    found = PROBLEM.answers(tf.zeros((1, 2, 2, 1), tf.uint8), tf.constant(given_logits))
    classified = PROBLEM.classify(found)
    for row, names, scores in zip(
        found["probabilities"].numpy(), classified["classes"].numpy(), classified["scores"].numpy(), strict=True
    ):
        assert sorted(row.tolist(), reverse=True) == scores.tolist()
        assert sorted(names) == sorted(name.encode() for name in CLASSES)
        assert [row[CLASSES.index(name.decode())] for name in names] == scores.tolist()


@settings(deadline=None, max_examples=40)
@given(logits(), st.integers(0, 2), st.sampled_from([0.0, 0.1, 1.0]))
def test_the_loss_is_the_cross_entropy_with_smoothed_targets(given_logits, label, smoothing):
    targets = tf.fill([len(given_logits)], tf.constant(label, tf.int64))
    wide = given_logits.astype(np.float64)
    logs = wide - wide.max(axis=1, keepdims=True)
    logs -= np.log(np.exp(logs).sum(axis=1, keepdims=True))
    wanted = np.eye(3)[label] * (1 - smoothing) + smoothing / 3
    expected = -(wanted * logs).sum(axis=1)
    assert PROBLEM.loss(targets, tf.constant(given_logits), smoothing).numpy() == pytest.approx(expected, abs=1e-4)
    assert PROBLEM.score(targets, tf.constant(given_logits)).numpy().tolist() == (wide.argmax(axis=1) == label).tolist()


def test_evaluation_shows_the_images_as_they_are():
    batch = {"image": tf.ones((2, 2, 2, 1), tf.uint8), "label": tf.constant([0, 1], tf.int64)}
    images, labels = PROBLEM.evaluation_batch(batch, seed=5)
    assert images is batch["image"]
    assert labels is batch["label"]


def test_a_task_gets_its_problem():
    assert isinstance(problem_of(task("puzzle"), ()), Puzzle)
    assert problem_of(task("digits"), CLASSES).outputs == 3
    assert Puzzle().outputs == 4
