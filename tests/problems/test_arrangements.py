"""Against all 362,880 arrangements, listed."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from nightshift.problems import arrangements
from nightshift.problems.tiles import permutations

ORDERS = permutations(9)
SLOT_AT = np.argsort(ORDERS, axis=1)


def listed_logits(scores: np.ndarray) -> np.ndarray:
    """Of every arrangement of one image, float64 [9!]."""
    unary, right, below = scores.astype(np.float64)
    logits = unary[np.arange(9), ORDERS].sum(axis=1)
    for row, column in np.ndindex(3, 3):
        here = SLOT_AT[:, 3 * row + column]
        if column < 2:
            logits += right[here, SLOT_AT[:, 3 * row + column + 1]]
        if row < 2:
            logits += below[here, SLOT_AT[:, 3 * row + column + 3]]
    return logits


@st.composite
def scored(draw):
    """Scores of some images, float32 [B, 3, 9, 9]."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = draw(st.sampled_from([0.1, 2.0, 30.0]))
    return (random.normal(size=(draw(st.integers(1, 2)), 3, 9, 9)) * scale).astype(np.float32)


@settings(deadline=None, max_examples=4)
@given(scored())
def test_the_best_is_the_best_of_all(scores):
    found = arrangements.best(tf.constant(scores))
    assert found.dtype == tf.int32
    for image, order in zip(scores, found.numpy(), strict=True):
        assert order.tolist() == ORDERS[listed_logits(image).argmax()].tolist()


@settings(deadline=None, max_examples=4)
@given(scored(), st.integers(0, len(ORDERS) - 1))
def test_sums_over_all_arrangements_leave_none_out(scores, index):
    listed = np.stack([listed_logits(image) for image in scores])
    orders = tf.constant(ORDERS[[index] * len(scores)])
    close = {"rel": 1e-5, "abs": 1e-4}
    assert arrangements.logits(tf.constant(scores), orders).numpy() == pytest.approx(listed[:, index], **close)
    assert arrangements.mean_logit(tf.constant(scores)).numpy() == pytest.approx(listed.mean(axis=1), **close)
    assert arrangements.log_partition(tf.constant(scores)).numpy() == pytest.approx(logsumexp(listed, axis=1), **close)


@settings(deadline=None, max_examples=4)
@given(scored())
def test_marginals_are_those_of_all_arrangements(scores):
    partition, found = (tensor.numpy() for tensor in arrangements.marginals(tf.constant(scores)))
    for axis in (1, 2):
        assert found.sum(axis=axis) == pytest.approx(1, abs=1e-4)
    for image, listed in enumerate(map(listed_logits, scores)):
        assert partition[image] == pytest.approx(logsumexp(listed), rel=1e-5, abs=1e-4)
        weights = np.exp(listed - logsumexp(listed))
        expected = [np.bincount(ORDERS[:, slot], weights, minlength=9) for slot in range(9)]
        assert found[image] == pytest.approx(np.stack(expected), abs=1e-4)


def test_images_do_not_touch_each_other():
    scores = np.random.default_rng(1).normal(size=(5, 3, 9, 9)).astype(np.float32)
    together, alone = tf.constant(scores), [tf.constant(scores[[k]]) for k in range(5)]
    assert np.array_equal(arrangements.best(together), np.concatenate([arrangements.best(one) for one in alone]))
    partitions = np.concatenate([arrangements.log_partition(one) for one in alone])
    assert arrangements.log_partition(together).numpy() == pytest.approx(partitions, rel=1e-6)


def test_xla_compiles_them_to_the_same():
    scores = tf.constant(np.random.default_rng(2).normal(size=(3, 3, 9, 9)).astype(np.float32))

    @tf.function(jit_compile=True)
    def compiled(scores):
        return arrangements.best(scores), arrangements.log_partition(scores)

    best, partition = compiled(scores)
    assert np.array_equal(best, arrangements.best(scores))
    assert partition.numpy() == pytest.approx(arrangements.log_partition(scores).numpy(), rel=1e-6)
