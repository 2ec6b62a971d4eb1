import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from nightshift.data.randomness import integers, uniform

IDS = st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20)
KINDS = {
    "hashes": np.random.default_rng(0).integers(-(2**63), 2**63 - 1, 20_000),
    "consecutive numbers": np.arange(20_000),
}


def reference(identifier: int, seed: int, epoch: int, purpose: str) -> int:
    """The definition, in Python's integers."""
    import hashlib

    def mix(z: int) -> int:
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z >> 31)

    key = int.from_bytes(hashlib.sha256(f"{seed}\0{purpose}".encode()).digest()[:8], "big")
    return mix((identifier + mix((key + epoch * 0x9E3779B97F4A7C15) % 2**64)) % 2**64)


@settings(deadline=None, max_examples=50)
@given(IDS, st.integers(0, 2**40), st.integers(0, 1000), st.text(max_size=8))
def test_a_draw_is_the_top_bits_of_the_hash(ids, seed, epoch, purpose):
    expected = [(reference(identifier, seed, epoch, purpose) >> 40) / 2**24 for identifier in ids]
    assert uniform(tf.constant(ids, tf.int64), seed, epoch, purpose).numpy().tolist() == expected


@settings(deadline=None, max_examples=50)
@given(IDS, st.integers(1, 1000))
def test_an_integer_is_the_hash_modulo_the_bound(ids, bound):
    expected = [(reference(identifier, 3, 4, "x") >> 1) % bound for identifier in ids]
    assert integers(tf.constant(ids, tf.int64), 3, 4, "x", bound).numpy().tolist() == expected


def test_a_draw_does_not_depend_on_its_batch():
    ids = tf.constant(KINDS["hashes"][:100])
    whole = uniform(ids, 1, 2, "flip").numpy()
    assert [uniform(ids[k : k + 1], 1, 2, "flip").numpy()[0] for k in range(100)] == whole.tolist()
    assert uniform(ids[::-1], 1, 2, "flip").numpy().tolist() == whole[::-1].tolist()


def test_a_draw_is_the_same_inside_a_graph_with_the_epoch_as_a_tensor():
    ids = tf.constant(KINDS["hashes"][:100])
    inside = tf.function(lambda epoch: uniform(ids, 1, epoch, "flip"))(tf.constant(2, tf.int64))
    assert inside.numpy().tolist() == uniform(ids, 1, 2, "flip").numpy().tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_draws_are_uniform(kind):
    draws = uniform(tf.constant(KINDS[kind]), 0, 1, "rotation").numpy().astype(np.float64)
    assert draws.min() >= 0
    assert draws.max() < 1
    assert draws.mean() == pytest.approx(1 / 2, abs=4 * np.sqrt(1 / 12 / len(draws)))
    assert draws.var() == pytest.approx(1 / 12, abs=4 * np.sqrt(1 / 180 / len(draws)))
    assert stats.kstest(draws, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_draws_of_different_seeds_epochs_and_purposes_are_uncorrelated(kind):
    ids = tf.constant(KINDS[kind])
    circumstances = [(0, 1, "flip"), (0, 2, "flip"), (0, 3, "flip"), (1, 1, "flip"), (0, 1, "rotation"), (0, 1, "zoom")]
    draws = [uniform(ids, *circumstance).numpy() for circumstance in circumstances]
    for first, second in itertools.combinations(draws, 2):
        assert abs(np.corrcoef(first, second)[0, 1]) < 4.5 / np.sqrt(len(ids))


def test_a_draw_tells_nothing_of_the_next_examples():
    draws = uniform(tf.constant(KINDS["consecutive numbers"]), 0, 1, "rotation").numpy()
    for lag in (1, 2, 28, 1024):
        assert abs(np.corrcoef(draws[:-lag], draws[lag:])[0, 1]) < 4.5 / np.sqrt(len(draws))


@pytest.mark.parametrize("bound", [2, 24, 1000])
def test_integers_are_equally_frequent(bound):
    drawn = integers(tf.constant(KINDS["hashes"]), 0, 1, "permutation", bound).numpy()
    assert stats.chisquare(np.bincount(drawn, minlength=bound)).pvalue > 1e-3
