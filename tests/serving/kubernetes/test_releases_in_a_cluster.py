"""Releases and rollbacks on a namespace in memory: order, refusals, kills at every change, hand edits, two models."""

import json

import pytest
from fake_cluster import ready_pod

from nightshift.errors import ConfigurationError, ReleaseError, ServingError, StoreError
from nightshift.serving.kubernetes import KubernetesServing
from nightshift.serving.kubernetes.names import INSTANCE, SERVED, VERSION, WITHDRAWN

QUIET = lambda text: None  # noqa: E731


def selected(cluster, name="m"):
    """The version that the Service selects, 0 without one."""
    service = cluster.objects.get(("services", name))
    return int(service["spec"]["selector"][VERSION]) if service else 0


def kinds(store, model="m"):
    return [event.kind for event in store.ledger(model).events()]


def consistent(cluster, store):
    """The Service selects a version that stands at full size, the ledger says the same, and nothing is left over."""
    state, live = store.state("m"), selected(cluster)
    assert state.pending is None
    assert state.stable == live
    replicas = cluster.replicas()
    if live:
        served = [
            entry["version"]
            for entry in json.loads(cluster.objects["services", "m"]["metadata"]["annotations"][SERVED])
        ]
        assert served[-1] == live
        assert replicas[live] > 0
        assert set(replicas) <= set(served[-3:])
    else:
        assert not replicas
    versions = {f"m-v{version}" for version in replicas}
    assert cluster.names("poddisruptionbudgets") == ([f"m-v{live}"] if live else []), "what serves has one"
    assert {name.rpartition("-")[0] for name in cluster.names("configmaps")} == versions


def test_a_release_creates_proves_switches_and_records_in_that_order(serving, cluster, store, candidate, told):
    released = serving.release("m", candidate(1), told.append)
    version = released.version
    assert cluster.changes == [
        "ledger published",
        f"create configmaps {cluster.names('configmaps')[0]}",
        f"create deployments m-v{version}",
        "ledger approved",
        f"create poddisruptionbudgets m-v{version}",
        "create services m",
        "ledger promoted",
    ]
    assert (released.predecessor, released.unchanged) == (0, False)
    assert serving.champion("m") == version
    assert f"m version {version} serves" in told
    consistent(cluster, store)


def test_blue_stays_at_full_size_and_what_was_before_goes_to_zero(release_all, cluster, store):
    first, second, third = release_all(1, 2, 3)
    assert cluster.replicas() == {first: 0, second: 1, third: 1}
    assert selected(cluster) == third
    consistent(cluster, store)


def test_the_last_three_are_kept_and_the_store_keeps_all(release_all, cluster, store):
    versions = release_all(1, 2, 3, 4, 5)
    assert sorted(cluster.replicas()) == versions[-3:]
    assert all(store.has_version("m", version) for version in versions)
    consistent(cluster, store)


def test_the_very_same_model_is_recognised(serving, cluster, candidate, release_all):
    (version,) = release_all(1)
    cluster.changes.clear()
    again = serving.release("m", candidate(1), QUIET)
    assert (again.version, again.unchanged) == (version, True)
    assert cluster.changes == []


def test_green_has_as_many_pods_as_blue_has_now(release_all, cluster):
    (first,) = release_all(1)
    cluster.edit("deployments", f"m-v{first}", {"spec": {"replicas": 4}}, "kube-controller-manager")
    (second,) = release_all(2)
    assert cluster.replicas()[second] == 4


def test_a_new_setting_of_replicas_counts_where_nobody_changed_the_number(release_all, cluster):
    release_all(1)
    cluster.template["metadata"]["annotations"]["nightshift/replicas"] = "3"
    (second,) = release_all(2)
    assert cluster.replicas()[second] == 3


def test_autoscaling_follows_the_version_that_serves(serving, release_all, cluster):
    cluster.template["metadata"]["annotations"]["nightshift/max-replicas"] = "5"
    first, second = release_all(1, 2)
    scaler = lambda: cluster.objects["horizontalpodautoscalers", "m"]["spec"]  # noqa: E731
    assert scaler()["scaleTargetRef"]["name"] == f"m-v{second}"
    cluster.edit("horizontalpodautoscalers", "m", {"spec": {"maxReplicas": 9}})
    serving.rollback("m", tell=QUIET)
    assert scaler()["scaleTargetRef"]["name"] == f"m-v{first}"
    assert scaler()["maxReplicas"] == 9, "a person's limit stays"
    cluster.template["metadata"]["annotations"]["nightshift/max-replicas"] = "1"
    release_all(3)
    assert cluster.names("horizontalpodautoscalers") == []


@pytest.mark.parametrize("wrong", ["pod", "service"])
@pytest.mark.parametrize("releases", [0, 1, 3])
def test_wrong_answers_before_or_after_the_switch_are_refused(
    serving, cluster, store, answers, candidate, release_all, wrong, releases
):
    before = release_all(*range(1, releases + 1))
    replicas = cluster.replicas()
    answers.add(wrong)
    kept = f"version {before[-1]} still serves" if before else "nothing serves"
    with pytest.raises(ReleaseError, match=f"was refused, {kept}: .*the answers are off"):
        serving.release("m", candidate(9), QUIET)
    assert kinds(store)[-1] == "refused"
    assert cluster.replicas() == replicas
    consistent(cluster, store)


def crashing(pod):
    status = pod["status"]["containerStatuses"][0]
    ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    status |= {"restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended}
    return not_ready(pod)


def not_ready(pod):
    pod["status"]["conditions"] = [{"type": "Ready", "status": "False", "message": "containers with unready status"}]
    return pod


def without_node(pod):
    message = "0/3 nodes are available: 3 Insufficient memory."
    pod["status"] = {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "message": message}],
    }
    return pod


def without_image(pod):
    said = {"reason": "ErrImagePull", "message": 'failed to resolve "registry/server:1": not found'}
    pod["status"]["containerStatuses"][0]["state"] = {"waiting": said}
    return not_ready(pod)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (crashing, "crash loop: .*exit code 137, OOMKilled; its last lines:\nthe last words of m-v"),
        (without_node, "unschedulable: .*3 Insufficient memory"),
        (without_image, "image: .*'server:1': ErrImagePull: .*not found"),
        (not_ready, "not ready within 1 s: .*containers with unready status.*\npresent words of m-v"),
    ],
)
def test_pods_that_do_not_become_ready_are_refused_with_what_the_cluster_says(
    serving, cluster, store, candidate, release_all, trouble, said
):
    (version,) = release_all(1)
    cluster.template["metadata"]["annotations"]["nightshift/ready-seconds"] = "1"
    cluster.pods["any"] = lambda pod: pod if str(version) in pod["metadata"]["name"] else trouble(pod)
    with pytest.raises(ReleaseError, match=f"(?s)version {version} still serves: {said}"):
        serving.release("m", candidate(2), QUIET)
    assert store.state("m").stable == version
    consistent(cluster, store)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ('pods "x" is forbidden: exceeded quota: serving', "quota: .*exceeded quota"),
        ('pods "x" is forbidden: violates PodSecurity', "admission: .*violates PodSecurity"),
    ],
)
def test_pods_that_are_not_made_are_refused_with_what_the_cluster_says(
    serving, cluster, store, candidate, monkeypatch, message, said
):
    version = 20300101000000
    monkeypatch.setattr("nightshift.serving.store.Store._fresh", lambda self, model: version)
    cluster.failures[version] = {"type": "ReplicaFailure", "status": "True", "message": message}
    with pytest.raises(ReleaseError, match=said):
        serving.release("m", candidate(1), QUIET)
    consistent(cluster, store)


def test_an_object_that_the_api_server_refuses_is_a_refusal(serving, cluster, store, candidate):
    cluster.denied["deployments"] = "admission webhook denied the request: no such cost centre"
    with pytest.raises(ReleaseError, match=r"refuses Deployment .*no such cost centre"):
        serving.release("m", candidate(1), QUIET)
    cluster.denied.clear()
    consistent(cluster, store)


@pytest.mark.parametrize("releases", [0, 1, 2])
@pytest.mark.parametrize("kind", ["services", "horizontalpodautoscalers", "poddisruptionbudgets"])
def test_a_change_that_the_api_server_refuses_for_good_is_a_refusal(
    serving, cluster, store, candidate, release_all, kind, releases
):
    cluster.template["metadata"]["annotations"]["nightshift/max-replicas"] = "5"
    before = release_all(*range(1, releases + 1))
    cluster.denied[kind] = "exceeded quota: serving"
    switched = kind == "horizontalpodautoscalers"
    with pytest.raises(ReleaseError, match=r"was refused, .*: the API server refuses .*exceeded quota"):
        serving.release("m", candidate(9), QUIET)
    assert selected(cluster) == (before[-1] if before else 0)
    assert kinds(store)[-2:] == ["approved", "refused"]
    cluster.denied.clear()
    consistent(cluster, store)
    serving.release("m", candidate(10), QUIET)
    assert not switched or cluster.objects["horizontalpodautoscalers", "m"]["spec"]["scaleTargetRef"]["name"] == (
        f"m-v{selected(cluster)}"
    )


@pytest.mark.parametrize("kind", ["services", "horizontalpodautoscalers"])
def test_a_rollback_that_the_api_server_refuses(serving, cluster, store, release_all, told, kind):
    cluster.template["metadata"]["annotations"]["nightshift/max-replicas"] = "5"
    first, second = release_all(1, 2)
    cluster.denied[kind] = "forbidden"
    if kind == "services":
        with pytest.raises(ReleaseError, match=f"{second} still does: the API server refuses Service m: forbidden"):
            serving.rollback("m", tell=QUIET)
    else:
        assert serving.rollback("m", tell=told.append).version == first
        assert any("autoscaling does not follow" in text for text in told)
    consistent(cluster, store)


def test_room_is_made_from_the_predecessor_and_given_back(serving, cluster, store, candidate, release_all, told):
    first, second = release_all(1, 2)
    known = (str(first), str(second))
    cluster.pods["any"] = lambda pod: pod if any(one in pod["metadata"]["name"] for one in known) else without_node(pod)
    with pytest.raises(ReleaseError, match="unschedulable"):
        serving.release("m", candidate(3), told.append)
    assert any(f"taking that of version {first}" in text for text in told)
    assert cluster.replicas() == {first: 1, second: 1}
    consistent(cluster, store)


def test_rolling_back_lets_the_predecessor_serve_and_marks_what_served(serving, cluster, store, release_all):
    first, second = release_all(1, 2)
    cluster.changes.clear()
    released = serving.rollback("m", tell=QUIET)
    assert cluster.changes[:2] == [f"create poddisruptionbudgets m-v{first}", "patch services m"]
    assert (released.version, released.predecessor) == (first, second)
    assert selected(cluster) == first
    assert store.state("m").rolled_back == {second}
    with pytest.raises(ReleaseError, match="cannot roll back to version"):
        serving.rollback("m", second, QUIET)
    consistent(cluster, store)


def test_rolling_back_to_an_older_one_starts_it_first(serving, cluster, store, release_all):
    first, second, third = release_all(1, 2, 3)
    cluster.edit("deployments", f"m-v{third}", {"spec": {"replicas": 2}}, "kube-controller-manager")
    cluster.changes.clear()
    serving.rollback("m", first, QUIET)
    assert cluster.changes[:3] == [
        f"patch deployments m-v{first}",
        f"create poddisruptionbudgets m-v{first}",
        "patch services m",
    ]
    assert cluster.replicas() == {first: 2}
    assert store.state("m").rolled_back == {second, third}
    consistent(cluster, store)


def test_an_older_version_that_does_not_start_leaves_what_serves(serving, cluster, store, release_all):
    first, second, third = release_all(1, 2, 3)
    cluster.pods[first] = crashing
    with pytest.raises(ReleaseError, match=f"version {first} cannot serve, {third} still does: crash loop"):
        serving.rollback("m", first, QUIET)
    assert cluster.replicas() == {first: 0, second: 1, third: 1}
    consistent(cluster, store)


def test_there_is_no_way_back_from_the_first(serving, release_all):
    release_all(1)
    with pytest.raises(ReleaseError, match=r"cannot roll back to an earlier version.*: none"):
        serving.rollback("m", tell=QUIET)


def test_nothing_to_roll_back(serving):
    with pytest.raises(ReleaseError, match="cannot roll back"):
        serving.rollback("m", tell=QUIET)


def test_who_cannot_read_the_store_rolls_back_and_the_next_call_records_it(serving, cluster, store, release_all, told):
    first, second = release_all(1, 2)
    KubernetesServing(cluster, None).rollback("m", tell=told.append)
    assert selected(cluster) == first
    assert any("the next release records this" in text for text in told)
    assert store.state("m").stable == second
    assert serving.champion("m") == first
    assert store.state("m").stable == first
    assert store.state("m").rolled_back == {second}
    consistent(cluster, store)


def test_a_store_of_other_versions_is_not_written_to(cluster, store, serving, release_all, tmp_path, candidate):
    from nightshift.serving.store import Store

    release_all(1, 2)
    other = Store(tmp_path / "other")
    other.publish("m", candidate(3))
    KubernetesServing(cluster, other).rollback("m", tell=QUIET)
    assert kinds(other) == ["published"]


def test_a_namespace_that_serves_another_store_is_not_released_to(cluster, release_all, tmp_path, candidate):
    from nightshift.serving.store import Store

    release_all(1)
    with pytest.raises(StoreError, match="another store's"):
        KubernetesServing(cluster, Store(tmp_path / "other")).release("m", candidate(2), QUIET)


STEPS = range(1, 13)
"""Killed after the first change, the second, and so on; no release here makes more."""


def test_the_kills_reach_behind_the_last_change(serving, cluster, candidate, release_all):
    release_all(1, 2, 3)
    cluster.changes.clear()
    serving.release("m", candidate(8), QUIET)
    assert 8 < len(cluster.changes) <= STEPS[-1]


@pytest.mark.parametrize("number", STEPS)
@pytest.mark.parametrize("releases", [0, 1, 3])
def test_a_release_killed_anywhere_is_settled_by_the_next(
    serving, cluster, store, candidate, release_all, killed, releases, number
):
    before = release_all(*range(1, releases + 1))
    killed(lambda: serving.release("m", candidate(8), QUIET), number)
    assert selected(cluster) in (before[-1] if before else 0, max(cluster.replicas(), default=0))
    served = serving.champion("m")
    assert not served or served == selected(cluster)
    serving.release("m", candidate(9), QUIET)
    assert selected(cluster) == max(store.state("m").published)
    consistent(cluster, store)


@pytest.mark.parametrize("wrong", ["pod", "service"])
@pytest.mark.parametrize("number", STEPS)
def test_a_refusal_killed_anywhere_is_settled_by_the_next(
    serving, cluster, store, candidate, release_all, killed, answers, wrong, number
):
    release_all(1, 2)
    answers.add(wrong)

    def refused():
        with pytest.raises(ReleaseError):
            serving.release("m", candidate(8), QUIET)

    killed(refused, number)
    answers.clear()
    serving.release("m", candidate(9), QUIET)
    consistent(cluster, store)


@pytest.mark.parametrize("with_store", [False, True])
@pytest.mark.parametrize("target", [0, 1])
@pytest.mark.parametrize("number", range(1, 11))
def test_a_rollback_killed_anywhere_can_be_done_again_or_is_settled(
    serving, cluster, store, candidate, release_all, killed, with_store, target, number
):
    versions = release_all(1, 2, 3)
    roller = serving if with_store else KubernetesServing(cluster, None)
    wanted = versions[0] if target else versions[1]
    killed(lambda: roller.rollback("m", wanted, QUIET), number)
    assert selected(cluster) in (versions[-1], wanted)
    if selected(cluster) != wanted:
        roller.rollback("m", wanted, QUIET)
    serving.release("m", candidate(9), QUIET)
    consistent(cluster, store)


@pytest.mark.parametrize("number", range(1, 8))
def test_a_person_rolls_back_after_a_release_was_killed(
    serving, cluster, store, candidate, release_all, killed, number
):
    first, second = release_all(1, 2)
    killed(lambda: serving.release("m", candidate(8), QUIET), number)
    live = selected(cluster)
    KubernetesServing(cluster, None).rollback("m", tell=QUIET)
    assert selected(cluster) == {second: first}.get(live, second)
    back = selected(cluster)
    assert serving.release("m", candidate(9), QUIET).predecessor == back, "what was rolled back from came back"
    consistent(cluster, store)


def test_two_models_whose_names_differ_only_in_what_the_cluster_cannot_tell(serving, candidate):
    serving.release("my_model", candidate(1), QUIET)
    with pytest.raises(ConfigurationError, match=r"my-model.*is not of this model"):
        serving.release("my-model", candidate(1), QUIET)


def test_models_do_not_touch_each_other(serving, cluster, store, candidate, release_all):
    versions = release_all(1, 2, 3)
    serving.release("m-two", candidate(1), QUIET)
    serving.release("m-two", candidate(2), QUIET)
    serving.rollback("m-two", tell=QUIET)
    assert selected(cluster) == versions[-1]
    assert {name for name in cluster.names("deployments") if not name.startswith("m-two")} == {
        f"m-v{version}" for version in versions
    }


def test_a_service_of_somebody_else_is_left_alone(serving, cluster, candidate):
    body = {"metadata": {"name": "m", "labels": {}}, "spec": {"selector": {"app": "m"}}}
    cluster.create("services", body)
    with pytest.raises(ConfigurationError, match=r"Service m .*is not of this model"):
        serving.release("m", candidate(1), QUIET)


def test_a_switch_by_hand_is_recorded_and_not_fought(serving, cluster, store, candidate, release_all, told):
    first, _ = release_all(1, 2)
    cluster.edit("services", "m", {"spec": {"selector": {VERSION: str(first)}}})
    assert serving.champion("m") == first
    assert store.state("m").stable == first
    drift = serving.status("m")[0].drift
    assert any(text.startswith("Service m: spec.selector") for text in drift)
    assert f"PodDisruptionBudget of m-v{first}: not there" in drift
    released = serving.release("m", candidate(3), told.append)
    assert released.predecessor == first
    assert any("changed by hand" in text and "kubectl-edit" in text for text in told)
    consistent(cluster, store)


def test_keys_that_somebody_added_to_the_selector_go_at_the_next_release(cluster, release_all):
    release_all(1)
    cluster.edit("services", "m", {"spec": {"selector": {"track": "canary"}}})
    release_all(2)
    assert set(cluster.objects["services", "m"]["spec"]["selector"]) == {INSTANCE, VERSION}


def test_a_selector_without_a_version_is_told_and_stops_a_release(serving, cluster, candidate, release_all):
    release_all(1)
    cluster.edit("services", "m", {"spec": {"selector": {VERSION: None}}})
    with pytest.raises(ServingError, match=r"Service m: spec.selector: found"):
        serving.release("m", candidate(2), QUIET)
    assert any("spec.selector" in text for text in serving.status("m")[0].drift)


def test_a_hand_scaled_deployment_stays_so(release_all, cluster, serving, store):
    first, _ = release_all(1, 2)
    cluster.edit("deployments", f"m-v{first}", {"spec": {"replicas": 3}})
    assert any("spec.replicas, by kubectl-edit" in text for text in serving.status("m")[0].drift)
    assert cluster.replicas()[first] == 3
    released = serving.rollback("m", tell=QUIET)
    assert (released.version, cluster.replicas()[first]) == (first, 3)
    consistent(cluster, store)


def test_withdrawn_versions_are_told_until_the_next_release(serving, cluster, release_all, candidate):
    first, second = release_all(1, 2)
    serving.rollback("m", tell=QUIET)
    withdrawn = json.loads(cluster.objects["services", "m"]["metadata"]["annotations"][WITHDRAWN])
    assert [(entry["version"], entry["to"]) for entry in withdrawn] == [(second, first)]
    statuses = {record.version: record.status for record in KubernetesServing(cluster, None).releases("m")}
    assert statuses == {first: "serving", second: "rolled back"}
    (third,) = release_all(3)
    statuses = {record.version: record.status for record in serving.releases("m")}
    assert statuses == {third: "serving", second: "rolled back", first: "earlier"}


def test_a_service_that_keeps_changing_is_given_up(serving, cluster, candidate, release_all, monkeypatch):
    release_all(1)
    get = cluster.get

    def meddling(kind, name):
        found = get(kind, name)
        if kind == "services":
            cluster.edit("services", "m", {"metadata": {"annotations": {"note": "again"}}})
        return found

    monkeypatch.setattr(cluster, "get", meddling)
    with pytest.raises(ServingError, match="somebody changes it all the time"):
        serving.release("m", candidate(2), QUIET)


def test_pods_of_the_fake_are_what_readiness_takes_for_ready():
    assert ready_pod("p")["status"]["conditions"][-1]["type"] == "Ready"
