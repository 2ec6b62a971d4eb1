"""What a sweep tries: grids and random samples."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightshift.errors import ConfigurationError
from nightshift.sweep.plan import plan_of
from nightshift.sweep.space import MOST_TRIALS, Between, Listed, grid, samples, space_of
from nightshift.tasks.base import Augmentation, Preset

PRESET = Preset(
    network="lenet",
    network_options={"n_dense": 32, "dropout": 0.5},
    epochs=3,
    batch_size=8,
    patience=2,
    augmentation=Augmentation(rotation=5.0),
)

WHOLE = st.lists(st.integers(1, 500), min_size=1, max_size=6)
LISTS = st.fixed_dictionaries({}, optional={"n_dense": WHOLE, "epochs": WHOLE, "batch_size": WHOLE}).filter(bool)


def ends(values):
    return st.tuples(values, values).map(sorted).filter(lambda pair: 1.5 * pair[0] < pair[1])


RANGES = st.fixed_dictionaries(
    {"learning_rate": ends(st.floats(1e-6, 9))},
    optional={"n_dense": ends(st.integers(1, 500)), "rotation": ends(st.floats(0, 90))},
)


def text_of(ranges):
    return {name: f"{low!r}..{high!r}" for name, (low, high) in ranges.items()}


def different(trials):
    return len({tuple(trial.items()) for trial in trials}) == len(trials)


@settings(deadline=None)
@given(LISTS)
def test_a_grid_has_every_combination_once(lists):
    tried = {name: ",".join(map(str, values)) for name, values in lists.items()}
    size = math.prod(len(set(values)) for values in lists.values())
    space = space_of(PRESET, tried)
    if size > MOST_TRIALS:
        with pytest.raises(ConfigurationError, match=f"the grid has {size} combinations, expected at most 100"):
            grid(space)
        return
    trials = grid(space)
    assert len(trials) == size
    assert different(trials)
    assert all(trial[name] in values for trial in trials for name, values in lists.items())


@settings(max_examples=40, deadline=None)
@given(RANGES, st.integers(1, 20), st.integers(0, (1 << 32) - 1))
def test_samples_lie_in_their_ranges_and_the_same_seed_gives_the_same_ones(ranges, count, seed):
    space = space_of(PRESET, text_of(ranges))
    trials = samples(space, count, seed)
    assert len(trials) == count
    assert different(trials)
    for trial in trials:
        assert trial.keys() == ranges.keys()
        assert all(low <= trial[name] <= high for name, (low, high) in ranges.items())
        assert all(type(trial[name]) is type(PRESET.settings()[name]) for name in trial)
    PRESET.with_settings(trials[0])
    assert trials == samples(space_of(PRESET, dict(reversed(text_of(ranges).items()))), count, seed)


@settings(deadline=None)
@given(WHOLE, st.integers(1, 30), st.integers(0, 1000), st.data())
def test_samples_of_a_small_space_differ_and_may_be_all_of_it(values, width, seed, data):
    space = space_of(PRESET, {"n_dense": values, "epochs": f"1..{width + 1}"})
    size = len(set(values)) * (width + 1)
    count = data.draw(st.integers(1, min(size, MOST_TRIALS)))
    trials = samples(space, count, seed)
    assert len(trials) == count
    assert different(trials)
    if size < MOST_TRIALS:
        with pytest.raises(ConfigurationError, match=f"expected at most the {size} that there are"):
            samples(space, size + 1, seed)


def test_a_range_too_narrow_for_its_samples_is_refused():
    space = space_of(PRESET, {"learning_rate": "0.10001..0.10002"})
    with pytest.raises(ConfigurationError, match=r"found only \d different samples, expected 90: widen the ranges"):
        samples(space, 90, 0)


def test_other_seeds_give_other_samples():
    space = space_of(PRESET, {"learning_rate": "1e-4..1e-2", "n_dense": "16..128"})
    assert samples(space, 5, 0) != samples(space, 5, 1)


def test_a_range_of_decades_is_sampled_evenly_in_its_logarithm_and_a_narrow_one_as_it_is():
    drawn = samples(space_of(PRESET, {"learning_rate": "1e-4..1", "dropout": "0.2..0.6"}), 100, 0)
    assert 30 < sum(trial["learning_rate"] < 1e-2 for trial in drawn) < 70
    assert 30 < sum(trial["dropout"] < 0.4 for trial in drawn) < 70


def test_a_range_from_zero_is_sampled_as_it_is():
    drawn = samples(space_of(PRESET, {"rotation": "0..20"}), 100, 0)
    assert 30 < sum(trial["rotation"] < 10 for trial in drawn) < 70


def test_both_ends_of_whole_numbers_are_drawn():
    drawn = samples(space_of(PRESET, {"n_dense": "16..19"}), 4, 0)
    assert sorted(trial["n_dense"] for trial in drawn) == [16, 17, 18, 19]


@pytest.mark.parametrize("given", ["16, 32,32", [16.0, 32], ["16", "32"]])
def test_values_come_from_a_command_line_or_from_json(given):
    assert space_of(PRESET, {"n_dense": given}) == {"n_dense": Listed((16, 32))}


def test_words_and_switches_are_listed_too():
    space = space_of(PRESET, {"schedule": "constant,cosine", "flip": "true,false", "rotation": 3})
    assert space == {
        "flip": Listed((True, False)),
        "rotation": Listed((3.0,)),
        "schedule": Listed(("constant", "cosine")),
    }
    assert space_of(PRESET, {"rotation": "0..7"}) == {"rotation": Between(0.0, 7.0)}


@pytest.mark.parametrize(
    ("tried", "count", "message"),
    [
        ({}, 0, "nothing to try"),
        ({"nonsense": "1,2"}, 0, "--try nonsense: no such setting; there are batch_size"),
        ({"n_dense": "1,x"}, 0, "--try n_dense: found 'x', expected a number"),
        ({"n_dense": "1.5,2"}, 0, "--try n_dense: found '1.5', expected a whole number"),
        ({"n_dense": []}, 0, "--try n_dense: found no value"),
        ({"n_dense": "16,"}, 0, "--try n_dense: found '', expected a number"),
        ({"epochs": "0,1"}, 0, "epochs: found 0, expected at least 1"),
        ({"network": "lenet,seamnet"}, 0, "--try network: found 'seamnet', expected 'lenet'"),
        ({"n_dense": "1..9"}, 0, "--try n_dense: found a range, expected a list of values"),
        ({"n_dense": "9..1"}, 5, "expected LOW..HIGH with LOW below HIGH"),
        ({"schedule": "constant..cosine"}, 5, "--try schedule: found 'constant..cosine', expected a list"),
        ({"n_dense": ",".join(map(str, range(1, 102)))}, 0, "the grid has 101 combinations, expected at most 100"),
        ({"n_dense": "1..900"}, 101, "random: found 101, expected 1 to 100 samples"),
        ({"n_dense": "1,2,2"}, 3, "random: found 3 samples, expected at most the 2 that there are"),
        ({"n_dense": "16"}, 0, "found 1 trial, expected at least 2"),
        ({"patience": "1,2", "keep": "last"}, 0, "keep"),
    ],
)
def test_a_mistake_is_refused_in_words(tried, count, message):
    with pytest.raises(ConfigurationError) as error:
        plan_of(PRESET, tried, count, 0)
    assert message in str(error.value)


def test_a_plan_names_its_trials_and_comes_back_from_its_file(tmp_path):
    plan = plan_of(PRESET, {"n_dense": "8,16,32,64", "rotation": "0,5,10"}, 0, 0)
    assert list(plan.trials) == [f"trial-{number:02}" for number in range(1, 13)]
    assert plan.of("trial-02") == {"n_dense": 8, "rotation": 5.0}
    plan.write(tmp_path)
    back = plan.read(tmp_path)
    assert back == plan
    assert type(back.of("trial-02")["n_dense"]) is int
    assert type(back.of("trial-02")["rotation"]) is float
