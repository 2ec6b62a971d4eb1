"""A TrainJob from its making to its end, against a namespace in memory that tests play the controller of."""

import pytest
from fake_trainer import FakeTrainer
from followed_step import NAME, begin, chief, complete, progress

from nightshift.kubernetes.asking import ClusterError
from nightshift.kubernetes.cluster import FORBIDDEN, NOT_FOUND
from nightshift.training.kubernetes import TrainJobError


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


NO_KIND = ClusterError("POST trainjobs: the server could not find the requested resource", NOT_FOUND)
NO_RIGHT = ClusterError('POST trainjobs: trainjobs is forbidden: User "nightshift-runner" cannot create', FORBIDDEN)
NO_RUNTIME = ClusterError(
    'admission webhook "validator.trainjob" denied the request: runtime "nightshift-tensorflow" not found',
    422,
)
LATER = ClusterError('strict decoding error: unknown field "spec.podTemplateOverrides"', 400)


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (NO_KIND, "could not find the requested resource; .*needs Kubeflow Trainer and manifests/components/training"),
        (NO_RIGHT, "cannot create; .*needs Kubeflow Trainer and manifests/components/training .*or train on 1 node"),
        (NO_RUNTIME, '"nightshift-tensorflow" not found; .*needs Kubeflow Trainer and manifests/components/training'),
        (LATER, r"unknown field .*; .*needs Kubeflow Trainer 2\.1: later ones have no podTemplateOverrides"),
    ],
    ids=["no Trainer", "no right", "no runtime", "a later Trainer"],
)
def test_a_cluster_that_is_not_made_for_it_is_told_what_it_lacks(step, refusal, words):
    step.cluster.refusal = refusal
    with pytest.raises(TrainJobError, match=words):
        step.train()


def test_another_refusal_has_the_clusters_words_alone(step):
    step.cluster.refusal = ClusterError("POST trainjobs: spec.trainer.numNodes: Invalid value", 422)
    with pytest.raises(ClusterError, match=r"numNodes: Invalid value$"):
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
