import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from nightshift.problems.classification import Classification
from nightshift.problems.grouped import GroupedClassification
from nightshift.problems.registry import problem_of
from nightshift.tasks.registry import task

CLASSES = ("cat", "eagle", "dog", "trout", "salmon")
GROUPS = {
    "kind": ("mammal", "bird", "mammal", "fish", "fish"),
    "legs": ("four", "two", "four", "none", "none"),
    "pet": ("yes", "no", "yes", "no", "no"),
}
PROBLEM = GroupedClassification(CLASSES, GROUPS)
ENDS = np.cumsum([5, 3, 3, 2])


@st.composite
def logits(draw):
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return (random.normal(size=(draw(st.integers(1, 6)), 13)) * draw(st.sampled_from([0.1, 1, 30]))).astype(np.float32)


def of_question(given_logits: np.ndarray, question: str) -> np.ndarray:
    return np.split(given_logits, ENDS[:-1], axis=1)[1 + list(GROUPS).index(question)]


def answers(given_logits: np.ndarray) -> dict[str, np.ndarray]:
    found = PROBLEM.answers(tf.zeros((1, 2, 2, 1), tf.uint8), tf.constant(given_logits))
    return {name: tensor.numpy() for name, tensor in found.items()}


def test_a_network_has_an_output_for_each_class_and_each_answer():
    assert PROBLEM.outputs == 13
    assert PROBLEM.answers_of["kind"] == ("mammal", "bird", "fish")


@settings(deadline=None, max_examples=15)
@given(logits())
def test_what_the_class_implies_is_answered_beside_what_the_network_says(given_logits):
    found = answers(given_logits)
    assert found["probabilities"].shape == (len(given_logits), 5)
    for row, class_id in enumerate(given_logits[:, :5].argmax(axis=1)):
        assert found["class_id"][row] == class_id
        assert found["label"][row].decode() == CLASSES[class_id]
        for question, of_classes in GROUPS.items():
            names = list(dict.fromkeys(of_classes))
            said = names[of_question(given_logits, question)[row].argmax()]
            assert found[f"{question}_label"][row].decode() == said
            assert found[f"{question}_of_class"][row].decode() == of_classes[class_id]
            assert found[f"{question}_probabilities"][row].sum() == pytest.approx(1, abs=1e-5)
            assert names[found[f"{question}_probabilities"][row].argmax()] == said


@settings(deadline=None, max_examples=15)
@given(logits(), st.integers(0, 4), st.sampled_from([0.0, 0.1]))
def test_the_loss_is_the_sum_of_the_cross_entropies_of_all_answers(given_logits, label, smoothing):
    targets = tf.fill([len(given_logits)], tf.constant(label, tf.int64))
    expected = Classification(CLASSES).loss(targets, tf.constant(given_logits[:, :5]), smoothing).numpy()
    for question, of_classes in GROUPS.items():
        names = tuple(dict.fromkeys(of_classes))
        truth = tf.fill([len(given_logits)], tf.constant(names.index(of_classes[label]), tf.int64))
        part = tf.constant(of_question(given_logits, question))
        expected = expected + Classification(names).loss(truth, part, smoothing).numpy()
    assert PROBLEM.loss(targets, tf.constant(given_logits), smoothing).numpy() == pytest.approx(expected, rel=1e-4)


@settings(deadline=None, max_examples=15)
@given(logits(), st.integers(0, 4))
def test_an_example_scores_if_every_answer_is_right(given_logits, label):
    found = answers(given_logits)
    right = found["class_id"] == label
    for question, of_classes in GROUPS.items():
        right = right & (found[f"{question}_label"] == of_classes[label].encode())
    targets = tf.fill([len(given_logits)], tf.constant(label, tf.int64))
    assert PROBLEM.score(targets, tf.constant(given_logits)).numpy().tolist() == right.tolist()


def test_classify_ranks_the_classes_alone():
    found = PROBLEM.classify(
        PROBLEM.answers(tf.zeros((1, 2, 2, 1), tf.uint8), tf.random.stateless_normal((2, 13), [1, 2]))
    )
    assert found["classes"].shape == found["scores"].shape == (2, 5)


def test_a_logit_of_zero_beside_z_is_the_sigmoid_of_z():
    z = np.linspace(-20, 20, 9, dtype=np.float32)
    pair = tf.constant(np.stack([np.zeros_like(z), z], axis=1))
    both = Classification(("even", "odd"))
    sigmoid = tf.keras.losses.BinaryCrossentropy(from_logits=True, reduction=None)
    for label in (0, 1):
        targets = tf.fill([len(z)], tf.constant(label, tf.int64))
        expected = sigmoid(tf.cast(targets, tf.float32)[:, None], z[:, None]).numpy()
        assert both.loss(targets, pair, 0.0).numpy() == pytest.approx(expected, abs=1e-5)


def test_a_grouped_task_gets_its_problem():
    chosen = task("digits_parity")
    problem = problem_of(chosen, chosen.classes)
    assert isinstance(problem, GroupedClassification)
    assert problem.outputs == 12
    assert [problem.group_of_class["parity"][int(name)] for name in chosen.classes] == [0, 1] * 5
    assert problem.answers_of["parity"] == ("even", "odd")
