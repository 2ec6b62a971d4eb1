"""The pipeline that brings in a published model: as it is uploaded, and as a person runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from running import ROOT, free_port

from components.import_model import import_model
from nightshift.steps import import_model as step
from nightshift.steps.import_model import ImportStep
from pipelines.compile import FOLDER
from pipelines.import_model import main


@pytest.fixture(scope="module")
def specification():
    return next(yaml.safe_load_all((FOLDER / "import_and_deploy.yaml").read_text()))


def test_the_run_form_offers_the_tasks_that_are_imported(specification):
    parameters = specification["root"]["inputDefinitions"]["parameters"]
    assert parameters["task"]["literals"] == ["detection"]
    assert parameters["source"]["defaultValue"] == "bundled:mtcnn"


def test_it_deploys_only_what_is_new_and_reports_always(specification):
    dags = [specification["root"], *specification["components"].values()]
    tasks = {name: task for dag in dags for name, task in dag.get("dag", {}).get("tasks", {}).items()}
    assert {"import-model", "deploy", "report"} <= tasks.keys()
    for name in ("import-model", "deploy", "report"):
        assert not tasks[name].get("cachingOptions", {}).get("enableCache")
    conditions = {task.get("triggerPolicy", {}).get("condition") for task in tasks.values()} - {None}
    assert conditions == {"inputs.parameter_values['pipelinechannel--import-model-Output'] == true"}
    assert tasks["report"]["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"


class File:
    def __init__(self, path: Path) -> None:
        self.path, self.metadata = str(path), {}


@pytest.mark.parametrize(("due", "card"), [(True, "# detection"), (False, "")])
def test_the_component_says_whether_there_is_anything_to_release(due, card, tmp_path, monkeypatch):
    given = {}

    def do(run, workspace, store, **arguments):
        given.update(arguments)
        return ImportStep(due, "nothing to do" if not due else "nothing serves yet", tmp_path / "model", card)

    monkeypatch.setattr(step, "import_model", do)
    saved_model, page = File(tmp_path / "saved_model"), File(tmp_path / "card")
    answer = import_model.python_func(
        task="detection",
        model_name="",
        source="bundled:mtcnn",
        workspace=str(tmp_path),
        server="127.0.0.1:1",
        run_id="run",
        saved_model=saved_model,
        card=page,
    )
    assert answer is due
    assert given["model"] == "detection"
    assert json.loads(Path(saved_model.path).read_text())["path"] == str(tmp_path / "model")
    assert Path(page.path).read_text() == (card or "nothing to do\n")


def test_a_trained_task_is_refused_at_once(tmp_path):
    result = CliRunner().invoke(main, ["digits", "bundled:mtcnn", "--workspace", str(tmp_path / "workspace")])
    assert result.exit_code == 1
    assert "its models are trained, not imported" in result.output
    assert not (tmp_path / "workspace").exists()


@pytest.mark.slow
def test_as_a_person_runs_it(tmp_path):
    arguments = ["detection", "bundled:mtcnn", "--model", "faces", "--workspace", tmp_path, "--json"]
    command = [sys.executable, "-m", "pipelines.import_model", *map(str, arguments)]
    address = f"127.0.0.1:{free_port()}"
    run = subprocess.run([*command, "--server", address], cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert run.returncode == 0, run.stderr
    figures = json.loads(run.stdout)
    assert (figures["task"], figures["source"], figures["succeeded"]) == ("detection", "bundled:mtcnn", True)
    assert figures["steps"].keys() == {"export", "deploy", "report"}
    (answer,) = figures["asked"]
    assert answer.startswith(f"faces version {figures['version']}: astronaut.png shows Human face (99.9%) at x 0.35")
