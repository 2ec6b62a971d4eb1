import dataclasses

import numpy as np
import pytest
import synthetic
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.stats import binom

from nightshift.evaluation.gate import SIGNIFICANCE, decide
from nightshift.evaluation.judgement import Judgement
from nightshift.evaluation.paired import mcnemar
from nightshift.evaluation.slices import Slice

TASK = dataclasses.replace(synthetic.CORNERS, thresholds={"accuracy": 0.9}, class_floor=0.5)
ANSWERS = npst.arrays(bool, st.shared(st.integers(0, 60), key="count"))


def judged(right: int, wrong: int = 0, recalls: tuple[float, ...] = (1.0, 1.0), **facts: object) -> Judgement:
    """A judgement with the first `right` of all answers right."""
    correct = np.arange(right + wrong) < right
    rows = [{"name": f"class {k}", "recall": recall, "count": 10} for k, recall in enumerate(recalls)]
    metrics = {"accuracy": float(correct.mean())}
    return Judgement(**({"count": len(correct), "metrics": metrics, "correct": correct, "per_class": rows} | facts))


def test_the_first_good_model_is_released():
    decision = decide(TASK, judged(90, 10), None)
    assert decision.blessed
    assert decision.reason == "accuracy 0.9000 (at least 0.9); nothing serves yet"


def test_a_model_below_a_threshold_is_refused_whatever_serves():
    for champion in (None, judged(0, 100)):
        decision = decide(TASK, judged(89, 11), champion, 7)
        assert not decision.blessed
        assert decision.reason == "accuracy 0.8900 is below 0.9"


def test_a_class_below_the_floor_is_refused_by_name():
    decision = decide(TASK, judged(95, 5, recalls=(1.0, 0.49)), None)
    assert not decision.blessed
    assert decision.reason == "recall of class 'class 1' 0.4900 is below 0.5"


def test_a_class_at_the_floor_is_not_refused():
    assert decide(TASK, judged(95, 5, recalls=(1.0, 0.5)), None).blessed


def test_a_class_without_test_images_is_refused_for_that_reason():
    rows = [{"name": "seen", "recall": 1.0, "count": 9}, {"name": "never seen", "recall": 0.0, "count": 0}]
    decision = decide(TASK, judged(10, per_class=rows), None)
    assert not decision.blessed
    assert "class 'never seen' has no test images" in decision.reason
    assert decide(dataclasses.replace(TASK, class_floor=0.0), judged(10, per_class=rows), None).blessed


def test_all_shortcomings_are_named():
    reason = decide(TASK, judged(8, 92, recalls=(0.1, 0.2)), None).reason
    assert reason.count("below") == 3


def test_a_clearly_better_model_is_released_and_the_test_is_told():
    decision = decide(TASK, judged(98, 2), judged(90, 10), 7)
    assert decision.blessed
    assert "against version 7 on the same 100 test images it is right on 8 that the other gets wrong" in decision.reason
    assert "better, p = 0.0039" in decision.reason


def test_an_advantage_that_chance_may_give_is_not_enough():
    decision = decide(TASK, judged(93, 7), judged(90, 10), 7)
    assert not decision.blessed
    assert decision.reason.startswith("kept version 7")
    assert decision.reason.endswith("no better than chance would have it, p = 0.12, expected below 0.05")


@pytest.mark.parametrize("right", [92, 95])
def test_an_equal_or_worse_model_is_not_released(right):
    decision = decide(TASK, judged(92, 8), judged(right, 100 - right), 7)
    assert not decision.blessed
    assert ": not better, p = " in decision.reason


def test_a_champion_that_is_below_the_threshold_itself_is_replaced_by_what_is_better():
    assert decide(TASK, judged(95, 5), judged(50, 50), 7).blessed


@given(ANSWERS, ANSWERS)
def test_mcnemar_is_the_binomial_tail(candidate, champion):
    better, worse, chance = mcnemar(candidate, champion)
    assert better == sum(a and not b for a, b in zip(candidate, champion, strict=True))
    assert worse == sum(b and not a for a, b in zip(candidate, champion, strict=True))
    assert chance == pytest.approx(binom.sf(better - 1, better + worse, 0.5))


@given(ANSWERS, ANSWERS)
def test_mcnemar_both_ways_round_covers_everything_once_and_the_tie_twice(candidate, champion):
    better, worse, chance = mcnemar(candidate, champion)
    worse_again, better_again, other_way = mcnemar(champion, candidate)
    assert (better, worse) == (better_again, worse_again)
    assert chance + other_way == pytest.approx(1 + binom.pmf(better, better + worse, 0.5))
    assert not (chance < SIGNIFICANCE and other_way < SIGNIFICANCE)


@given(ANSWERS)
def test_a_model_is_never_better_than_itself(answers):
    assert mcnemar(answers, answers) == (0, 0, 1.0)


def test_answers_to_other_examples_cannot_be_compared():
    with pytest.raises(ValueError, match="same examples"):
        mcnemar(np.ones(3, bool), np.ones(4, bool))


DARK = Slice("brightness", "0.0 to 31.4", 333, 0.87, 0.93, gained=2, lost=22, p=1.8e-5, p_holm=2.9e-4, worse=True)
BRIGHT = Slice("brightness", "31.5 to 200.0", 667, 0.99, 0.9, gained=60, lost=0, p=1.0, p_holm=1.0)


def test_better_on_the_whole_and_worse_in_a_slice_is_refused_and_says_where():
    decision = decide(TASK, judged(98, 2), judged(90, 10), 7, [DARK, BRIGHT])
    assert not decision.blessed
    assert decision.reason.startswith("kept version 7: against version 7 on the same 100 test images")
    assert "better, p = 0.0039, but worse in brightness 0.0 to 31.4 (333 images)" in decision.reason
    assert "right on 0.8700 of them where the other is on 0.9300, 22 lost and 2 gained, p = 0.00029" in decision.reason
    assert decision.reason.endswith("after correction for 2 slices expected p of at least 0.05 in each")
    assert "31.5" not in decision.reason


def test_slices_in_which_it_is_no_worse_do_not_stand_in_the_way():
    assert decide(TASK, judged(98, 2), judged(90, 10), 7, [BRIGHT]).blessed


def test_a_candidate_that_is_not_better_is_refused_for_that_whatever_its_slices():
    reason = decide(TASK, judged(92, 8), judged(92, 8), 7, [DARK]).reason
    assert reason.endswith(": not better, p = 1, expected below 0.05")
