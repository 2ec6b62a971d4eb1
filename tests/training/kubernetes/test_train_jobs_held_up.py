"""What keeps workers from beginning, and for how long that is borne with."""

import pytest
from fake_trainer import INDEX
from followed_step import NAME, chief, complete

from nightshift.kubernetes.pods import Patience
from nightshift.training.kubernetes import TrainJobError
from nightshift.training.kubernetes.patience import Holdups, Limits
from nightshift.training.workers import JOIN_SECONDS


def unpulled(said):
    return {"name": "node", "image": "i:1", "state": {"waiting": {"reason": "ErrImagePull", "message": said}}}


def creating(reason):
    return {"name": "node", "image": "i:1", "state": {"waiting": {"reason": reason}}}


NO_NODE = [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}]
NODE = [{"type": "PodScheduled", "status": "True"}]


@pytest.mark.parametrize(
    ("status", "limits", "words"),
    [
        (
            {"containerStatuses": [unpulled("i:1: not found")]},
            {},
            "image: Pod .*: no image 'i:1': ErrImagePull: i:1: not found",
        ),
        ({"containerStatuses": [unpulled("connection refused")]}, {"image": 0.1}, "image: Pod .*connection refused"),
        ({"conditions": NO_NODE}, {"unschedulable": 0.1}, "unschedulable: .*no node takes it: 0/3 nodes"),
        (
            {"conditions": NODE, "containerStatuses": [creating("ContainerCreating")]},
            {"starting": 0.1},
            r"not started: Pod .* \(ContainerCreating\); kubectl describe pod .*-node-0-0-0 says why",
        ),
        ({"conditions": NODE}, {"starting": 0.1}, "it has a node and has not started; kubectl describe pod"),
    ],
)
def test_what_keeps_workers_from_beginning_is_told_and_borne_with_for_so_long(step, status, limits, words):
    step.cluster.moments = [lambda cluster: cluster.run_pods(NAME, 2, phase="Pending", **status)]
    with pytest.raises(TrainJobError, match=words):
        step.train(**limits)
    assert not step.cluster.jobs


def test_each_worker_that_waits_is_told_once(step):
    step.cluster.moments = [lambda cluster: cluster.run_pods(NAME, 2, phase="Pending", conditions=NO_NODE)]
    with pytest.raises(TrainJobError):
        step.train(unschedulable=0.2)
    assert len([words for words in step.said if "no node takes it" in words]) == 2


def test_a_worker_without_a_node_is_given_up_however_often_the_others_begin_again(step):
    """Each attempt is shorter than what is borne with."""

    def one_runs_and_one_has_no_node(attempt):
        def happen(cluster):
            cluster.run_pods(NAME, 2, attempt=attempt)
            waiting = f"{NAME}-node-0-1-{attempt}"
            cluster.pods[waiting]["status"] = {"phase": "Pending", "conditions": NO_NODE}

        return happen

    def no_pods(cluster):
        cluster.pods = {"step-1": cluster.pods["step-1"]}

    def not_looked_at_yet(attempt):
        return lambda cluster: cluster.run_pods(NAME, 2, attempt=attempt, phase="Pending")

    for attempt in range(12):
        nothing = [lambda cluster: None] * 5
        step.cluster.moments += [not_looked_at_yet(attempt), one_runs_and_one_has_no_node(attempt), *nothing]
        step.cluster.moments += [lambda cluster, attempt=attempt: cluster.fail(chief(attempt), 1), no_pods]
    step.cluster.moments.append(complete(step))
    with pytest.raises(TrainJobError, match=r"unschedulable: Pod .*-node-0-1-\d+: no node takes it: 0/3 nodes"):
        step.train(unschedulable=1)
    assert any("begin again" in words for words in step.said), "the wait was longer than an attempt"


def test_a_worker_that_ran_meanwhile_has_its_whole_patience_again():
    def pod(phase, conditions=()):
        return {"metadata": {"name": "w", "labels": {INDEX: "1"}}, "status": {"phase": phase, "conditions": conditions}}

    now = [0.0]
    holdups = Holdups(Limits(unschedulable=10), _patience=Patience(clock=lambda: now[0]))

    def after(seconds, phase, conditions=()):
        now[0] += seconds
        holdups.look([pod(phase, conditions)])
        return holdups.exhausted()

    assert after(0, "Pending", NO_NODE) is after(9, "Pending", NO_NODE) is None
    assert after(0, "Running") is None
    assert after(1, "Pending", NO_NODE) is after(9, "Pending", NO_NODE) is None
    assert after(1, "Pending", NO_NODE).kind == "unschedulable"


def test_workers_wait_for_each_other_longer_than_the_step_waits_for_a_node():
    assert max(Limits().unschedulable, Limits().starting) + 60 < JOIN_SECONDS


def test_a_train_job_that_gets_no_pods_is_given_up(step):
    told = rf"no Pods after 0.1 s: do the controllers .* describe trainjob/{NAME} jobset/{NAME} job/{NAME}-node-0"
    with pytest.raises(TrainJobError, match=told):
        step.train(beginning=0.1)
