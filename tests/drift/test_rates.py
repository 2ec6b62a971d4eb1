"""How often the same data alarm, and whether other data do: on real pictures."""

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from nightshift.drift.comparison import Sample, compare
from nightshift.drift.features import features

TRIALS = 100
LIVE = 200
REFERENCE = 2_000


@pytest.fixture(scope="session", params=["digits", "photographs"])
def pictures(request):
    return request.getfixturevalue(request.param)


def sample_of(images):
    return Sample(features(images))


def rows(sample, chosen):
    return Sample({name: column[chosen] for name, column in sample.columns.items()})


@pytest.mark.slow
def test_the_same_data_raise_no_alarm_in_100_trials(pictures):
    pool = sample_of(pictures)
    found = []
    for trial in range(TRIALS):
        order = np.random.default_rng(trial).permutation(len(pictures))
        found.append(compare(rows(pool, order[:REFERENCE]), rows(pool, order[REFERENCE : REFERENCE + LIVE])))
    assert not [comparison.words() for comparison in found if comparison.drifted]
    # Without their least effects, too, the tests are as rarely wrong as they say: at 10 %, 10 expected at most, and
    # more than 20 by chance once in 1,000.
    assert sum(min(change.p for change in comparison.changes) <= 0.1 for comparison in found) <= 20


def blurred(images):
    return uniform_filter(images, size=(1, 3, 3, 1))


CHANGES = {
    "inverted": lambda images: 255 - images,
    "blurred": blurred,
    "darker": lambda images: (images * 0.6).astype(np.uint8),
    "of less contrast": lambda images: (128 + (images.astype(np.float32) - 128) * 0.5).astype(np.uint8),
    "noisy": lambda images: (
        (images + np.random.default_rng(5).normal(0, 30, images.shape)).clip(0, 255).astype(np.uint8)
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_pictures_are_found_from_200(pictures, change):
    reference, live = pictures[:REFERENCE], pictures[-LIVE:]
    assert not compare(sample_of(reference), sample_of(live)).drifted
    assert compare(sample_of(reference), sample_of(CHANGES[change](live))).drifted


def test_pictures_of_another_domain_are_found_from_200(digits, photographs):
    grey = photographs[-LIVE:, 2:30, 2:30].mean(axis=3, keepdims=True).astype(np.uint8)
    found = compare(sample_of(digits[:REFERENCE]), sample_of(grey))
    assert found.drifted
    assert {change.name for change in found.changes if change.drifted} >= {"brightness", "all figures together"}
    coloured = digits[-LIVE:].repeat(3, axis=3)
    assert compare(sample_of(photographs[:REFERENCE]), sample_of(coloured)).drifted


def test_a_difference_that_no_single_figure_shows_is_found_by_all_of_them_together():
    random = np.random.default_rng(7)
    draws = random.normal(size=(4000, 2)).astype(np.float32)
    turned = np.stack([draws[:, 0], 0.9 * draws[:, 0] + np.sqrt(1 - 0.81) * draws[:, 1]], axis=1)
    one = Sample({"brightness": draws[:2000, 0], "contrast": draws[:2000, 1]})
    other = Sample({"brightness": turned[2000:, 0], "contrast": turned[2000:, 1]})
    found = compare(one, other)
    assert [change.name for change in found.changes if change.drifted] == ["all figures together"]


def test_a_difference_too_small_to_matter_does_not_alarm_however_many_images():
    random = np.random.default_rng(8)
    one = Sample({"brightness": random.normal(100, 20, 100_000).astype(np.float32)})
    other = Sample({"brightness": random.normal(101, 20, 100_000).astype(np.float32)})
    found = compare(one, other)
    assert not found.drifted
    assert min(change.p for change in found.changes) < 1e-6
