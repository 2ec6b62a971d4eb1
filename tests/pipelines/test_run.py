"""The whole workflow as a person starts it."""

import json
import shlex
import socket

import pytest
from running import free_port, run, status

from nightshift.serving.store import Store
from nightshift.workspace import STEPS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return tmp_path_factory.mktemp("run") / "workspace"


@pytest.fixture(scope="module")
def arguments(workspace):
    server = f"127.0.0.1:{free_port()}"
    return ["digits", "--preset", "blog", "--workspace", workspace, "--server", server, "--json"]


@pytest.fixture(scope="module")
def first(arguments):
    return run(*arguments, "--set", "epochs=8")


def figures(result):
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_the_first_run_ends_with_a_released_model_and_its_figures(first, workspace):
    found = figures(first)
    assert found["task"] == "digits"
    assert found["succeeded"]
    assert found["trained"]
    assert found["blessed"]
    assert found["accuracy"] > 0.95
    assert found["steps"].keys() == set(STEPS)
    assert all(step["seconds"] > 0 and step["cpu_seconds"] > 0 for step in found["steps"].values())
    assert found["version"] == Store(workspace / "models").state("digits").stable
    assert len(found["asked"]) == 3
    assert "digits version" in found["asked"][0]
    page = (workspace / "runs" / found["run"] / "report.html").read_text()
    assert f"{found['accuracy']:.4f}"[:5] in page
    assert found["report"].endswith("report.html")


def test_standard_output_holds_the_figures_only(first):
    assert len(first.stdout.splitlines()) == 1


def test_what_the_steps_link_and_show_is_in_the_artifacts(first, workspace):
    artifacts = workspace / "runs" / figures(first)["run"] / "artifacts"
    names = {path.name for path in artifacts.rglob("*") if path.is_file()}
    for wanted in ("dataset", "samples", "learning_curves", "model", "saved_model", "card", "comparison", "released"):
        assert any(wanted in name for name in names), (wanted, names)


def test_the_same_run_again_finds_nothing_to_do(first, arguments, workspace):
    version = figures(first)["version"]
    again = figures(run(*arguments, "--set", "epochs=8"))
    assert "nothing to do" in again["reason"]
    assert not again["trained"]
    assert again["version"] == version
    assert again["steps"].keys() == {"prepare_data", "report"}
    # Without TensorFlow, whose import alone takes longer; processor time, since the machine may have other work.
    assert again["steps"]["prepare_data"]["cpu_seconds"] < 3


def test_other_settings_train_anew_and_meet_the_serving_model(first, arguments, workspace):
    version = figures(first)["version"]
    found = figures(run(*arguments, "--set", "epochs=1"))
    assert found["trained"]
    assert f"version {version}" in found["reason"] or "is below 0.95" in found["reason"]
    state = Store(workspace / "models").state("digits")
    assert found["blessed"] == (state.stable != version)
    evaluated = workspace / "runs" / found["run"] / "evaluate" / "evaluation.json"
    assert json.loads(evaluated.read_text())["serving"]["version"] == version


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nonsense"], 1, "task 'nonsense': no such task; there are cats_vs_dogs"),
        (["digits", "--preset", "nonsense"], 1, "--preset nonsense: task 'digits' has no such preset"),
        (["digits", "--set", "nonsense=1"], 1, "--set nonsense: no such setting"),
        (["digits", "--set", "epochs=0"], 1, "epochs: found 0, expected at least 1"),
        (["digits", "--set", "epochs"], 2, "expected NAME=VALUE"),
        (["digits", "--seed", "x"], 2, "not a valid integer"),
        (["digits", "--workspace", "s3://bucket"], 1, "workspace: found 's3://bucket', expected the path of a folder"),
        (["digits", "puzzle", "--model", "m"], 2, "--model names one served model"),
        (["digits", "--model", "a/b"], 1, "model 'a/b': expected letters"),
        (["digits", "--server", "nonsense"], 1, "server: found 'nonsense', expected HOST:PORT"),
        (["digits", "--server", "127.0.0.1:0"], 1, "expected HOST:PORT with a port from 1 to 65535"),
        (["digits", "--workspace", "/proc/none"], 1, "workspace: /proc/none cannot be made"),
        (["digits", "--workspace", __file__], 1, f"workspace: {__file__} is not a folder"),
        (["digits", "--workspace", f"{__file__}/w"], 1, f"workspace: {__file__}/w cannot be made: Not a directory"),
        ([], 2, "Missing argument"),
    ],
)
def test_a_mistake_is_one_clear_line(tmp_path, arguments, code, message):
    where = [] if "--workspace" in arguments else ["--workspace", tmp_path / "w"]
    result = run(*arguments, *where)
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    assert message in result.stderr.splitlines()[-1]
    assert not (tmp_path / "w" / "runs").exists()


def test_a_port_that_something_else_has_taken_is_told(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = run("digits", "--workspace", tmp_path / "a workspace", "--server", f"127.0.0.1:{port}")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "the model server ended with exit code 1" in result.stderr
    assert f"port: found {port} on 127.0.0.1, which is taken" in result.stderr


def test_data_that_cannot_be_used_fail_the_run_in_words(tmp_path):
    missing = tmp_path / "missing.zip"
    workspace = tmp_path / "a workspace"
    server = f"127.0.0.1:{free_port()}"
    result = run("digits", "--data", missing, "--workspace", workspace, "--server", server, "--json")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert [line for line in result.stderr.splitlines() if "prepare_data failed" in line and str(missing) in line]
    (advice,) = [line for line in result.stderr.splitlines() if "to keep one:" in line]
    assert shlex.split(advice.partition(":")[2])[-2:] == ["--workspace", str(workspace)]
    found = json.loads(result.stdout)
    assert not found["succeeded"]
    assert found["version"] == 0
    run_path = workspace / "runs" / found["run"]
    assert status(run_path, "prepare_data")["state"] == "failed"
    assert str(missing) in (run_path / "report.html").read_text()
