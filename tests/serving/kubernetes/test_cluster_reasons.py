import copy

import pytest
from fake_cluster import ready_pod

from nightshift.errors import ReleaseError
from nightshift.kubernetes.pods import PULL_SECONDS, Patience, Trouble, pod_trouble
from nightshift.serving.kubernetes.proof import check_steady
from nightshift.serving.kubernetes.readiness import grpc_address, is_complete
from nightshift.serving.kubernetes.reasons import as_it_is, deployment_trouble, is_ready


def pod(state=None, *, restarts=0, last=None, phase="Running", conditions=()):
    found = ready_pod("p")
    found["status"] |= {"phase": phase, "conditions": list(conditions)}
    status = found["status"]["containerStatuses"][0]
    status |= {"state": state or {}, "restartCount": restarts, "lastState": last or {}}
    return found


def waiting(reason, message=""):
    return {"waiting": {"reason": reason, "message": message}}


ENDED = {"terminated": {"exitCode": 1, "reason": "Error"}}
KILLED = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}


@pytest.mark.parametrize(
    ("state", "kind", "seconds"),
    [
        (waiting("ErrImagePull", "manifest unknown"), "image", 0),
        (waiting("ImagePullBackOff", 'Back-off pulling: "x": not found'), "image", 0),
        (waiting("ErrImagePull", "dial tcp: i/o timeout"), "image", PULL_SECONDS),
        (waiting("InvalidImageName", "couldn't parse"), "image", 0),
        (waiting("CreateContainerConfigError", "container has runAsNonRoot"), "container", PULL_SECONDS),
    ],
)
def test_a_container_that_cannot_start(state, kind, seconds):
    trouble = pod_trouble(pod(state), 60)
    assert (trouble.kind, trouble.seconds) == (kind, seconds)
    assert state["waiting"]["message"] in trouble.text
    assert state["waiting"]["reason"] in trouble.text


@pytest.mark.parametrize("state", [waiting("ContainerCreating"), waiting("PodInitializing"), {"running": {}}, {}])
def test_a_container_that_takes_its_time_is_no_trouble(state):
    assert pod_trouble(pod(state), 60) is None


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (pod(waiting("CrashLoopBackOff"), restarts=1, last=ENDED), "exit code 1, Error"),
        (pod({"running": {}}, restarts=2, last=KILLED), "exit code 137, OOMKilled"),
        (pod({"terminated": {"exitCode": 3, "reason": "Error", "message": "no GPU"}}, restarts=2), "3, Error: no GPU"),
    ],
)
def test_a_container_that_keeps_ending(found, said):
    trouble = pod_trouble(found, 60)
    assert trouble.kind == "crash loop"
    assert said in trouble.text


def test_one_restart_is_no_crash_loop():
    assert pod_trouble(pod({"running": {}}, restarts=1, last=ENDED), 60) is None


def test_a_pod_that_no_node_takes_is_waited_for_as_long_as_the_namespace_says():
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "3 Insufficient memory",
    }
    trouble = pod_trouble(pod(phase="Pending", conditions=[condition]), 60)
    assert (trouble.kind, trouble.seconds) == ("unschedulable", 60)
    assert "3 Insufficient memory" in trouble.text


def test_a_pod_that_was_evicted():
    found = pod(phase="Failed")
    found["status"] |= {"reason": "Evicted", "message": "The node was low on resource: memory"}
    assert "low on resource" in pod_trouble(found, 60).text


@pytest.mark.parametrize(
    ("message", "kind", "seconds"), [("exceeded quota: q", "quota", 60), ("denied", "admission", 0)]
)
def test_a_deployment_whose_pods_are_refused(message, kind, seconds):
    failure = {"type": "ReplicaFailure", "status": "True", "message": message}
    trouble = deployment_trouble({"status": {"conditions": [failure]}}, 60)
    assert (trouble.kind, trouble.seconds) == (kind, seconds)
    failure["status"] = "False"
    assert deployment_trouble({"status": {"conditions": [failure]}}, 60) is None


def test_patience_is_a_troubles_own_and_begins_anew_when_it_went_away():
    now = [0.0]
    patience = Patience(lambda: now[0])
    image, node = Trouble("image", "", 10, "p"), Trouble("unschedulable", "", 30, "q")
    assert patience.exhausted([image, node]) is None
    now[0] = 9.0
    assert patience.exhausted([node]) is None
    now[0] = 15.0
    assert patience.exhausted([image, node]) is None
    now[0] = 25.0
    assert patience.exhausted([image, node]) == image
    now[0] = 30.0
    assert patience.exhausted([node]) == node
    assert Patience().exhausted([Trouble("admission", "", 0)]) is not None


def deployment(*, generation=1, observed=1, replicas=1, ready=1):
    counts = {"replicas": replicas, "updatedReplicas": replicas, "readyReplicas": ready}
    return {
        "metadata": {"generation": generation},
        "spec": {"replicas": 1},
        "status": {"observedGeneration": observed, **counts},
    }


def test_complete_is_when_the_controller_has_seen_it_and_every_pod_is_ready():
    assert is_complete(deployment(), [ready_pod("p")])
    assert not is_complete(deployment(generation=2), [ready_pod("p")])
    assert not is_complete(deployment(ready=0), [ready_pod("p")])
    assert not is_complete(deployment(replicas=2), [ready_pod("p"), ready_pod("q")])
    assert not is_complete(deployment(), [])
    assert not is_complete(deployment(), [pod()])
    assert not is_complete({"metadata": {"generation": 1}, "spec": {"replicas": 1}}, [])


def test_a_pod_that_ends_is_not_ready():
    found = ready_pod("p")
    found["metadata"]["deletionTimestamp"] = "now"
    assert is_ready(ready_pod("p"))
    assert not is_ready(found)


def test_pods_in_words():
    assert as_it_is(pod(waiting("ContainerCreating"))) == "Pod p: waits: ContainerCreating"
    conditions = [{"type": "Ready", "status": "False", "message": "containers with unready status: [server]"}]
    assert as_it_is(pod({"running": {}}, conditions=conditions)) == (
        "Pod p: runs and is not ready containers with unready status: [server]"
    )


def test_while_it_serves_a_pod_neither_starts_again_nor_stops_being_ready():
    check_steady(ready_pod("p"), 0)
    again = copy.deepcopy(ready_pod("p"))
    again["status"]["containerStatuses"][0] |= {"restartCount": 1, "lastState": KILLED}
    with pytest.raises(ReleaseError, match="while it served, Pod p ended: exit code 137, OOMKilled"):
        check_steady(again, 0)
    with pytest.raises(ReleaseError, match="while it served, Pod p: is Running"):
        check_steady(pod(), 0)


@pytest.mark.parametrize(("address", "expected"), [("10.0.0.1", "10.0.0.1:8500"), ("fd00::1", "[fd00::1]:8500")])
def test_addresses(address, expected):
    assert grpc_address({"status": {"podIP": address}}) == expected
