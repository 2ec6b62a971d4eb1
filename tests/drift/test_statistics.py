"""The tests of two samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.drift.statistics import (
    adjusted,
    classes_differ,
    figures_differ,
    samples_differ,
    shares_differ,
    stability_index,
)


def test_the_stability_index_is_that_of_the_textbook():
    expected, found = np.array([400.0, 600.0]) * 1e6, np.array([500.0, 500.0]) * 1e6
    assert stability_index(expected, found) == pytest.approx(0.1 * np.log(5 / 4) - 0.1 * np.log(5 / 6), rel=1e-6)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=8))
def test_the_stability_index_is_symmetric_finite_and_never_negative(pairs):
    one, other = (np.array(column, np.float64) for column in zip(*pairs, strict=True))
    index = stability_index(one, other)
    assert np.isfinite(index)
    assert index >= -1e-12
    assert index == pytest.approx(stability_index(other, one))


def test_holms_adjustment_is_that_of_the_textbook():
    assert adjusted([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjusted([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=10))
def test_an_adjusted_p_is_no_smaller_and_at_most_bonferronis(values):
    for value, p in zip(values, adjusted(values), strict=True):
        assert value <= p <= min(1.0, value * len(values)) + 1e-12 or p == max(adjusted(values))


def test_constant_figures_do_not_differ_from_themselves_and_do_from_others():
    ones = np.ones(200, np.float32)
    assert figures_differ(ones, ones).p == 1
    assert figures_differ(ones, ones).effect == pytest.approx(0)
    assert figures_differ(ones, 2 * ones).p < 1e-9
    assert figures_differ(ones, 2 * ones).effect > 1
    assert samples_differ(ones[:, None], ones[:, None]).effect == 0.5


def test_classes_whose_shares_change_are_found():
    random = np.random.default_rng(0)
    one = random.integers(0, 10, 2000)
    assert classes_differ(one, random.integers(0, 10, 200)).p > 0.01
    assert classes_differ(one, random.integers(0, 5, 200)).p < 1e-6
    assert classes_differ(one, np.zeros(200, np.int64)).effect > 1


@pytest.mark.parametrize("classes", [1, 2, 400])
def test_rare_classes_and_single_ones_are_no_alarm(classes):
    random = np.random.default_rng(classes)
    found = [classes_differ(random.integers(0, classes, 1000), random.integers(0, classes, 150)).p for _ in range(40)]
    assert sum(p < 0.05 for p in found) <= 8  # 2 expected


def test_a_class_that_the_reference_has_not_is_found():
    assert classes_differ(np.zeros(1000, np.int64), np.repeat([0, 7], [100, 50])).p < 1e-9


def test_only_a_share_that_falls_counts():
    half, most = np.arange(200) % 2 == 0, np.arange(200) % 10 != 0
    assert shares_differ(most, half).p < 1e-9
    assert shares_differ(most, half).effect == pytest.approx(0.4)
    assert shares_differ(half, most).p > 0.99
