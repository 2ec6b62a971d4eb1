"""A releasing process that is killed anywhere: what serves is complete, and the next release settles what is left."""

import random
import time
from collections.abc import Callable

import pytest
from clients import asking
from deployer import Deployer
from installation import Installation
from leftovers import expect_none

pytestmark = pytest.mark.cluster
SEED = 20261122
KILLED = 137


def moments(kills: int, seconds: float) -> list[float]:
    """Random ones, one in each of as many equal parts of a release."""
    chance = random.Random(SEED)
    return [seconds * (part + chance.random()) / kills for part in range(kills)]


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.soak)])
def test_a_release_that_is_killed_anywhere_is_settled_by_the_next_one(
    installation: Installation, releaser: Deployer, measured: Callable[[str], None], model: str, kills: int
):
    slowest, finished = 0.0, 0  # finished: before the kill
    assert not releaser.release(model, "times-1").error
    begin = time.monotonic()
    assert not releaser.release(model, "times-2").error
    usual = time.monotonic() - begin
    factors = set(range(1, kills + 3))
    with asking(installation, model, retries=0) as clients:
        for number, moment in enumerate(moments(kills, usual)):
            command = releaser.releasing(model, f"times-{number + 3}")
            killed = releaser.attempt("timeout", "--signal=KILL", f"{moment:.2f}", *command)
            finished += killed.returncode == 0
            assert killed.returncode in (0, KILLED), killed.stderr
            assert installation.pods(model, installation.selected(model)), "what serves has its Pods"
            after = releaser.release(model, f"times-{number + 3}")
            assert not after.error, after.said
            assert installation.selected(model) == after.version
            expect_none(installation, releaser, model)
            clients.wait_until_only(after.version)
            slowest = max(slowest, after.seconds)
        answers = clients.answers()
    assert not answers.failures, answers.summary()
    assert finished <= kills / 3, "most were killed too late to prove anything"
    for own in answers.factors.values():
        assert len(own) == 1
        assert own <= factors
    measured(
        f"{kills - finished} of {kills} releases killed between 0 and {usual:.1f} s: {answers.summary()}; "
        f"the next release took {slowest:.1f} s at most"
    )
