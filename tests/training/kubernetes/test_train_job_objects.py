"""The TrainJob that is asked for, what its workers are told, and what is refused before that."""

import json
from pathlib import Path

import pytest
import yaml
from fake_trainer import FakeTrainer, step_pod

from nightshift.errors import ConfigurationError
from nightshift.training.kubernetes import Nodes
from nightshift.training.kubernetes.job import NODE, RUNTIME, Work, train_job, workers
from nightshift.training.kubernetes.own import own_namespace, own_pod
from nightshift.training.lines import progress_line, read_progress

MANIFESTS = Path(__file__).parent.parent.parent.parent / "manifests" / "components" / "training"
KEY = "0123456789abcdef0123"
OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "step", "uid": "1"}


def work(**changes):
    fixed = {"key": KEY, "task": "digits", "preset": "default", "settings": {"epochs": 2.0}, "seed": 7}
    return Work(**fixed | {"dataset": "/w/d", "workspace": Path("/w"), "run_id": "run/1"} | changes)


@pytest.fixture(scope="module")
def runtime():
    return yaml.safe_load((MANIFESTS / "runtime.yaml").read_text())


@pytest.fixture(scope="module")
def job_template(runtime):
    (job,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    return job


def test_its_name_follows_from_the_recipe_alone():
    first = train_job(work(), Nodes(2), "image", [], OWNER)
    other = train_job(work(run_id="another"), Nodes(3), "image", [], OWNER)
    assert first["metadata"]["name"] == other["metadata"]["name"] == f"nightshift-{KEY}"
    longest = workers(first["metadata"]["name"], 24)[-1].partition(".")[0]
    assert len(longest) <= 63, "a host name"


def test_it_names_the_runtime_and_says_who_owns_it_and_whose_it_is():
    made = train_job(work(), Nodes(2), "train@sha256:1", [], OWNER)
    assert made["spec"]["runtimeRef"] == {"name": RUNTIME}
    assert made["metadata"]["ownerReferences"] == [OWNER]
    labels = made["metadata"]["labels"]
    assert (labels["nightshift/recipe"], labels["nightshift/run"]) == (KEY, "run-1")
    assert made["spec"]["trainer"]["image"] == "train@sha256:1"
    assert made["spec"]["trainer"]["numNodes"] == 2
    assert "podTemplateOverrides" not in made["spec"]


def test_its_nodes_get_what_was_asked_for():
    toleration = {"key": "cloud.google.com/gke-spot", "operator": "Equal", "value": "true", "effect": "NoSchedule"}
    nodes = Nodes(2, "1", "4", "16Gi", [toleration], {"cloud.google.com/gke-spot": "true"})
    made = train_job(work(), nodes, "image", [{"name": "registry"}], OWNER)
    resources = made["spec"]["trainer"]["resourcesPerNode"]
    assert resources["limits"] == {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"}
    assert resources["requests"] == {"cpu": "500m", "memory": "16Gi", "nvidia.com/gpu": "1"}
    (override,) = made["spec"]["podTemplateOverrides"]
    assert override["targetJobs"] == [{"name": NODE}]
    assert override["spec"] == {
        "nodeSelector": {"cloud.google.com/gke-spot": "true"},
        "tolerations": [toleration],
        "imagePullSecrets": [{"name": "registry"}],
    }


def test_without_gpus_none_is_asked_for():
    assert set(Nodes(2, gpus="0").resources()["limits"]) == {"cpu", "memory"}


OWN = {"gpus": "0", "cpu": "2", "memory": "4Gi", "tolerations": [], "node_selector": {}}


def test_numbers_that_a_json_parameter_made_floats_are_amounts():
    stays = {"key": "spot", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300.0}
    nodes = Nodes.of(2, OWN, {"gpus": 1.0, "cpu": 2.0, "tolerations": [stays]})
    assert nodes.resources()["limits"] == {"cpu": "2.0", "memory": "4Gi", "nvidia.com/gpu": "1"}
    assert repr(nodes.tolerations[0]["tolerationSeconds"]) == "300", "the API takes no 300.0"


def test_a_misspelt_name_of_what_each_node_gets_is_told():
    with pytest.raises(ConfigurationError, match=r"per_node: found 'gpu', expected only gpus, cpu, memory"):
        Nodes.of(2, OWN, {"gpu": "1"})


@pytest.mark.parametrize(
    ("per_node", "said"),
    [
        ({"gpus": "one"}, "per_node.gpus: found 'one': expected a whole number from 0 to 999"),
        ({"gpus": "1.5"}, "per_node.gpus: found '1.5': expected a whole number"),
        ({"gpus": 1.5}, "per_node.gpus: found 1.5: expected a whole number"),
        ({"cpu": "250m"}, "per_node.cpu: found '250m': expected at least 500m"),
        ({"memory": "16"}, "per_node.memory: found '16': expected at least 256Mi"),
        ({"tolerations": ["gpu"]}, "per_node.tolerations.0: found 'gpu': "),
        ({"node_selector": {"a b": "c"}}, "per_node.node_selector.a b.[key]: found 'a b': expected the key of a label"),
    ],
)
@pytest.mark.parametrize("count", [1, 2])
def test_what_kubernetes_would_not_take_is_told_by_its_name(count, per_node, said):
    with pytest.raises(ConfigurationError) as error:
        Nodes.of(count, OWN, per_node)
    assert str(error.value).startswith(said)


def test_what_the_steps_own_pod_has_is_checked_only_where_nodes_get_it():
    assert Nodes.of(1, OWN | {"memory": "1e9"}, {}) == Nodes()
    assert Nodes.of(2, OWN | {"memory": "1e9"}, {"memory": "2Gi"}).memory == "2Gi"
    with pytest.raises(ConfigurationError, match="train_memory: found '1e9': expected an amount of memory"):
        Nodes.of(2, OWN | {"memory": "1e9"}, {})


@pytest.mark.parametrize("count", [0, -1, 5, 7, 25, 48, 2.0, True, "2"])
def test_a_number_of_nodes_that_cannot_share_the_lanes_is_refused(count):
    with pytest.raises(ConfigurationError, match="expected one of 1, 2, 3, 4, 6, 8, 12, 24: the data are in 24 lanes"):
        Nodes(count)


def test_the_command_is_the_recipe_and_nothing_in_it_is_expanded():
    command = work(settings={"note": "$(HOSTNAME) $5", "epochs": 2}).command()
    assert command[:2] == ["nightshift", "worker"]
    options = dict(zip(command[2::2], command[3::2], strict=True))
    assert json.loads(options["--settings"].replace("$$(", "$(")) == {"note": "$(HOSTNAME) $5", "epochs": 2}
    assert "$$(HOSTNAME)" in options["--settings"]
    told = [options[f"--{name}"] for name in ("task", "seed", "dataset", "run")]
    assert told == ["digits", "7", "/w/d", "run/1"]


def test_the_steps_own_place_for_checkpoints_is_handed_on(monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_CHECKPOINTS", "gs://bucket/checkpoints")
    variables = train_job(work(), Nodes(2), "image", [], OWNER)["spec"]["trainer"]["env"]
    assert {one["name"]: one["value"] for one in variables} == {
        "NIGHTSHIFT_TRAINJOB": f"nightshift-{KEY}",
        "NIGHTSHIFT_NODES": "2",
        "NIGHTSHIFT_CHECKPOINTS": "gs://bucket/checkpoints",
    }


def test_the_image_is_the_steps_own(monkeypatch):
    cluster = FakeTrainer()
    cluster.pods["step-1"] = step_pod("1")
    monkeypatch.setenv("HOSTNAME", "cut-off-after-63-characters")
    monkeypatch.setenv("KFP_POD_NAME", "step-1")
    found = own_pod(cluster)
    assert (found.image, found.uid, found.owner["name"]) == ("train@sha256:1", "1", "step-1")
    assert found.owner["blockOwnerDeletion"] is False, "which would need a right of its own"


def test_a_process_that_is_in_no_pod_is_told_that_it_needs_one(monkeypatch, tmp_path):
    monkeypatch.setattr("nightshift.training.kubernetes.own.NAMESPACE", tmp_path / "absent")
    with pytest.raises(ConfigurationError, match="nodes: training on several nodes needs a cluster"):
        own_namespace()


@pytest.mark.parametrize("fraction", [0.0, 0.00049, 0.3333, 1.0])
def test_progress_is_read_as_it_was_written(fraction):
    read = read_progress(progress_line(fraction, "epoch 1 of 3: loss 0.5"))
    assert read == (pytest.approx(fraction, abs=5e-5), "epoch 1 of 3: loss 0.5")


@pytest.mark.parametrize("line", ["", "run 1: worker 0 of 2", "100% of it", "12.5% done", "x 12.50% done"])
def test_other_lines_are_no_progress(line):
    assert read_progress(line) is None


def test_the_runtime_is_what_the_code_names(runtime, job_template):
    assert runtime["metadata"]["name"] == RUNTIME
    assert "trainer.kubeflow.org/framework" in runtime["metadata"]["labels"]
    assert job_template["name"] == NODE
    labels = job_template["template"]["metadata"]["labels"]
    assert labels == {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
    (container,) = job_template["template"]["spec"]["template"]["spec"]["containers"]
    assert container["name"] == NODE, "Trainer looks for that name"
    assert container["ports"][0]["containerPort"] == int(workers("x", 1)[0].rpartition(":")[2])


def test_its_workers_have_no_more_rights_than_the_steps(job_template):
    pod = job_template["template"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["runAsGroup"] == 65532
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/workspace", "/dev/shm", "/tmp", "/cache"}


def test_a_worker_that_is_lost_restarts_all_and_a_mistake_none(runtime, job_template):
    job, policy = job_template["template"]["spec"], runtime["spec"]["template"]["spec"]["failurePolicy"]
    assert job["backoffLimit"] == 0
    assert job["template"]["spec"]["restartPolicy"] == "Never"
    assert policy["restartStrategy"] == "BlockingRecreate"
    actions = {rule["name"]: rule["action"] for rule in policy["rules"]}
    assert actions == {"mistake": "FailJobSet", "taken": "RestartJobSetAndIgnoreMaxRestarts"}
    codes = [rule["onExitCodes"]["values"] for rule in job["podFailurePolicy"]["rules"] if "onExitCodes" in rule]
    assert codes == [[2, 143]]
    assert "ttlSecondsAfterFinished" not in runtime["spec"]["template"]["spec"], "Trainer would train once more"
