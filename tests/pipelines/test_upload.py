"""Compiled packages: what they are called, that Kubeflow takes them, and where their images come from."""

import json
import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from google.protobuf import json_format
from kfp import components
from kfp.pipeline_spec import pipeline_spec_pb2

from components.image import IMAGE
from nightshift.tasks.registry import tasks
from pipelines.arguments import Arguments
from pipelines.compile import FOLDER, PIPELINES, choices, main, package, resources
from pipelines.upload import Package

ROOT = Path(__file__).parent.parent.parent
DNS_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@pytest.fixture(scope="module", params=PIPELINES)
def compiled(request):
    return Package((FOLDER / f"{request.param}.yaml").read_text())


@pytest.fixture(scope="module")
def train_and_deploy():
    return Package((FOLDER / "train_and_deploy.yaml").read_text())


def parameters(compiled):
    return compiled.specification["root"]["inputDefinitions"]["parameters"]


def test_kfp_takes_every_package_field_by_field(compiled):
    assert components.load_component_from_text(compiled.text).name == compiled.pipeline
    specification, *platform = yaml.safe_load_all(compiled.text)
    messages = (pipeline_spec_pb2.PipelineSpec(), pipeline_spec_pb2.PlatformSpec())
    for document, message in zip([specification, *platform], messages, strict=False):
        json_format.Parse(json.dumps(document, allow_nan=False), message, ignore_unknown_fields=False)


def test_the_version_is_named_by_the_content(compiled):
    assert compiled.version.startswith(f"{compiled.pipeline}-")
    assert DNS_NAME.fullmatch(compiled.version)
    assert Package(compiled.text).version == compiled.version
    assert Package(compiled.text + "\n").version != compiled.version


def test_compiling_again_gives_the_same_version():
    assert Package(package("train_and_deploy")).version == Package(package("train_and_deploy")).version


def test_every_step_takes_its_image_from_a_parameter_and_that_from_one_place(compiled):
    for name, executor in compiled.specification["deploymentSpec"]["executors"].items():
        assert re.fullmatch(r"\{\{\$\.inputs\.parameters\['[\w-]*image'\]\}\}", executor["container"]["image"]), name
    defaults = {name: each["defaultValue"] for name, each in parameters(compiled).items() if name.endswith("image")}
    assert defaults
    assert set(defaults.values()) == {IMAGE}


def test_no_other_source_names_the_image():
    sources = [file for folder in ("components", "pipelines", "nightshift") for file in (ROOT / folder).rglob("*.py")]
    assert [file.name for file in sources if IMAGE in file.read_text()] == ["image.py"]


def test_a_choice_is_offered_where_it_is_the_same_for_every_task(train_and_deploy):
    offered = {name: each["literals"] for name, each in parameters(train_and_deploy).items() if "literals" in each}
    assert offered == choices()
    assert offered["task"] == sorted(tasks())
    for name, literals in offered.items():
        assert parameters(train_and_deploy)[name]["defaultValue"] in literals


def test_presets_are_no_choice_where_tasks_differ_in_them(monkeypatch):
    one, *others = tasks().values()
    changed = {**{task.name: task for task in others}, "odd": type("Task", (), {"presets": {"default": None}})()}
    monkeypatch.setattr("pipelines.compile.tasks", lambda: {one.name: one, **changed})
    assert choices().keys() == {"task"}


def test_whoever_starts_a_run_can_give_every_parameter(train_and_deploy):
    assert {"task", *Arguments.model_fields} == parameters(train_and_deploy).keys()


def test_the_resources_hold_the_package_with_its_choices(train_and_deploy):
    pipeline, version = resources(train_and_deploy, "profile")
    assert (pipeline["kind"], version["kind"]) == ("Pipeline", "PipelineVersion")
    assert {pipeline["apiVersion"], version["apiVersion"]} == {"pipelines.kubeflow.org/v2beta1"}
    assert pipeline["metadata"] == {"name": "train-and-deploy", "namespace": "profile"}
    assert version["metadata"] == {"name": train_and_deploy.version, "namespace": "profile"}
    assert version["spec"]["pipelineName"] == pipeline["metadata"]["name"]
    specification, platform = yaml.safe_load_all(train_and_deploy.text)
    assert (version["spec"]["pipelineSpec"], version["spec"]["platformSpec"]) == (specification, platform)


def test_the_resources_are_printed_or_written(tmp_path):
    printed = CliRunner().invoke(main, ["--kubernetes", "--namespace", "kubeflow"])
    assert printed.exit_code == 0
    written = CliRunner().invoke(main, ["--kubernetes", "--namespace", "kubeflow", "-o", str(tmp_path)])
    assert written.exit_code == 0
    files = [file.read_text() for file in sorted(tmp_path.iterdir())]
    assert [each for each in yaml.safe_load_all(printed.output) if each] == [
        each for text in files for each in yaml.safe_load_all(text)
    ]


def test_a_namespace_is_that_of_resources():
    result = CliRunner().invoke(main, ["--namespace", "kubeflow"])
    assert result.exit_code == 2
    assert "--kubernetes" in result.output
