"""Whose a TrainJob is: taken over, shared, left behind, taken away, each by the last one that needs it."""

import pytest
from fake_trainer import FakeTrainer, step_pod
from followed_step import KEY, NAME, begin, complete

from nightshift.kubernetes.asking import ClusterError
from nightshift.kubernetes.cluster import FORBIDDEN
from nightshift.training.kubernetes import take_away
from nightshift.training.kubernetes.ownership import give_up
from nightshift.training.preemption import Preempted


def test_a_model_that_is_there_needs_no_train_job(step):
    step.write_model()
    assert step.train().path == step.folder
    assert step.told == [(1, f"trained before, nothing to train: checkpoints/{KEY}")]
    assert step.cluster.asked == ["get trainjobs"], "none is made"
    assert step.said == []


def test_a_step_that_was_killed_after_its_model_leaves_no_train_job_to_the_next(step):
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "step-0", "uid": "0"}
    job = {"metadata": {"name": NAME, "ownerReferences": [owner]}, "spec": {"trainer": {"numNodes": 2}}}
    step.cluster.create("trainjobs", job)
    step.cluster.end(NAME, "Complete")
    step.write_model()
    assert step.train().path == step.folder
    assert step.said == [f"TrainJob {NAME}: it is taken away"]
    assert not step.cluster.jobs


@pytest.mark.parametrize(("status", "told"), [(FORBIDDEN, 0), (0, 1)], ids=["no right to look", "away"])
def test_a_model_that_is_there_is_enough_whatever_the_api_server_says(step, monkeypatch, status, told):
    def refuse(kind, name):
        raise ClusterError("GET trainjobs: refused", status)

    step.write_model()
    monkeypatch.setattr(step.cluster, "get", refuse)
    assert step.train().path == step.folder
    assert len(step.said) == told


def test_a_step_that_begins_again_follows_the_train_job_that_is_there(step):
    step.cluster.moments = [lambda cluster: setattr(step, "asked", True)]
    step.cluster.pods["step-0"] = step_pod("0")
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "step-0", "uid": "0"}
    job = {"metadata": {"name": NAME, "ownerReferences": [owner]}, "spec": {"trainer": {"numNodes": 3}}}
    step.cluster.create("trainjobs", job)
    with pytest.raises(Preempted):
        step.train()
    assert step.said[0] == f"TrainJob {NAME}: there already; followed on its 3 nodes"
    # The earlier step's Pod is at work, so the TrainJob is left to it, and to it alone.
    assert step.said[-1] == f"TrainJob {NAME}: it goes on for step-0"
    assert step.cluster.jobs[NAME]["metadata"]["ownerReferences"] == [owner]


def test_the_train_job_of_a_step_that_ended_goes_with_the_one_that_took_it_over(step):
    step.cluster.pods["step-0"] = step_pod("0", phase="Failed")
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "step-0", "uid": "0"}
    job = {"metadata": {"name": NAME, "ownerReferences": [owner]}, "spec": {"trainer": {"numNodes": 2}}}
    step.cluster.create("trainjobs", job)
    owners = []

    def look(cluster):
        owners[:] = [one["uid"] for one in cluster.jobs[NAME]["metadata"]["ownerReferences"]]
        step.asked = True

    step.cluster.moments = [begin, look]
    with pytest.raises(Preempted, match="asked to end"):
        step.train()
    assert owners == ["0", "1"]
    assert not step.cluster.jobs
    assert list(step.cluster.pods) == ["step-1", "step-0"], "no worker's Pod"


@pytest.mark.parametrize("ended", ["Failed", "Complete"])
def test_a_train_job_that_ended_without_a_model_is_made_anew(step, ended):
    step.cluster.create("trainjobs", {"metadata": {"name": NAME}, "spec": {"trainer": {"numNodes": 2}}})
    earlier = step.cluster.jobs[NAME]["metadata"]["uid"]
    step.cluster.end(NAME, ended)
    step.cluster.moments = [begin, lambda cluster: made.append(cluster.jobs[NAME]["metadata"]["uid"]), complete(step)]
    made = []
    step.train()
    assert made != [earlier]
    assert f"there is one that {ended}; it is made anew" in step.said[0]


def test_what_a_killed_step_left_is_taken_away_unless_another_follows_it(step):
    owners = [{"apiVersion": "v1", "kind": "Pod", "name": f"step-{uid}", "uid": uid} for uid in ("0", "1")]
    step.cluster.pods |= {"step-0": step_pod("0", phase="Failed")}
    job = {"metadata": {"name": NAME, "ownerReferences": owners}, "spec": {}}
    step.cluster.create("trainjobs", job)
    assert take_away(NAME) == "it goes on for step-1"
    step.cluster.pods["step-1"]["status"]["phase"] = "Failed"
    assert take_away(NAME) == "it is taken away"
    assert take_away(NAME) == "it is gone"


class Meanwhile(FakeTrainer):
    """Something happens just before a TrainJob is deleted."""

    def delete(self, kind, name, version):
        happen, self.meanwhile = self.meanwhile, lambda: None
        happen()
        super().delete(kind, name, version)


def test_a_step_that_joins_as_the_last_one_leaves_keeps_its_train_job(step):
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "step-2", "uid": "2"}
    step.cluster.pods["step-2"] = step_pod("2")

    def join():
        found = step.cluster.get("trainjobs", NAME)["metadata"]
        owners = [*found["ownerReferences"], owner]
        change = {"ownerReferences": owners, "resourceVersion": found["resourceVersion"]}
        step.cluster.patch("trainjobs", NAME, {"metadata": change})

    step.cluster.__class__, step.cluster.meanwhile = Meanwhile, join
    step.cluster.moments = [begin, lambda cluster: setattr(step, "asked", True)]
    with pytest.raises(Preempted):
        step.train()
    assert step.said[-1] == f"TrainJob {NAME}: it goes on for step-2"
    assert step.cluster.jobs[NAME]["metadata"]["ownerReferences"] == [owner]


def test_a_train_job_that_another_step_makes_anew_first_is_followed(step):
    def made_anew():
        step.cluster.jobs.clear()
        step.cluster.create("trainjobs", {"metadata": {"name": NAME}, "spec": {"trainer": {"numNodes": 2}}})

    made_anew()
    step.cluster.end(NAME, "Failed")
    step.cluster.__class__, step.cluster.meanwhile = Meanwhile, made_anew
    step.cluster.moments = [begin, complete(step)]
    step.train()
    assert step.said[0] == f"TrainJob {NAME}: there already; followed"


def test_the_next_train_job_of_that_name_is_not_waited_for(step):
    class Next(FakeTrainer):
        def delete(self, kind, name, version):
            super().delete(kind, name, version)
            self.create("trainjobs", {"metadata": {"name": name}, "spec": {}})
            self.run_pods(name, 2)

    step.cluster.create("trainjobs", {"metadata": {"name": NAME}, "spec": {}})
    step.cluster.__class__ = Next
    assert give_up(step.cluster, NAME, "", seconds=0.05) == "it is taken away"
    assert step.cluster.jobs, "the next one"
