"""Workers that begin again: what is told of it, and when it is of no use."""

import pytest
from followed_step import NAME, begin, chief, complete, progress

from nightshift.training.kubernetes import TrainJobError
from nightshift.training.kubernetes.follow import FUTILE


def test_a_restart_tells_who_failed_and_the_next_attempts_lines_follow(step, capsys):
    first = [begin, progress("  0.00% epoch 1", " 50.00% epoch 2"), lambda cluster: cluster.fail(chief(0), 1, "boom")]
    second = [lambda cluster: cluster.run_pods(NAME, 2, attempt=1), progress(" 40.00% going on", attempt=1)]
    step.cluster.moments = [*first, *second, complete(step)]
    step.train()
    told = next(words for words in step.said if "begin again" in words)
    assert "(restart 1): worker 0" in told
    assert "exit code 1, Error; its last lines:\nboom" in told
    assert [fraction for fraction, _ in step.told] == [0.0, 0.5, 0.4]
    assert capsys.readouterr().out.splitlines()[-1] == " 40.00% going on"


def attempts(*lines_of_each, code=137, reason="OOMKilled"):
    """Moments in which the chief of one attempt after the other prints lines and ends."""
    for number, lines in enumerate(lines_of_each):
        yield lambda cluster, number=number: cluster.run_pods(NAME, 2, attempt=number)
        yield progress(*lines, attempt=number)
        yield lambda cluster, number=number: cluster.fail(chief(number), code, reason=reason)
    yield lambda cluster: cluster.run_pods(NAME, 2, attempt=len(lines_of_each))


START = ["  0.00% epoch 1 of 10: loss 2.1", "  3.00% epoch 1 of 10: loss 1.9"]
GOING_ON = [
    " 40.00% going on after epoch 4 of 10",
    " 40.50% epoch 5 of 10: loss 0.9",
    " 43.00% epoch 5 of 10: loss 0.8",
]


@pytest.mark.parametrize(
    ("lines", "restarts"), [(START, FUTILE), (GOING_ON, FUTILE + 2)], ids=["from the start", "from a checkpoint"]
)
def test_attempts_that_get_no_further_are_given_up(step, lines, restarts):
    step.cluster.moments = [*attempts(START, *[lines] * (FUTILE + 1)), complete(step)]
    with pytest.raises(TrainJobError, match=r"3 attempts got no further; .*exit code 137, OOMKilled"):
        step.train()
    assert sum("begin again" in words for words in step.said) == restarts
    assert not step.cluster.jobs


def test_attempts_that_begin_further_each_time_may_be_any_number(step):
    found = [[f" {10 * number}.00% going on after epoch {number} of 10"] for number in range(1, 2 * FUTILE)]
    step.cluster.moments = [*attempts(START, *found), complete(step)]
    step.train()
    assert sum("begin again" in words for words in step.said) == 2 * FUTILE


def test_a_restart_that_was_before_this_step_came_is_none_of_its_own(step):
    job = {"metadata": {"name": NAME}, "spec": {"trainer": {"numNodes": 2}}}
    step.cluster.create("trainjobs", job)
    going_on = progress(" 40.00% going on after epoch 4 of 10", attempt=2)
    step.cluster.moments = [lambda cluster: cluster.run_pods(NAME, 2, attempt=2), going_on, complete(step)]
    step.train()
    assert not [words for words in step.said if "begin again" in words]
    assert step.told == [(0.4, "going on after epoch 4 of 10")]


def test_workers_that_are_taken_away_may_begin_again_any_number_of_times(step):
    for attempt in range(2 * FUTILE):
        step.cluster.moments += [
            lambda cluster, attempt=attempt: cluster.run_pods(NAME, 2, attempt=attempt),
            lambda cluster, attempt=attempt: cluster.fail(chief(attempt), 143),
        ]
    step.cluster.moments.append(complete(step))
    step.train()
    assert sum("begin again" in words for words in step.said) == 2 * FUTILE - 1
