"""Releases and rollbacks under clients with open channels."""

from collections.abc import Callable

import pytest
from clients import asking
from deployer import Deployer
from installation import Installation
from leftovers import expect_none

pytestmark = pytest.mark.cluster
PREDECESSOR_SECONDS = 5.0
OLDER_SECONDS = 60.0


@pytest.mark.parametrize(
    ("releases", "rolled_back"),
    [
        pytest.param(3, {2, 3}, id="3"),
        pytest.param(20, {5, 10, 15, 20}, id="20", marks=pytest.mark.soak),
    ],
)
def test_clients_with_open_channels_lose_no_request_to_releases_and_rollbacks(
    installation: Installation,
    releaser: Deployer,
    measured: Callable[[str], None],
    model: str,
    releases: int,
    rolled_back: set[int],
):
    first = releaser.release(model, "times-1")
    assert not first.error, first.said
    factors, moves = {first.version: {1.0}}, []
    with asking(installation, model, retries=0) as clients:
        for number in range(1, releases + 1):
            before = installation.selected(model)
            released = releaser.release(model, f"times-{number + 1}")
            assert not released.error, released.said
            factors[released.version] = {number + 1.0}
            clients.wait_until_only(released.version)
            if number in rolled_back:
                back = releaser.rollback(model)
                assert back.version == before, back.said
                clients.wait_until_only(before)
                moves.append(clients.answers().seconds_until_only(before, back.began))
                assert moves[-1] <= PREDECESSOR_SECONDS, back.said
        older = releaser.state(model)["serving"][-2]
        assert not installation.pods(model, older), "an older version's Pods are not kept"
        back = releaser.rollback(model, older)
        clients.wait_until_only(older)
        slow = clients.answers().seconds_until_only(older, back.began)
        assert slow <= OLDER_SECONDS, back.said
        answers = clients.answers()
    assert not answers.failures, answers.summary()
    assert answers.factors == factors
    expect_none(installation, releaser, model)
    hot = ", ".join(f"{seconds:.1f}" for seconds in moves)
    measured(
        f"{releases} releases and {len(moves) + 1} rollbacks under {clients.count} clients: {answers.summary()}; until "
        f"every answer was the predecessor's: {hot} s, an older version's: {slow:.1f} s"
    )
