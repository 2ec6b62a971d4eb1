"""A TrainJob from its making to its end, against a namespace in memory that tests play the controller of."""

import json
from contextlib import contextmanager

import pytest
from fake_trainer import FakeTrainer, step_pod

from nightshift.files import sha256_of
from nightshift.kubernetes.asking import ClusterError
from nightshift.training.kubernetes import Nodes, TrainJobError, take_away, train, train_on_nodes
from nightshift.training.kubernetes.follow import FUTILE, Limits
from nightshift.training.kubernetes.job import Work
from nightshift.training.preemption import Preempted

KEY = "0123456789abcdef0123"
NAME = f"nightshift-{KEY}"


class Step:
    """A train step with a cluster, and what it tells."""

    def __init__(self, folder, cluster):
        self.cluster, self.workspace = cluster, folder
        self.folder = folder / "checkpoints" / KEY
        self.told, self.said, self.asked = [], [], False

    def train(self, nodes=2, **limits):
        return train_on_nodes(
            Work(KEY, "digits", "default", {}, 0, "/d", self.workspace, "run-1"),
            Nodes(nodes),
            asked=lambda: self.asked,
            progress=lambda fraction, message: self.told.append((fraction, message)),
            say=self.said.append,
            limits=Limits(**limits),
        )

    def write_model(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "model.keras").write_bytes(b"weights")
        facts = {"sha256": sha256_of(self.folder / "model.keras")}
        (self.folder / "training.json").write_text(json.dumps(facts))


@pytest.fixture
def step(tmp_path, monkeypatch):
    cluster = FakeTrainer()
    cluster.pods["step-1"] = step_pod("1")

    @contextmanager
    def connect(namespace, patience=0.0):
        assert namespace == "runs"
        yield cluster

    monkeypatch.setattr("nightshift.training.kubernetes.ownership.LOOK_SECONDS", 0.01)
    monkeypatch.setattr(train, "connect", connect)
    monkeypatch.setattr(train, "own_namespace", lambda: "runs")
    monkeypatch.setenv("HOSTNAME", "step-1")
    monkeypatch.delenv("KFP_POD_NAME", raising=False)
    return Step(tmp_path, cluster)


def begin(cluster):
    cluster.run_pods(NAME, 2)


def chief(attempt=0):
    return f"{NAME}-node-0-0-{attempt}"


def progress(*lines, attempt=0):
    return lambda cluster: cluster.print(chief(attempt), *lines)


def complete(step):
    def happen(cluster):
        step.write_model()
        cluster.end(NAME, "Complete")

    return happen


def test_the_chiefs_lines_and_progress_are_ours_and_nothing_is_left(step, capsys):
    lines = ["run run-1: worker 0 of 2", "  0.00% epoch 1 of 2: loss 2.1", "100.00% epoch 2 of 2: loss 0.1"]
    step.cluster.moments = [begin, progress(*lines), complete(step)]
    trained = step.train()
    assert trained.path == step.folder
    assert capsys.readouterr().out.splitlines() == lines
    assert step.told == [(0.0, "epoch 1 of 2: loss 2.1"), (1.0, "epoch 2 of 2: loss 0.1")]
    assert step.said[0] == f"TrainJob {NAME}: made, 2 nodes"
    assert step.said[-1] == f"TrainJob {NAME}: it is taken away"
    assert not step.cluster.jobs


def test_a_log_that_is_read_again_after_its_connection_broke_is_told_once(step, capsys):
    class Breaking(FakeTrainer):
        def follow_log(self, pod, container, since=""):
            yield from super().follow_log(pod, container, since)
            raise ClusterError("the connection broke", 0)

    step.cluster.__class__ = Breaking
    step.cluster.moments = [begin, progress("first"), *[lambda cluster: None] * 40, progress("second")]
    step.cluster.moments += [*[lambda cluster: None] * 40, complete(step)]
    step.cluster.logs[chief()] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nightshift.training.kubernetes.log.AGAIN_SECONDS", 0.05)
        step.train()
    assert capsys.readouterr().out.splitlines() == ["first", "second"]


def test_a_model_that_is_there_needs_no_train_job(step):
    step.write_model()
    assert step.train().path == step.folder
    assert step.told == [(1, f"trained before, nothing to train: checkpoints/{KEY}")]
    assert not any("trainjobs" in asked for asked in step.cluster.asked)


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


def test_a_restart_tells_who_failed_and_the_next_attempts_lines_follow(step, capsys):
    first = [begin, progress("  0.00% epoch 1", " 50.00% epoch 2"), lambda cluster: cluster.fail(chief(0), 1, "boom")]
    second = [lambda cluster: cluster.run_pods(NAME, 2, attempt=1), progress(" 40.00% going on", attempt=1)]
    step.cluster.moments = [*first, *second, complete(step)]
    step.train()
    told = next(words for words in step.said if "begin again" in words)
    assert "(restart 1): worker 0" in told
    assert "exit code 1, Error; its last lines:\nboom" in told
    assert [fraction for fraction, _ in step.told] == [0.0, 0.5, 0.4]
    assert capsys.readouterr().out.splitlines()[-1] == " 40.00% going on"


def test_attempts_that_get_no_further_are_given_up(step):
    for attempt in range(FUTILE + 1):
        step.cluster.moments += [
            lambda cluster, attempt=attempt: cluster.run_pods(NAME, 2, attempt=attempt),
            progress("  0.00% epoch 1", attempt=attempt),
            lambda cluster, attempt=attempt: cluster.fail(chief(attempt), 137, reason="OOMKilled"),
        ]
    with pytest.raises(TrainJobError, match=r"no further 3 times in a row; .*exit code 137, OOMKilled"):
        step.train()
    assert not step.cluster.jobs


def test_workers_that_are_taken_away_may_begin_again_any_number_of_times(step):
    for attempt in range(2 * FUTILE):
        step.cluster.moments += [
            lambda cluster, attempt=attempt: cluster.run_pods(NAME, 2, attempt=attempt),
            lambda cluster, attempt=attempt: cluster.fail(chief(attempt), 143),
        ]
    step.cluster.moments.append(complete(step))
    step.train()
    assert sum("begin again" in words for words in step.said) == 2 * FUTILE - 1


def test_a_failure_has_the_clusters_words_and_the_workers_last_lines(step):
    step.cluster.moments = [
        begin,
        lambda cluster: cluster.fail(chief(), 2, "Error: batch_size: found 7"),
        lambda cluster: cluster.end(NAME, "Failed", "jobset failed due to FailJobSet failure policy action"),
    ]
    with pytest.raises(TrainJobError, match=r"FailJobSet failure policy action.*exit code 2") as error:
        step.train()
    assert str(error.value).endswith("its last lines:\nError: batch_size: found 7")
    assert not step.cluster.jobs


def unpulled(said):
    return {"name": "node", "image": "i:1", "state": {"waiting": {"reason": "ErrImagePull", "message": said}}}


NO_NODE = [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}]


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
    ],
)
def test_what_keeps_workers_from_beginning_is_told_and_borne_with_for_so_long(step, status, limits, words):
    step.cluster.moments = [lambda cluster: cluster.run_pods(NAME, 2, phase="Pending", **status)]
    with pytest.raises(TrainJobError, match=words):
        step.train(**limits)
    assert not step.cluster.jobs


def test_a_train_job_that_gets_no_pods_is_given_up(step):
    with pytest.raises(TrainJobError, match=r"no Pods after 0.1 s: do the controllers"):
        step.train(beginning=0.1)


def test_a_cluster_without_trainer_is_told(step):
    step.cluster.installed = False
    with pytest.raises(TrainJobError, match="this cluster has no Kubeflow Trainer"):
        step.train()


def test_a_train_job_that_somebody_deletes_is_an_error_unless_the_model_is_there(step):
    step.cluster.moments = [begin, lambda cluster: cluster.jobs.clear()]
    with pytest.raises(TrainJobError, match="deleted by somebody"):
        step.train()

    def another_step_is_done(cluster):
        step.write_model()
        cluster.jobs.clear()

    step.cluster.moments = [begin, another_step_is_done]
    assert step.train().path == step.folder


def test_an_api_server_that_is_away_for_a_while_is_survived(step):
    step.cluster.moments = [begin, lambda cluster: setattr(cluster, "away", 5), complete(step)]
    step.train()
    assert any("does not answer; the training goes on without us" in words for words in step.said)


def test_an_api_server_that_stays_away_is_an_error_and_what_is_left_is_told(step):
    step.cluster.moments = [begin, lambda cluster: setattr(cluster, "away", 10**9)]
    with pytest.raises(ClusterError, match="does not answer"):
        step.train(away=0.1)
    assert "it could not be taken away, and goes when this Pod is deleted" in step.said[-1]


def test_an_error_of_ours_takes_the_train_job_away_too(step):
    def fail(cluster):
        raise RuntimeError("a defect")

    step.cluster.moments = [begin, fail]
    with pytest.raises(RuntimeError, match="a defect"):
        step.train()
    assert not step.cluster.jobs


def test_what_a_killed_step_left_is_taken_away_unless_another_follows_it(step):
    owners = [{"apiVersion": "v1", "kind": "Pod", "name": f"step-{uid}", "uid": uid} for uid in ("0", "1")]
    step.cluster.pods |= {"step-0": step_pod("0", phase="Failed")}
    job = {"metadata": {"name": NAME, "ownerReferences": owners}, "spec": {}}
    step.cluster.create("trainjobs", job)
    assert take_away(NAME) == "it goes on for step-1"
    step.cluster.pods["step-1"]["status"]["phase"] = "Failed"
    assert take_away(NAME) == "it is taken away"
    assert take_away(NAME) == "it is gone"
