"""Where there is no room: what serves goes on doing so, and what made room has its Pods again."""

import pytest
from fake_cluster import FakeCluster
from test_releases_in_a_cluster import QUIET, consistent, selected, without_node

from nightshift.errors import ReleaseError
from nightshift.serving.kubernetes import KubernetesServing


@pytest.fixture
def cluster():
    """As everywhere else, but a Pod without a node is borne with, so that there is time to make room for it."""
    return FakeCluster({"nightshift/bake-seconds": "0", "nightshift/unschedulable-seconds": "1"})


def without_nodes_but_for(cluster, *versions):
    def change(pod):
        return pod if any(f"-v{version}-" in pod["metadata"]["name"] for version in versions) else without_node(pod)

    cluster.pods["any"] = change


@pytest.mark.parametrize("standing", [0, 1])
@pytest.mark.parametrize("with_store", [False, True])
def test_a_predecessor_without_a_node_leaves_what_serves(
    serving, cluster, store, release_all, told, with_store, standing
):
    first, second = release_all(1, 2)
    cluster.edit("deployments", f"m-v{first}", {"spec": {"replicas": standing}})
    without_nodes_but_for(cluster, second)
    roller = serving if with_store else KubernetesServing(cluster, None)
    with pytest.raises(ReleaseError, match=f"version {first} cannot serve, {second} still does: unschedulable"):
        roller.rollback("m", tell=told.append)
    assert selected(cluster) == second
    assert cluster.replicas() == {first: standing, second: 1}, "all as it was"
    assert not any("no room" in text for text in told), "from what is started no room is taken"
    consistent(cluster, store)


def test_an_older_version_takes_the_predecessors_room_and_no_other(serving, cluster, store, release_all, told):
    first, second, third = release_all(1, 2, 3)
    without_nodes_but_for(cluster, second, third)
    with pytest.raises(ReleaseError, match=f"version {first} cannot serve, {third} still does: unschedulable"):
        serving.rollback("m", first, told.append)
    assert any(f"taking that of version {second}" in text for text in told)
    assert cluster.replicas() == {first: 0, second: 1, third: 1}
    consistent(cluster, store)


def test_a_version_that_is_not_ready_any_more_is_not_switched_to(serving, cluster, store, release_all, monkeypatch):
    first, second = release_all(1, 2)
    monkeypatch.setattr(FakeCluster, "_pods", lambda self, selector: [])  # the Deployment's status is a moment late
    with pytest.raises(ReleaseError, match=f"{second} still does: none of the Pods of Deployment m-v{first} is ready"):
        serving.rollback("m", tell=QUIET)
    assert selected(cluster) == second
    consistent(cluster, store)


def test_pods_that_a_killed_releaser_took_are_given_back(
    serving, cluster, store, candidate, release_all, killed, answers
):
    first, second = release_all(1, 2)
    cluster.edit("deployments", f"m-v{first}", {"spec": {"replicas": 3}}, "kube-controller-manager")
    without_nodes_but_for(cluster, first, second)
    killed(lambda: serving.release("m", candidate(3), QUIET), 5)
    assert cluster.replicas()[first] == 0, "it was killed when it had taken the room"
    cluster.pods.clear()
    told = []
    assert serving.release("m", candidate(2), told.append).unchanged
    assert cluster.replicas() == {first: 3, second: 1}
    assert f"giving version {first} its room back: 3 Pods" in told
    consistent(cluster, store)


def test_what_a_person_scaled_to_zero_stays_there(serving, cluster, candidate, release_all):
    first, _ = release_all(1, 2)
    cluster.edit("deployments", f"m-v{first}", {"spec": {"replicas": 0}})
    assert serving.release("m", candidate(2), QUIET).unchanged
    assert cluster.replicas()[first] == 0


def test_a_refused_version_goes_back_to_pods_that_are_there(serving, cluster, store, candidate, release_all, answers):
    first, second = release_all(1, 2)
    cluster.edit("deployments", f"m-v{second}", {"spec": {"replicas": 0}})
    answers.add("service")
    with pytest.raises(ReleaseError, match=f"version {second} still serves"):
        serving.release("m", candidate(3), QUIET)
    assert cluster.replicas() == {first: 1, second: 1}
    consistent(cluster, store)
