"""A Service that somebody deleted: said in words, made again, and nothing of what stands is lost."""

import json

import pytest
from test_releases_in_a_cluster import QUIET, consistent, selected

from nightshift.errors import ReleaseError, ServingError
from nightshift.serving.kubernetes import KubernetesServing
from nightshift.serving.kubernetes.names import SERVED


@pytest.fixture
def deleted(release_all, cluster):
    """Three versions whose Service is gone."""
    versions = release_all(1, 2, 3)
    del cluster.objects["services", "m"]
    return versions


def test_the_champion_is_missing_and_not_none(serving, deleted):
    with pytest.raises(ServingError, match=rf"Service m was deleted.*nightshift rollback m {deleted[-1]}"):
        serving.champion("m")


def test_nothing_that_stands_is_a_model_that_never_served(serving, cluster, deleted):
    for version in deleted:
        del cluster.objects["deployments", f"m-v{version}"]
    assert serving.champion("m") == 0


def test_a_refused_release_makes_it_again_and_deletes_nothing(
    serving, cluster, store, candidate, deleted, answers, told
):
    answers.add("pod")
    with pytest.raises(ReleaseError, match=f"version {deleted[-1]} still serves"):
        serving.release("m", candidate(4), told.append)
    assert f"m: its Service m was deleted; making it again, with version {deleted[-1]}" in told
    assert sorted(cluster.replicas()) == deleted
    served = json.loads(cluster.objects["services", "m"]["metadata"]["annotations"][SERVED])
    assert [entry["version"] for entry in served] == deleted
    consistent(cluster, store)


def test_the_next_release_serves_and_can_be_rolled_back(serving, cluster, store, candidate, deleted):
    assert serving.release("m", candidate(4), QUIET).predecessor == deleted[-1]
    assert serving.rollback("m", tell=QUIET).version == deleted[-1]
    consistent(cluster, store)


def test_without_what_served_last_the_others_stay_until_the_next_serves(
    serving, cluster, store, candidate, deleted, answers
):
    del cluster.objects["deployments", f"m-v{deleted[-1]}"]
    answers.add("pod")
    with pytest.raises(ReleaseError, match="nothing serves"):
        serving.release("m", candidate(4), QUIET)
    assert sorted(cluster.replicas()) == deleted[:-1]
    answers.clear()
    serving.release("m", candidate(5), QUIET)
    consistent(cluster, store)


@pytest.mark.parametrize("with_store", [False, True])
def test_rolling_back_names_what_stands_and_takes_the_word_of_whoever_asks(
    serving, cluster, store, candidate, deleted, with_store
):
    first, second, third = deleted
    roller = serving if with_store else KubernetesServing(cluster, None)
    with pytest.raises(ReleaseError, match=f"Service m.*versions that stand there: {third}, {second}, {first}; name"):
        roller.rollback("m", tell=QUIET)
    assert sorted(cluster.replicas()) == deleted
    assert roller.rollback("m", third, QUIET).version == third
    assert selected(cluster) == third
    assert roller.rollback("m", tell=QUIET).version == second
    serving.release("m", candidate(4), QUIET)
    consistent(cluster, store)


def test_rolling_back_to_an_older_one_without_the_service_withdraws_what_is_newer(serving, cluster, store, deleted):
    first, second, third = deleted
    KubernetesServing(cluster, None).rollback("m", second, QUIET)
    assert sorted(cluster.replicas()) == [first, second]
    assert serving.champion("m") == second
    assert store.state("m").rolled_back == {third}
    consistent(cluster, store)


@pytest.mark.parametrize("number", range(1, 9))
def test_killed_anywhere_it_is_settled_by_the_next(serving, cluster, store, candidate, deleted, killed, number):
    killed(lambda: serving.release("m", candidate(4), QUIET), number)
    serving.release("m", candidate(5), QUIET)
    assert len(cluster.replicas()) == 3
    consistent(cluster, store)
