"""Rounds of requests against a budget: a busy moment is forgiven, a slow model is not, and neither takes long."""

import dataclasses
import itertools
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.errors import ConfigurationError
from nightshift.export.checks import Check, measured, refusal
from nightshift.export.latency import HOPELESS, REQUESTS, ROUNDS, WARM_REQUESTS, measure, percentile
from nightshift.export.parity import peak_memory
from nightshift.provenance import recipe
from nightshift.tasks.base import Latency
from nightshift.tasks.registry import task

BUDGET = Latency(p50=10, p99=50)


class Server:
    """Answers after given milliseconds, without taking them."""

    def __init__(self, milliseconds):
        self.milliseconds, self.asked = iter(milliseconds), 0

    def __call__(self):
        self.asked += 1
        return next(self.milliseconds) / 1000


def warmed(*milliseconds):
    """Slow while it warms up, then as given, the last for ever."""
    first = [5000.0] * WARM_REQUESTS
    return Server(itertools.chain(first, *milliseconds))


def test_a_quick_model_is_measured_in_one_round_and_its_first_requests_do_not_count():
    server = warmed(itertools.repeat(4.0))
    found = measure(server, BUDGET)
    assert (found.p50, found.p99, found.requests, found.rounds) == (pytest.approx(4), pytest.approx(4), REQUESTS, 1)
    assert found.keeps(BUDGET)
    assert server.asked == WARM_REQUESTS + REQUESTS


def test_three_slow_requests_in_a_round_are_within_the_99th_percentile_and_four_are_not():
    three = measure(warmed([60.0] * 3, itertools.repeat(4.0)), BUDGET)
    assert (three.p99, three.rounds) == (pytest.approx(4), 1)
    four = measure(warmed([60.0] * 4, itertools.repeat(4.0)), BUDGET)
    assert (four.rounds, four.keeps(BUDGET)) == (2, True)


def test_a_machine_that_was_busy_for_a_moment_is_forgiven():
    busy = [200.0] * (HOPELESS // 2)
    found = measure(warmed(busy, itertools.repeat(4.0)), BUDGET)
    assert found.keeps(BUDGET)
    assert found.rounds > 1


@pytest.mark.parametrize(
    ("milliseconds", "requests", "words"),
    [
        (
            itertools.repeat(20.0),
            HOPELESS,
            "p50 20.0 ms, p99 20.0 ms over 20 requests of one image, the best of 3 rounds",
        ),
        (itertools.repeat(900.0), 4, "p50 900.0 ms, p99 900.0 ms over 4 requests of one image, the best of 3 rounds"),
        (itertools.cycle([5.0, 20.0, 20.0]), 227, "p50 20.0 ms"),
        (itertools.cycle([5.0] * 50 + [70.0]), 204, "p99 70.0 ms"),
    ],
)
def test_a_slow_model_is_refused_as_soon_as_that_is_clear(milliseconds, requests, words):
    server = warmed(milliseconds)
    found = measure(server, BUDGET)
    assert not found.keeps(BUDGET)
    assert (found.rounds, found.requests) == (ROUNDS, requests)
    assert words in found.in_words()
    assert server.asked <= WARM_REQUESTS + ROUNDS * REQUESTS


def test_the_best_round_is_the_one_that_is_told():
    found = measure(warmed([900.0] * 4, [70.0] * 4, itertools.repeat(400.0)), BUDGET)
    assert found.p99 == pytest.approx(70)
    assert found.rounds == ROUNDS


@given(st.lists(st.floats(0.1, 200), min_size=1, max_size=400), st.integers(0, 1000))
def test_a_round_that_ended_early_had_broken_the_budget_and_one_that_did_not_is_judged_whole(pool, seed):
    random = np.random.default_rng(seed)
    found = measure(lambda: float(random.choice(pool)) / 1000, BUDGET)
    assert found.requests == REQUESTS or not found.keeps(BUDGET)
    assert found.p50 <= found.p99
    assert found.rounds == ROUNDS or found.keeps(BUDGET)


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=300), st.integers(1, 100))
def test_percentiles_are_those_of_the_nearest_rank(times, percent):
    expected = np.percentile(times, percent, method="inverted_cdf")
    assert percentile(sorted(times), percent) == pytest.approx(expected)


@pytest.mark.parametrize(("p50", "p99"), [(0, 1), (-1, 5), (10, 5), (1, float("inf")), (float("nan"), 5)])
def test_a_budget_that_makes_no_sense_is_refused(p50, p99):
    with pytest.raises(ConfigurationError, match=r"latency: found p50 .*, expected 0 < p50 <= p99"):
        Latency(p50=p50, p99=p99)


def test_budgets_are_no_part_of_a_recipe():
    digits = task("digits")
    tight = dataclasses.replace(digits, latency=Latency(p50=1, p99=2), memory_mib=1)
    keys = {recipe(each, "blog", each.presets["blog"], 0, "data").key for each in (digits, tight)}
    assert len(keys) == 1


def test_memory_is_read_of_processes_that_are_there():
    found = peak_memory(os.getpid())
    assert found is None or found > 10 << 20
    assert peak_memory(2**22 + 1) is None


def test_the_error_names_each_check_that_failed_and_no_other():
    checks = [
        Check("load", "", "loaded", "a server that loads it", passed=True),
        Check("latency", "serve_bytes", "p50 9 ms", "p50 of at most 4 ms", passed=False, figures={"p50": 9.0}),
        Check("memory", "", "60 MiB", "at most 50 MiB", passed=False, figures={"bytes": 60.0}),
    ]
    assert str(refusal("m", checks)) == (
        "m: the exported model was refused: latency of serve_bytes: found p50 9 ms, expected p50 of at most 4 ms; "
        "memory: found 60 MiB, expected at most 50 MiB"
    )
    figures = measured(checks)
    assert figures["latency"] == {"serve_bytes": {"p50": 9.0}}
    assert figures["memory"] == {"bytes": 60.0}
    assert figures["machine"]["cores"] >= 1
    assert measured(checks[:1]) == {}
