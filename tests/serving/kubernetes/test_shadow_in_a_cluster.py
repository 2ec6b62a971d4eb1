"""A candidate's Pods beside those that serve, and its bake: refused with the reason, the Service as it was."""

import types

import pytest
from test_releases_in_a_cluster import QUIET, consistent, kinds, selected

from nightshift.errors import ReleaseError
from nightshift.serving.kubernetes import proof, release, releasing
from nightshift.serving.probes import Probe
from nightshift.serving.rules import Rules
from nightshift.serving.samples import Sampler


@pytest.fixture
def baking(cluster):
    """A namespace that watches a version for a second once it serves."""
    cluster.template["metadata"]["annotations"]["nightshift/bake-seconds"] = "1"


def test_a_first_version_is_held_against_nothing(serving, candidate, answers, told):
    serving.release("m", candidate(1), told.append)
    assert answers.asked == []
    assert not any("asked of it" in line for line in told)


def test_both_are_asked_before_the_service_turns_and_the_ledger_is_told_after(
    serving, cluster, candidate, release_all, answers, told
):
    (first,) = release_all(1)
    answers.asked.clear()
    cluster.changes.clear()
    version = serving.release("m", candidate(2), told.append).version
    assert set(answers.asked) == {first, version}
    line = next(line for line in told if "asked of it" in line)
    assert line.startswith(f"m version {version}: ")
    assert "requests asked of it and of what serves: 100.0% with the same answer" in line
    assert told.index(line) < told.index(f"m: its Service now selects version {version}")
    assert any("no live requests were sampled" in line for line in told)


def test_sampled_requests_are_what_is_asked(serving, candidate, release_all, told, tmp_path, monkeypatch):
    from nightshift.protos import predict_pb2

    release_all(1)
    with Sampler(str(tmp_path / "samples"), 1.0) as sampler:
        for _ in range(7):
            sampler.offer("m", 1, predict_pb2.PredictRequest(), predict_pb2.PredictResponse())
    monkeypatch.setenv("NIGHTSHIFT_SAMPLES", str(tmp_path / "samples"))
    serving.release("m", candidate(2), told.append)
    assert any(": 7 requests asked of it and of what serves" in line for line in told)


def test_other_answers_are_told_and_no_reason(serving, candidate, release_all, answers, told):
    release_all(1)
    answers.add("others")
    serving.release("m", candidate(2), told.append)
    assert any("0.0% with the same answer" in line for line in told)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("failing", r"it fails \d+ of \d+ requests that what serves answers: the request was refused"),
        ("slow", r"it is too slow: p99 .* expected at most 3 times that"),
    ],
)
@pytest.mark.parametrize("releases", [1, 3])
def test_a_candidate_that_does_worse_beside_what_serves_never_serves(
    serving, cluster, store, candidate, release_all, answers, wrong, said, releases
):
    before = release_all(*range(1, releases + 1))
    answers.add(wrong)
    cluster.changes.clear()
    with pytest.raises(ReleaseError, match=f"was refused, version {before[-1]} still serves: {said}"):
        serving.release("m", candidate(9), QUIET)
    assert "patch services m" not in cluster.changes
    assert kinds(store)[-2:] == ["published", "refused"]
    consistent(cluster, store)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("failing while it serves", r"while it served, 3 of 3 requests failed, .*: the request was refused"),
        ("slow while it serves", r"while it served, p99 was \d+ ms of \d+ requests, its predecessor's just before"),
    ],
)
def test_a_version_that_does_worse_once_it_serves_is_taken_back(
    serving, cluster, store, candidate, release_all, answers, baking, wrong, said
):
    (first,) = release_all(1)
    answers.add(wrong)
    cluster.changes.clear()
    with pytest.raises(ReleaseError, match=f"was refused, version {first} still serves: {said}"):
        serving.release("m", candidate(9), QUIET)
    assert cluster.changes.count("patch services m") == 2, "to it and back"
    assert kinds(store)[-3:] == ["published", "approved", "refused"]
    assert selected(cluster) == first
    consistent(cluster, store)


def test_the_predecessor_is_looked_at_by_the_namespaces_own_setting(
    serving, candidate, release_all, baking, monkeypatch
):
    monkeypatch.setenv("NIGHTSHIFT_BAKE_SECONDS", "0")
    release_all(1)
    looked = []

    def quality_before(probes, ask, seconds, proceed):
        looked.append(seconds)

    monkeypatch.setattr(releasing, "quality_before", quality_before)
    made = releasing.Releasing
    monkeypatch.setattr(
        release, "Releasing", lambda rollout, store, rules: made(rollout, store, Rules(bake_seconds=99))
    )
    serving.release("m", candidate(2), QUIET)
    assert looked == [1]


def test_the_services_address_is_asked_for_the_version_that_it_selects(monkeypatch):
    asked = []

    class Client:
        def __init__(self, address, **options):
            asked.append(address)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def predict(self, model, inputs, **options):
            asked.append((model, options["version"]))
            return types.SimpleNamespace(outputs={})

    monkeypatch.setattr(proof, "Client", Client)
    with proof.asking_service("10.0.0.1:8500", "m", 7) as ask:
        ask(Probe("serving_default", {}))
    assert asked == ["10.0.0.1:8500", ("m", 7)], "what names the label instead is sampled as live traffic"


def test_a_release_that_was_killed_while_it_was_watched_is_watched_again(
    serving, cluster, store, candidate, release_all, answers, killed, baking
):
    (first,) = release_all(1)
    cluster.changes.clear()
    number = 7  # ledger, ConfigMap, Deployment, ledger, PodDisruptionBudget, Service, ledger: before the last
    killed(lambda: serving.release("m", candidate(8), QUIET), number - 1)
    assert selected(cluster) != first
    assert kinds(store)[-1] == "approved"
    answers.add("failing while it serves")
    with pytest.raises(ReleaseError, match=f"version {first} still serves"):
        serving.release("m", candidate(9), QUIET)
    assert kinds(store)[-1] == "refused"
    assert len(store.state("m").refused) == 2
    consistent(cluster, store)


def test_the_store_keeps_as_many_as_it_is_told_and_all_that_stand_in_the_cluster(
    cluster, store, release_all, serving, monkeypatch
):
    monkeypatch.setenv("NIGHTSHIFT_KEEP", "2")
    versions = release_all(1, 2, 3, 4, 5)
    assert sorted(cluster.replicas()) == store.folders("m") == versions[-3:]
    statuses = {record.version: record.status for record in serving.releases("m")}
    assert [statuses[version] for version in versions] == ["removed", "removed", "earlier", "earlier", "serving"]
    consistent(cluster, store)
