"""Training on several nodes by TrainJobs of a real Kubeflow Trainer, through the pipeline's own train step."""

import itertools
import json
import random
import re
import time
from collections.abc import Callable

import pytest
from kubectl import until
from training import StepPod, TrainSteps

pytestmark = [pytest.mark.cluster, pytest.mark.trainer]

QUICK = {"digits": {"epochs": 2, "batch_size": 96}, "puzzle": {"epochs": 1, "batch_size": 240, "jit_compile": False}}
LONG = {"epochs": 60, "batch_size": 96}
END_WORKER = """
import os, signal
for entry in filter(str.isdigit, os.listdir("/proc")):
    if int(entry) != os.getpid() and b"worker" in open(f"/proc/{entry}/cmdline", "rb").read().split(b"\\0"):
        os.kill(int(entry), signal.SIGTERM)
"""
START_SECONDS = 180.0
TRAIN_SECONDS = 900.0


@pytest.mark.parametrize("nodes", [1, 2, 3])
@pytest.mark.parametrize("task", QUICK)
def test_the_train_step_trains_on_any_number_of_nodes(
    steps: TrainSteps, measured: Callable[[str], None], task: str, nodes: int
):
    training = steps.prepare(task, f"{task}-{nodes}", QUICK[task], seed=nodes)
    began = time.monotonic()
    with training.step(nodes) as step:
        if nodes > 1:
            step.await_line(f"TrainJob {training.name}: made, {nodes} nodes", START_SECONDS)
            training.await_workers(nodes)
        log = step.succeeded(TRAIN_SECONDS).log()
        took = time.monotonic() - began
        training.expect_nothing_left()
    found = training.description()
    assert found["epochs"] == QUICK[task]["epochs"]
    if nodes > 1:
        assert re.search(rf"^run {task}-{nodes}: worker 0 of {nodes}$", log, re.MULTILINE), log
        assert re.search(r"^100\.00% epoch ", log, re.MULTILINE), log
    measured(f"{nodes} nodes: {took:.0f} s, {found['seconds']:.1f} s of training, score {found['best_score']:.4f}")


def test_a_train_job_of_one_node_is_no_special_case(steps: TrainSteps):
    training = steps.prepare("digits", "one", QUICK["digits"], seed=11)
    found = training.on_nodes({"count": 1, "memory": "2Gi"})
    assert found["model"].endswith(training.key), found
    assert "made, 1 nodes" in found["said"]
    training.expect_nothing_left()


def test_the_component_is_applied_without_a_warning_and_a_second_time_changes_nothing(steps: TrainSteps):
    again = steps.kubectl.within("").attempt("apply", "-k", str(steps.overlay))
    assert (again.returncode, again.stderr) == (0, "")
    assert {line.split()[-1] for line in again.stdout.splitlines()} == {"unchanged"}


def test_workers_have_no_rights_no_token_and_a_root_that_cannot_be_written(steps: TrainSteps):
    training = steps.prepare("digits", "unprivileged", LONG, seed=12)
    with training.step(2) as step:
        workers = training.await_workers(2)
        step.signal("SIGTERM")
        step.ended(120)
    for worker in workers:
        spec, container = worker["spec"], worker["spec"]["containers"][0]
        assert (spec["serviceAccountName"], spec["automountServiceAccountToken"]) == ("nightshift-worker", False)
        assert spec["securityContext"]["runAsUser"] == 65532
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert spec["terminationGracePeriodSeconds"] == 60
    account = f"--as=system:serviceaccount:{steps.kubectl.namespace}:nightshift-worker"
    assert steps.kubectl.attempt("auth", "can-i", "get", "pods", account).returncode


def test_the_runner_may_do_with_train_jobs_what_the_step_does_and_no_more(steps: TrainSteps):
    account = f"--as=system:serviceaccount:{steps.kubectl.namespace}:nightshift-runner"
    verbs = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
    resources = ("trainjobs.trainer.kubeflow.org", "jobsets.jobset.x-k8s.io", "pods", "pods/log", "secrets")

    def may(verb: str, resource: str) -> bool:
        kind, _, part = resource.partition("/")
        which = [kind, f"--subresource={part}"] if part else [kind]
        return steps.kubectl.attempt("auth", "can-i", verb, *which, account).returncode == 0

    allowed = {resource: {verb for verb in verbs if may(verb, resource)} for resource in resources}
    assert allowed == {
        "trainjobs.trainer.kubeflow.org": {"get", "create", "patch", "delete"},
        "jobsets.jobset.x-k8s.io": set(),
        "pods": {"get", "list", "watch"},
        "pods/log": {"get"},
        "secrets": set(),
    }


def test_a_step_that_is_asked_to_end_leaves_neither_train_job_nor_pod(
    steps: TrainSteps, measured: Callable[[str], None]
):
    training = steps.prepare("digits", "cancelled", LONG, seed=13)
    with training.step(2) as step:
        step.await_line(r"^ *\d+\.\d\d% epoch [2-9]", START_SECONDS)
        began = time.monotonic()
        step.signal("SIGTERM")
        assert step.ended(60) == "Failed"
        took = time.monotonic() - began
        training.expect_nothing_left()
        assert "it is taken away" in step.log()
        assert "Preempted" in step.log()
    assert took < 30
    measured(f"{took:.1f} s from SIGTERM to the step's end; no TrainJob, no Pod")


def test_a_step_that_is_killed_and_started_again_follows_the_same_train_job(
    steps: TrainSteps, measured: Callable[[str], None]
):
    training = steps.prepare("digits", "killed-step", {"epochs": 20, "batch_size": 96}, seed=14)
    with training.step(2, "first") as first:
        first.await_line(r"^ *\d+\.\d\d% epoch [2-9]", START_SECONDS)
        (job,) = training.train_jobs()
        first.signal("SIGKILL")
        assert first.ended(60) == "Failed"
        with training.step(2, "second") as second:
            second.await_line("there already; followed", START_SECONDS)
            (same,) = training.train_jobs()
            log = second.succeeded(TRAIN_SECONDS).log()
    assert same["metadata"]["uid"] == job["metadata"]["uid"]
    assert f"TrainJob {training.name}: it is taken away" in log, log[-2000:]
    assert log.count("going on after") == log.count("all workers begin again"), "the workers took no notice"
    assert training.description()["epochs"] == 20
    training.expect_nothing_left()
    measured("one TrainJob, one model")


def test_a_step_whose_pod_is_deleted_takes_its_train_job_along_and_the_next_goes_on(steps: TrainSteps):
    training = steps.prepare("digits", "deleted-step", {"epochs": 20, "batch_size": 96}, seed=15)
    with training.step(2, "first") as first:
        first.await_line(r"^ *\d+\.\d\d% epoch [3-9]", START_SECONDS)
        steps.kubectl("delete", "pod", first.name, "--grace-period=0", "--force")
        with training.step(2, "second") as second:
            log = second.succeeded(TRAIN_SECONDS).log()
    assert "going on after" in log, "from the checkpoint"
    assert len(training.train_jobs()) == 0
    assert training.description()["epochs"] == 20
    training.expect_nothing_left()


def test_what_a_killed_step_left_is_taken_away_after_the_run(steps: TrainSteps):
    training = steps.prepare("digits", "abandoned", LONG, seed=16)
    with training.step(2) as step:
        training.await_workers(2)
        step.signal("SIGKILL")
        assert step.ended(60) == "Failed"
        record = json.loads(steps.hand("cat", "/workspace/runs/abandoned/train/status.json"))
        assert record["figures"]["trainjob"] == training.name
        program = "from nightshift.training.kubernetes import take_away; print(take_away(*__import__('sys').argv[1:]))"
        assert steps.hand("python", "-c", program, training.name) == "it is taken away\n"
        training.expect_nothing_left()


def test_two_runs_of_one_recipe_share_a_train_job_and_one_of_them_may_end(steps: TrainSteps):
    training = steps.prepare("digits", "shared-a", {"epochs": 20, "batch_size": 96}, seed=17)
    other = steps.prepare("digits", "shared-b", {"epochs": 20, "batch_size": 96}, seed=17)
    assert other.key == training.key
    with training.step(2) as first, other.step(2) as second:
        first.await_line("made, 2 nodes|there already", START_SECONDS)
        second.await_line("made, 2 nodes|there already", START_SECONDS)
        second.await_line(r"^ *\d+\.\d\d% epoch [2-9]", START_SECONDS)
        (job,) = training.train_jobs()
        assert len(job["metadata"]["ownerReferences"]) == 2
        first.signal("SIGTERM")
        assert first.ended(60) == "Failed"
        assert f"it goes on for {second.name}" in first.log()
        second.succeeded(TRAIN_SECONDS)
    training.expect_nothing_left()


def test_an_image_that_is_not_there_is_an_error_that_names_it(steps: TrainSteps, measured: Callable[[str], None]):
    training = steps.prepare("digits", "no-image", QUICK["digits"], seed=18)
    image = "localhost/nightshift/train:no-such-tag"
    found = training.on_nodes({"count": 2}, image=image, limits={"image": 10})
    assert re.search(rf"TrainJobError: .*: image: Pod .*: no image '{image}'", found["error"]), found
    training.expect_nothing_left()
    measured(f"{found['seconds']:.0f} s: {found['error'][:300]}")


def test_nodes_that_are_not_there_are_an_error_that_says_so(steps: TrainSteps, measured: Callable[[str], None]):
    training = steps.prepare("digits", "no-node", QUICK["digits"], seed=19)
    nodes = {"count": 2, "node_selector": {"nightshift/no-such": "node"}}
    found = training.on_nodes(nodes, limits={"unschedulable": 5})
    assert "TrainJobError" in found["error"]
    assert "unschedulable: Pod" in found["error"]
    training.expect_nothing_left()
    measured(f"{found['seconds']:.0f} s: {found['error'][:300]}")


def test_settings_that_cannot_be_trained_end_the_train_job_at_once(steps: TrainSteps, measured: Callable[[str], None]):
    training = steps.prepare("digits", "mistake", QUICK["digits"] | {"batch_size": 100000}, seed=20)
    with training.step(2) as step:
        assert step.ended(TRAIN_SECONDS) == "Failed"
        log = step.log()
    assert "all workers begin again" not in log
    assert re.search(r"TrainJobError: .*exit code 2.*", log), log[-4000:]
    assert "training images are less than one batch of 100000" in log
    training.expect_nothing_left()
    measured(re.findall(r"TrainJobError: .*", log)[-1])


def test_a_worker_that_is_told_to_end_writes_a_checkpoint_and_all_go_on_from_it(
    steps: TrainSteps, measured: Callable[[str], None]
):
    training = steps.prepare("digits", "told", {"epochs": 20, "batch_size": 96}, seed=21)
    with training.step(2) as step:
        step.await_line(r"^ *\d+\.\d\d% epoch [3-9]", START_SECONDS)
        worker = training.workers()[1]["metadata"]["name"]
        began = time.monotonic()
        steps.kubectl("exec", worker, "--", "python3", "-c", END_WORKER)
        lost = step.await_line("all workers begin again", 120)
        took = time.monotonic() - began
        assert lost
        log = step.succeeded(TRAIN_SECONDS).log()
    before, _, after = log.partition("all workers begin again")
    assert "exit code 143" in after.splitlines()[0]
    written = re.search(r"ended by SIGTERM after .*; the checkpoint is written \((\d+\.\d) s\)", log)
    assert written, log
    measured(
        f"{took:.1f} s from SIGTERM to the restart, {written[1]} s of them for the checkpoint; "
        f"{lost_share(before, after):.4f} of the training lost"
    )
    assert float(written[1]) < 20
    assert lost_share(before, after) <= 0.005, "the checkpoint is of the moment of the signal"
    assert training.description()["epochs"] == 20


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.soak)])
def test_workers_that_are_killed_cost_a_checkpoint_interval_each_and_no_model(
    steps: TrainSteps, measured: Callable[[str], None], kills: int
):
    chance = random.Random(kills)
    settings = {"epochs": 6 * (kills + 1), "batch_size": 96}
    training = steps.prepare("digits", f"killed-{kills}", settings, seed=22)
    seconds = []
    with training.step(2) as step:
        for number in range(1, kills + 1):
            part = number / (kills + 1)
            await_share(step, part * chance.uniform(0.8, 1.0))
            time.sleep(chance.uniform(0, 2))
            began, how = time.monotonic(), training.kill(chance.choice(training.await_workers(2)))
            step.await_line(rf"all workers begin again \(restart {number}\)", 180)
            seconds.append(time.monotonic() - began)
        log = step.succeeded(TRAIN_SECONDS + 120 * kills).log()
    attempts = log.split("all workers begin again")
    shares = [lost_share(before, after) for before, after in itertools.pairwise(attempts)]
    found = training.description()
    lost = max(shares) * settings["epochs"]
    measured(
        f"{kills} kills ({how}): all begin again after {max(seconds):.0f} s at most, lost {lost:.2f} epochs at most; "
        f"score {found['best_score']:.4f}"
    )
    assert max(shares) <= INTERVAL_EPOCHS / settings["epochs"]
    assert found["epochs"] == settings["epochs"]
    assert found["best_score"] > 0.9
    training.expect_nothing_left()


INTERVAL_EPOCHS = 1.1
"""A checkpoint is written after every epoch; progress is told twice a second."""


def shares_of(log: str) -> list[float]:
    """The shares of all work that lines of a log tell."""
    return [float(share) / 100 for share in re.findall(r"^ *(\d+\.\d\d)% ", log, re.MULTILINE)]


def lost_share(before: str, after: str) -> float:
    """What has to be trained again: from where the log of one attempt ends to where the next goes on.

    Between the two are the last lines of who failed, which are of the attempt before.
    """
    goes_on = re.search(r"^ *(\d+\.\d\d)% going on after", after, re.MULTILINE)
    return max(0.0, shares_of(before)[-1] - (float(goes_on[1]) / 100 if goes_on else 0.0))


def await_share(step: StepPod, share: float) -> None:
    """Wait until the present attempt has got that far, and further than where it began."""

    def far() -> bool:
        told = shares_of(step.log().rpartition("all workers begin again")[2])
        return len(told) > 1 and told[-1] >= share and told[-1] > told[0]

    until(far, TRAIN_SECONDS, f"{share:.0%} of the training is done", every=0.5)
