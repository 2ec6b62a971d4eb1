"""Two who release the same model at once."""

import subprocess
from collections.abc import Callable

import pytest
from deployer import Deployer, deployer, outcome
from installation import Installation
from leftovers import expect_none

pytestmark = pytest.mark.cluster


def test_of_two_releases_at_once_one_waits_and_neither_corrupts(
    installation: Installation, releaser: Deployer, measured: Callable[[str], None], model: str
):
    assert not releaser.release(model, "times-1").error
    with deployer(installation, "other-deployer") as other:
        started = [
            subprocess.Popen(one.command(*one.releasing(model, candidate)), stdout=subprocess.PIPE, text=True)
            for one, candidate in ((releaser, "times-2"), (other, "times-3"))
        ]
        said = [process.communicate(timeout=300)[0] for process in started]
    first, second = sorted(map(outcome, said), key=lambda one: one.ended)
    assert not first.error, first.said
    assert not second.error, second.said
    assert "waiting for" in second.said
    assert "waiting for" not in first.said
    assert releaser.state(model)["serving"][-2:] == [first.version, second.version]
    expect_none(installation, releaser, model)
    measured(f"one waited for {first.ended - second.began:.1f} s and then released, {second.seconds:.1f} s in all")
