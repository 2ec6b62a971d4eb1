"""The test split in slices: what they are, and how sure a candidate has to be worse in one to be refused for it."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.evaluation.judgement import Judgement, Trait
from nightshift.evaluation.paired import holm, mcnemar
from nightshift.evaluation.slices import (
    LEAST_COUNT,
    RATE,
    compare_slices,
    cycle_types,
    displaced_tiles,
    picture_traits,
    seam_texture,
)
from nightshift.problems.tiles import permutations

TRIALS = 200
COUNT = 600


def judged(correct: np.ndarray, *traits: Trait) -> Judgement:
    return Judgement(count=len(correct), metrics={}, correct=correct, traits=traits)


def some_traits(random: np.random.Generator, count: int = COUNT) -> list[Trait]:
    """Ten classes, brightness, and a contrast that goes with it."""
    brightness = random.uniform(0, 255, count)
    contrast = brightness / 2 + random.normal(0, 20, count)
    classes = Trait("class", random.integers(0, 10, count), tuple("0123456789"))
    return [classes, Trait("brightness", brightness), Trait("contrast", contrast)]


def test_two_equally_good_models_are_told_apart_in_a_slice_at_most_at_the_chosen_rate():
    """Right on the same share of examples that are as hard to both, wrong on different ones."""
    random = np.random.default_rng(6)
    refused = 0
    for _ in range(TRIALS):
        traits, chance = some_traits(random), random.beta(8, 2, COUNT)
        candidate, champion = (random.uniform(size=COUNT) < chance for _ in range(2))
        rows = compare_slices(judged(candidate, *traits), judged(champion, *traits))
        assert sum(row.p is not None for row in rows) == 16
        refused += any(row.worse for row in rows)
    assert refused <= RATE * TRIALS


def test_without_the_correction_that_rate_would_not_hold():
    """Of many slices some look bad by chance: the test above would notice if they were taken one by one."""
    random = np.random.default_rng(6)
    refused = 0
    for _ in range(TRIALS):
        traits, chance = some_traits(random), random.beta(8, 2, COUNT)
        candidate, champion = (random.uniform(size=COUNT) < chance for _ in range(2))
        rows = compare_slices(judged(candidate, *traits), judged(champion, *traits))
        refused += any(row.p is not None and row.p < RATE for row in rows)
    assert refused > RATE * TRIALS


def test_a_model_that_lost_the_dark_pictures_is_worse_there_and_nowhere_else():
    random = np.random.default_rng(1)
    traits = some_traits(random)[1:2]
    dark = traits[0].values < np.quantile(traits[0].values, 1 / 3)
    champion = random.uniform(size=COUNT) < 0.8
    candidate = np.where(dark, champion & (random.uniform(size=COUNT) < 0.75), True)
    assert mcnemar(candidate, champion)[2] < 0.05, "it is better on the whole"
    darkest, *others = compare_slices(judged(candidate, *traits), judged(champion, *traits))
    assert darkest.trait == "brightness"
    assert (darkest.count, darkest.worse) == (200, True)
    assert darkest.candidate == candidate[dark].mean() < champion[dark].mean() == darkest.champion
    assert (darkest.gained, darkest.lost) == (0, int((champion & ~candidate)[dark].sum()))
    assert darkest.p < darkest.p_holm < RATE
    assert [row.worse for row in others] == [False, False]


@pytest.mark.parametrize(("loss", "least", "most"), [(0.05, 0.0, 0.2), (0.15, 0.6, 1.0), (0.2, 0.9, 1.0)])
def test_a_loss_in_a_third_of_the_split_is_found_the_more_often_the_larger_it_is(loss, least, most):
    random = np.random.default_rng(1)
    found = 0
    for _ in range(TRIALS):
        traits, chance = some_traits(random), random.beta(8, 2, COUNT)
        brightness = traits[1].values
        weaker = np.where(brightness < np.quantile(brightness, 1 / 3), chance - loss, np.minimum(1, chance + 0.1))
        candidate, champion = (random.uniform(size=COUNT) < each for each in (weaker, chance))
        rows = compare_slices(judged(candidate, *traits), judged(champion, *traits))
        found += any(row.worse for row in rows)
    assert least <= found / TRIALS <= most


def test_a_slice_of_few_examples_is_shown_and_not_tested():
    numbers = np.repeat([0, 1], [LEAST_COUNT - 1, 400])
    trait = Trait("class", numbers, ("rare", "frequent"))
    rare, frequent = compare_slices(judged(numbers == 1, trait), judged(np.ones(len(numbers), bool), trait))
    assert (rare.count, rare.candidate, rare.champion, rare.lost) == (LEAST_COUNT - 1, 0, 1, LEAST_COUNT - 1)
    assert (rare.p, rare.p_holm, rare.worse) == (None, None, False)
    assert frequent.p == frequent.p_holm == 1


def test_a_certain_loss_that_is_too_small_to_matter_refuses_nothing():
    count = 20_000
    champion = np.ones(count, bool)
    candidate = np.arange(count) >= 30
    trait = Trait("class", (np.arange(count) >= count // 2).astype(int), ("a", "b"))
    row = compare_slices(judged(candidate, trait), judged(champion, trait))[0]
    assert row.p_holm < 1e-6
    assert row.lost / row.count == 0.003
    assert not row.worse


def test_with_nothing_to_compare_with_slices_say_where_the_candidate_is_weak():
    random = np.random.default_rng(2)
    correct = random.uniform(size=COUNT) < 0.9
    rows = compare_slices(judged(correct, *some_traits(random)), None)
    assert len(rows) == 16
    assert all(row.champion is None and row.p is None and not row.worse for row in rows)
    assert rows[0].as_json()["difference"] is None


@given(st.lists(st.integers(0, 3), min_size=1, max_size=50))
def test_parts_of_a_trait_cover_every_example_once_and_equal_values_stay_together(values):
    trait = Trait("brightness", np.array(values, np.float32))
    rows = compare_slices(judged(np.ones(len(values), bool), trait), None)
    if rows:
        assert sum(row.count for row in rows) == len(values)
    ends = [tuple(float(end) for end in row.value.split(" to ")) for row in rows]
    assert all(before[1] < after[0] for before, after in itertools.pairwise(ends))
    assert len(rows) <= 3


def test_slices_of_the_same_examples_are_one():
    trait = Trait("class", np.array([0, 1] * 20), ("a", "b"))
    again = Trait("kind", np.array([1, 0] * 20), ("b", "a"))
    rows = compare_slices(judged(np.ones(40, bool), trait, again), None)
    assert [(row.trait, row.value) for row in rows] == [("class", "a"), ("class", "b")]


def test_judgements_of_different_examples_are_not_compared():
    trait = Trait("class", np.array([0, 1] * 20), ("a", "b"))
    with pytest.raises(ValueError, match="found 40 and 39 answers, expected the same examples"):
        compare_slices(judged(np.ones(40, bool), trait), judged(np.ones(39, bool)))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_rejects_what_its_steps_would(chances):
    adjusted = holm(chances)
    rejected, left = set(), sorted(range(len(chances)), key=lambda index: chances[index])
    while left and chances[left[0]] * len(left) < RATE:
        rejected.add(left.pop(0))
    assert {index for index, p in enumerate(adjusted) if p < RATE} == rejected
    assert all(p <= after <= 1 for p, after in zip(chances, adjusted, strict=True))


def test_holm_of_an_example_worked_by_hand():
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([]) == []


def test_brightness_and_contrast_are_those_of_each_picture():
    images = np.random.default_rng(0).integers(0, 256, (40, 6, 5, 3), np.uint8)
    found = picture_traits(images)
    np.testing.assert_allclose(found["brightness"], [image.mean() for image in images], rtol=1e-5)
    np.testing.assert_allclose(found["contrast"], [image.std() for image in images], rtol=1e-4)


def test_large_pictures_are_looked_at_in_blocks(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (7, 6, 5, 3), np.uint8)
    whole = picture_traits(images)
    monkeypatch.setattr("nightshift.evaluation.slices.BLOCK_BYTES", 1)
    for name, values in picture_traits(images).items():
        np.testing.assert_array_equal(values, whole[name])


@pytest.mark.parametrize("grid", [2, 3])
def test_texture_is_seen_at_the_seams_only(grid):
    random = np.random.default_rng(3)
    noise = random.integers(0, 256, (1, 12, 12, 3), np.uint8)
    at_seams = np.zeros((12, 12), bool)
    for seam in range(12 // grid, 12, 12 // grid):
        at_seams[seam - 1 : seam + 1] = at_seams[:, seam - 1 : seam + 1] = True
    inside = np.where(at_seams[..., None], 100, noise).astype(np.uint8)
    there = np.where(at_seams[..., None], noise, 100).astype(np.uint8)
    # Where seams of the two directions do not cross, what lies beside a seam is not looked at.
    assert seam_texture(there, grid)[0] > 5 * seam_texture(inside, grid)[0] >= 0
    assert seam_texture(np.full((2, 12, 12, 3), 7, np.uint8), grid).tolist() == [0, 0]
    steps = np.broadcast_to(np.arange(0, 120, 10, dtype=np.uint8)[:, None, None], (12, 12, 1))[None]
    assert seam_texture(steps, grid)[0] == pytest.approx(np.var([10] * 11 + [0] * 11))


def test_a_single_tile_has_no_seams():
    assert seam_texture(np.ones((3, 4, 4, 1), np.uint8), 1).tolist() == [0, 0, 0]


def test_displaced_tiles_and_cycles_of_four():
    orders = permutations(4)
    moved, cycles = displaced_tiles(orders), cycle_types(orders)
    assert {moved.names[k]: int(np.sum(moved.values == k)) for k in range(5)} == {
        "0 of 4": 1,
        "1 of 4": 0,
        "2 of 4": 6,
        "3 of 4": 8,
        "4 of 4": 9,
    }
    counts = {name: int(np.sum(cycles.values == k)) for k, name in enumerate(cycles.names)}
    assert counts == {"1+1+1+1": 1, "2+1+1": 6, "2+2": 3, "3+1": 8, "4": 6}


def test_nine_tiles_have_thirty_kinds_of_cycles():
    orders = permutations(9)[::97]
    cycles = cycle_types(orders)
    assert len(cycles.names) <= 30
    sizes = {name: sum(map(int, name.split("+"))) for name in cycles.names}
    assert set(sizes.values()) == {9}
    assert cycles.values.shape == (len(orders),)
