"""The steps by hand, and what they leave on record when they fail."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from nightshift.cli import main
from nightshift.data.prepare import prepare
from nightshift.errors import ReleaseError, StoreError
from nightshift.files import write_json
from nightshift.serving.client import Client
from nightshift.serving.embedded import server as embedded
from nightshift.serving.release import champion, check_same_store
from nightshift.serving.store import Store
from nightshift.steps.deploy import deploy
from nightshift.tasks.registry import task
from nightshift.workspace import Workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    place = Workspace(tmp_path_factory.mktemp("steps") / "workspace")
    prepare(task("digits"), "", place)
    return place


@pytest.fixture(scope="module")
def server(workspace):
    store = Store(workspace.models)
    running = embedded.start(store.server_config(), options=embedded.ServerOptions(labels_for_unavailable=True))
    yield f"127.0.0.1:{running.port}"
    running.stop()


WITHOUT_TENSORFLOW = """
import sys
from pathlib import Path
from nightshift.serving.store import Store
from nightshift.steps.prepare_data import prepare_data
from nightshift.steps.report import report
from nightshift.workspace import Workspace
workspace = Workspace(Path(sys.argv[1]))
store = Store(workspace.models)
run = workspace.run("by-script")
prepared = prepare_data(run, workspace, store, task="digits", model="digits", source="", preset="blog", settings={},
                        seed=0, server=sys.argv[2])
assert prepared.dataset.reused and prepared.train, prepared.reason
report(run)
print(*sorted({"tensorflow", "keras", "sklearn", "kfp"} & sys.modules.keys()))
"""


def test_prepared_data_are_found_again_and_reported_without_tensorflow(workspace, server):
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, workspace.root, server]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == ""
    assert "nothing serves as digits yet" in result.stdout


@pytest.mark.slow
def test_all_steps_by_hand_end_with_a_model_that_answers(workspace, server):
    where = ["--run", "by-hand", "--workspace", str(workspace.root)]
    steps = (
        ["prepare-data", "digits", "--preset", "blog", "--set", "epochs=8", "--server", server],
        ["train"],
        ["evaluate", "--server", server],
        ["export"],
        ["deploy", "--server", server],
        ["report"],
    )
    for step in steps:
        result = CliRunner().invoke(main, ["step", *step, *where])
        assert result.exit_code == 0, (step, result.output)
    statuses = workspace.run("by-hand").statuses()
    assert {status["state"] for status in statuses.values()} == {"succeeded"}
    assert Store(workspace.models).state("digits").stable == statuses["deploy"]["figures"]["version"]
    assert (workspace.root / "runs" / "by-hand" / "report.html").exists()
    evaluation = json.loads((workspace.root / "runs" / "by-hand" / "evaluate" / "evaluation.json").read_text())
    assert evaluation["metrics"]["accuracy"] > 0.9


def judged(run, *, blessed):
    decision = {"blessed": blessed, "reason": "accuracy 0.9320 is below 0.95"}
    write_json(run.path / "evaluate" / "evaluation.json", {"decision": decision})


def test_what_evaluate_did_not_bless_is_not_released_by_hand_either(workspace, server, tmp_path):
    run = workspace.run("not-blessed")
    with pytest.raises(ReleaseError, match=r"evaluation\.json: not there; evaluate the model first"):
        deploy(run, Store(workspace.models), model="other", saved_model=tmp_path, server=server)
    judged(run, blessed=False)
    with pytest.raises(ReleaseError, match=r"did not bless it: accuracy 0\.9320 is below 0\.95"):
        deploy(run, Store(workspace.models), model="other", saved_model=tmp_path, server=server)
    assert "other" not in Store(workspace.models).models()


def test_a_server_of_another_workspace_is_refused_before_anything_is_trained(tmp_path):
    other = Store(tmp_path / "other" / "models")
    options = embedded.ServerOptions(store=other.identity)
    running = embedded.start(other.server_config(), options=options)
    try:
        with Client(f"127.0.0.1:{running.port}") as client:
            check_same_store(other, client)
            with pytest.raises(StoreError, match="serves another workspace's models than"):
                champion(Store(tmp_path / "mine" / "models"), "new", client)
    finally:
        running.stop()


def test_a_refused_release_is_on_record_and_nothing_was_released(workspace, server, tmp_path):
    run = workspace.run("refused")
    judged(run, blessed=True)
    with pytest.raises(StoreError, match="half written or not one of ours"):
        deploy(run, Store(workspace.models), model="other", saved_model=tmp_path, server=server)
    status = run.statuses()["deploy"]
    assert status["state"] == "failed"
    assert "half written or not one of ours" in status["error"]
    assert "Traceback" not in status["error"]
    assert status["figures"] == {"model": "other", "released": False}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "task 'nonsense': no such task"),
        (["digits", "--preset", "nonsense"], "--preset nonsense: task 'digits' has no such preset"),
        (["digits", "--set", "epochs=many"], "--set epochs: found 'many', expected a number"),
        (["digits", "--server", "127.0.0.1:1"], "no model server answers at 127.0.0.1:1"),
    ],
)
def test_a_mistake_is_in_words_and_on_record(workspace, server, arguments, message):
    command = ["step", "prepare-data", "--server", server, "--run", "mistake", "--workspace", str(workspace.root)]
    result = CliRunner().invoke(main, [*command, *arguments])
    assert result.exit_code == 1
    assert message in result.stderr
    status = workspace.run("mistake").statuses()["prepare_data"]
    assert status["state"] == "failed"
    assert message in status["error"]
