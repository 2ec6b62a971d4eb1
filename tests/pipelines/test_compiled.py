"""The YAML that is uploaded in the Kubeflow UI."""

import json

import pytest
import yaml
from click.testing import CliRunner
from kfp import components

from components.image import IMAGE
from nightshift.kubernetes.placing import LEAST_CPU
from nightshift.tasks.registry import tasks
from pipelines.arguments import Arguments, arguments
from pipelines.compile import FOLDER, PIPELINES, main, package

STEPS = {"prepare-data", "train", "evaluate", "export", "deploy", "report"}


@pytest.fixture(scope="module")
def documents():
    return list(yaml.safe_load_all((FOLDER / "train_and_deploy.yaml").read_text()))


@pytest.fixture(scope="module")
def specification(documents):
    return documents[0]


@pytest.fixture(scope="module")
def steps(specification):
    """Every task that runs a container, by name."""
    dags = [specification["root"], *specification["components"].values()]
    found = {name: task for dag in dags for name, task in dag.get("dag", {}).get("tasks", {}).items()}
    return {name: task for name, task in found.items() if name in STEPS}


@pytest.mark.parametrize("name", PIPELINES)
def test_the_committed_file_is_what_the_sources_say(name):
    assert (FOLDER / f"{name}.yaml").read_text() == package(name), "stale; run `make compile`"


def test_every_committed_file_belongs_to_a_pipeline():
    assert {path.stem for path in FOLDER.iterdir()} == set(PIPELINES)


def test_the_command_writes_the_same(tmp_path):
    result = CliRunner().invoke(main, ["-o", str(tmp_path / "new")])
    assert result.exit_code == 0
    for name in PIPELINES:
        assert (tmp_path / "new" / f"{name}.yaml").read_text() == package(name)


def test_kfp_accepts_it():
    loaded = components.load_component_from_file(str(FOLDER / "train_and_deploy.yaml"))
    assert loaded.name == "train-and-deploy"


def test_every_step_is_there_and_none_is_cached(steps):
    assert steps.keys() == STEPS
    for task in steps.values():
        assert not task.get("cachingOptions", {}).get("enableCache", False)


def test_every_step_has_a_name_for_people(steps):
    names = {task["taskInfo"]["name"] for task in steps.values()}
    assert names == {"Prepare data", "Train", "Evaluate", "Export", "Deploy", "Report"}


def test_the_report_is_the_exit_handler(steps):
    assert steps["report"]["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"
    assert {name for name, task in steps.items() if "strategy" in task.get("triggerPolicy", {})} == {"report"}


def test_a_failed_step_is_tried_again_where_that_helps(steps):
    tries = {name: task.get("retryPolicy", {}).get("maxRetryCount", 0) for name, task in steps.items()}
    assert tries == {"prepare-data": 1, "train": 2, "evaluate": 1, "export": 1, "deploy": 0, "report": 0}


def container(specification, name):
    return specification["deploymentSpec"]["executors"][f"exec-{name}"]["container"]


def test_the_train_step_asks_for_its_gpus_cpu_and_memory(specification):
    resources = container(specification, "train")["resources"]
    assert resources["accelerator"]["resourceType"] == "nvidia.com/gpu"
    assert "pipelinechannel--train_gpus" in resources["accelerator"]["resourceCount"]
    assert "pipelinechannel--train_cpu" in resources["resourceCpuLimit"]
    assert "pipelinechannel--train_memory" in resources["resourceMemoryLimit"]
    for other in STEPS - {"train"}:
        assert "accelerator" not in container(specification, other).get("resources", {})


def test_the_train_step_has_shared_memory(documents):
    (mount,) = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-train"]["emptyDirMounts"]
    assert (mount["mountPath"], mount["medium"], mount["sizeLimit"]) == ("/dev/shm", "Memory", "2Gi")


def test_no_step_installs_packages_when_it_starts(specification):
    for name in STEPS:
        assert "pip install" not in json.dumps(container(specification, name)["command"])


def test_the_images_are_parameters_and_their_default_is_named_in_one_place(specification):
    images = {name: container(specification, name)["image"] for name in STEPS}
    assert images.pop("train") == "{{$.inputs.parameters['pipelinechannel--train_image']}}"
    assert set(images.values()) == {"{{$.inputs.parameters['pipelinechannel--image']}}"}
    parameters = specification["root"]["inputDefinitions"]["parameters"]
    assert {parameters[name]["defaultValue"] for name in ("image", "train_image")} == {IMAGE}


def test_every_step_has_limits_a_time_limit_the_workspace_and_a_user_without_rights(specification, documents):
    configured = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for name in STEPS:
        assert {"resourceCpuLimit", "resourceMemoryLimit"} <= container(specification, name)["resources"].keys()
        pod = configured[f"exec-{name}"]
        assert pod["activeDeadlineSeconds"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert [mount["mountPath"] for mount in pod["pvcMount"]] == ["/workspace"]
        assert pod["configMapAsEnv"][0]["optional"] is True


def test_the_train_step_is_placed_by_parameters(documents):
    placed = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-train"]
    assert "pipelinechannel--train_tolerations" in json.dumps(placed["tolerations"])
    assert "pipelinechannel--train_node_selector" in json.dumps(placed["nodeSelector"])


def test_the_train_step_is_told_of_nodes_and_what_each_gets(specification):
    (task,) = (
        dag["dag"]["tasks"]["train"]
        for dag in specification["components"].values()
        if "train" in dag.get("dag", {}).get("tasks", {})
    )
    given = task["inputs"]["parameters"]
    assert given["nodes"] == {"componentInputParameter": "pipelinechannel--train_nodes"}
    assert given["per_node"] == {"componentInputParameter": "pipelinechannel--train_per_node"}


def test_flags_of_beam_reach_the_preparation_and_it_has_a_day_for_large_data(specification, documents):
    (task,) = (
        dag["dag"]["tasks"]["prepare-data"]
        for dag in specification["components"].values()
        if "prepare-data" in dag.get("dag", {}).get("tasks", {})
    )
    assert task["inputs"]["parameters"]["beam_flags"] == {"componentInputParameter": "pipelinechannel--beam_flags"}
    configured = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-prepare-data"]
    assert configured["activeDeadlineSeconds"] == str(24 * 3600)


def test_only_the_report_sees_the_webhook(documents):
    configured = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert {name for name, pod in configured.items() if "secretAsEnv" in pod} == {"exec-report"}


def test_the_run_form_lists_the_tasks_and_needs_no_answer(specification):
    parameters = specification["root"]["inputDefinitions"]["parameters"]
    assert parameters["task"]["literals"] == sorted(tasks())
    assert parameters["task"]["defaultValue"] in tasks()
    assert all("defaultValue" in parameter for parameter in parameters.values())


def test_parameters_and_what_is_checked_before_a_run_are_the_same(specification):
    parameters = specification["root"]["inputDefinitions"]["parameters"]
    assert parameters.keys() == Arguments.model_fields.keys() | {"task"}


def test_parameters_that_are_the_train_steps_alone_say_so(specification):
    parameters = specification["root"]["inputDefinitions"]["parameters"]
    of_train = {name for name, parameter in parameters.items() if "train step" in parameter["description"]}
    assert of_train == {name for name in parameters if name.startswith("train_")}
    assert len(of_train) == 8


def test_the_defaults_of_the_train_step_pass_the_checks(specification):
    parameters = specification["root"]["inputDefinitions"]["parameters"]
    defaults = {name: parameters[name]["defaultValue"] for name in parameters if name.startswith("train_")}
    defaults["train_nodes"] = int(defaults["train_nodes"])  # kfp writes whole numbers as floats
    assert arguments(defaults).model_dump(exclude_none=True) == defaults


def test_the_least_of_processors_is_what_the_train_step_asks_for(specification):
    assert container(specification, "train")["resources"]["resourceCpuRequest"] == LEAST_CPU


def test_it_can_be_uploaded(specification):
    assert specification["schemaVersion"] == "2.1.0"
    name = specification["pipelineInfo"]["name"]
    assert name == name.lower()
    assert len(name) <= 128
    json.dumps(specification, allow_nan=False)
