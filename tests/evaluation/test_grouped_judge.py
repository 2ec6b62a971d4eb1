import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from nightshift.evaluation.answers import in_order_of
from nightshift.evaluation.classification import ClassificationJudge
from nightshift.evaluation.grouped import GroupedJudge
from nightshift.evaluation.judgement import Answered, Judgement
from nightshift.problems.grouped import GroupedClassification

CLASSES = ("0", "1", "2", "3")
GROUPS = {"parity": ("even", "odd", "even", "odd"), "size": ("none", "few", "few", "many")}
PROBLEM = GroupedClassification(CLASSES, GROUPS)


def judged(labels: np.ndarray, logits: np.ndarray, batch: int) -> Judgement:
    judge = GroupedJudge(CLASSES, PROBLEM.answers_of, PROBLEM.group_of_class)
    images = np.zeros((len(labels), 2, 2, 1), np.uint8)
    for start in range(0, len(labels), batch):
        part = slice(start, start + batch)
        found = PROBLEM.answers(tf.constant(images[part]), tf.constant(logits[part]))
        answers = {name: tensor.numpy() for name, tensor in found.items()}
        judge.add(Answered(images[part], images[part], labels[part], answers, answers))
    return judge.judgement()


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(1, 70))
def test_the_figures_are_those_of_plain_loops_however_batched(seed, count, batch):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, count)
    logits = (random.normal(size=(count, 9)) * 2).astype(np.float32)
    logits[np.arange(count), labels] += 2
    found = judged(labels, logits, batch)
    classes = logits[:, :4].argmax(axis=1)
    right = classes == labels
    all_right = right.copy()
    for question, first, names in (("parity", 4, ["even", "odd"]), ("size", 6, ["none", "few", "many"])):
        said = [names[k] for k in logits[:, first : first + len(names)].argmax(axis=1)]
        truth = [GROUPS[question][label] for label in labels]
        implied = [GROUPS[question][label] for label in classes]
        assert found.metrics[f"{question}_accuracy"] == pytest.approx(np.mean(np.array(said) == truth))
        assert found.metrics[f"{question}_of_class_accuracy"] == pytest.approx(np.mean(np.array(implied) == truth))
        assert found.metrics[f"{question}_agreement"] == pytest.approx(np.mean(np.array(said) == implied))
        all_right &= np.array(said) == truth
    assert found.metrics["accuracy"] == pytest.approx(right.mean())
    assert found.metrics["exact_match"] == pytest.approx(all_right.mean())
    assert found.correct.tolist() == all_right.tolist()
    losses = PROBLEM.loss(tf.constant(labels), tf.constant(logits), 0.0)
    assert found.metrics["loss"] == pytest.approx(float(tf.reduce_mean(losses)), rel=1e-4)
    score = PROBLEM.score(tf.constant(labels), tf.constant(logits))
    assert found.metrics["exact_match"] == pytest.approx(float(tf.reduce_mean(score)))
    json.dumps([dict(found.metrics), list(found.per_class), list(found.roc)], allow_nan=False)


def test_a_right_class_with_a_wrong_further_answer_is_shown_as_wrong():
    logits = np.array([[9, 0, 0, 0, 9, 0, 9, 0, 0], [9, 0, 0, 0, 0, 9, 9, 0, 0]], np.float32)
    found = judged(np.array([0, 0]), logits, 2)
    assert found.metrics["accuracy"] == 1.0
    assert found.metrics["exact_match"] == 0.5
    assert found.gallery["wrong_answers"].tolist() == [0]
    assert found.gallery["wrong_losses"] == pytest.approx([9.0], abs=0.01)


def answer_of(labels: list[int], classes: int):
    """A model that is 70% sure of these classes."""
    probabilities = np.full((len(labels), classes), 0.3 / (classes - 1), np.float32)
    probabilities[np.arange(len(labels)), labels] = 0.7
    fixed = {"probabilities": tf.constant(probabilities), "class_id": tf.constant(labels, tf.int64)}
    return lambda images: fixed


def test_the_same_classes_are_answered_as_they_are():
    answer = answer_of([0, 1], 2)
    assert in_order_of(["a", "b"], ["a", "b"], answer) is answer


@given(st.permutations(["a", "b", "c", "d"]), st.permutations(["c", "d", "e"]))
def test_other_classes_are_compared_by_name(wanted, own):
    given_answers = answer_of(list(range(len(own))), len(own))
    found = {name: tensor.numpy() for name, tensor in in_order_of(wanted, own, given_answers)(None).items()}
    original = given_answers(None)["probabilities"].numpy()
    assert found["probabilities"].shape == (len(own), len(wanted))
    for row, name in enumerate(own):
        assert found["class_id"][row] == (wanted.index(name) if name in wanted else -1)
        for column, other in enumerate(wanted):
            expected = original[row, own.index(other)] if other in own else 0
            assert found["probabilities"][row, column] == pytest.approx(expected)


def test_an_answer_that_names_no_wanted_class_is_wrong_even_if_the_next_one_is_right():
    answers = in_order_of(["a", "b"], ["a", "b", "zebra"], answer_of([2, 0], 3))(None)
    found = {name: tensor.numpy() for name, tensor in answers.items()}
    judge = ClassificationJudge(("a", "b"))
    images = np.zeros((2, 2, 2, 1), np.uint8)
    judge.add(Answered(images, images, np.array([0, 0]), found, found))
    judgement = judge.judgement()
    assert judgement.correct.tolist() == [False, True]
    assert judgement.metrics["accuracy"] == 0.5
    assert judgement.confusion_matrix.tolist() == [[1, 0], [0, 0]]


def test_hundreds_of_classes_leave_a_record_of_bounded_size():
    random = np.random.default_rng(0)
    classes, count = 300, 900
    labels = np.arange(count) % classes
    probabilities = random.dirichlet(np.ones(classes), count).astype(np.float32)
    judge = ClassificationJudge(tuple(map(str, range(classes))))
    images = np.zeros((count, 1, 1, 1), np.uint8)
    found = {"probabilities": probabilities, "class_id": probabilities.argmax(axis=1)}
    judge.add(Answered(images, images, labels, found, found))
    judgement = judge.judgement()
    assert len(judgement.roc) == classes
    assert sum(len(curve["fpr"]) for curve in judgement.roc) <= 20_000
    assert judgement.metrics["kappa"] == pytest.approx(0, abs=0.05)
