"""A sweep as a person starts it, and its pipeline as a cluster gets it."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import yaml
from running import ROOT, free_port, in_session, runs, status, wait_for

from nightshift.serving.store import Store
from pipelines.compile import FOLDER

COMMAND = [sys.executable, "-m", "pipelines.sweep"]


def sweep(*arguments, timeout=280):
    return subprocess.run([*COMMAND, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=timeout)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Ten bars, each at its own height and length: 28x28 pictures that are learnt in an epoch."""
    random = np.random.default_rng(0)
    file = tmp_path_factory.mktemp("data") / "bars.npz"
    labels = np.arange(1000) % 10
    pixels = random.integers(0, 60, (1000, 28, 28))
    for image, label in zip(pixels, labels, strict=True):
        image[2 * label + 3 : 2 * label + 6, 4 : 14 + label] += 180
    arrays = {"x_train": pixels[:800], "y_train": labels[:800], "x_test": pixels[800:], "y_test": labels[800:]}
    np.savez(file, allow_pickle=False, **{name: array.astype(np.uint8) for name, array in arrays.items()})
    return file


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return tmp_path_factory.mktemp("sweep") / "workspace"


@pytest.fixture(scope="module")
def arguments(digits, workspace):
    fixed = ["digits", "--preset", "blog", "--data", digits, "--workspace", workspace, "--json"]
    return [*fixed, "--server", f"127.0.0.1:{free_port()}", "--set", "epochs=6", "--set", "learning_rate=0.003"]


@pytest.fixture(scope="module")
def first(arguments):
    return sweep(*arguments, "--try", "batch_size=32,100000")


def figures(result):
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    return json.loads(result.stdout)


@pytest.mark.slow
def test_a_sweep_ends_with_a_table_and_a_released_winner_though_a_trial_failed(first, workspace):
    found = figures(first)
    assert found["succeeded"]
    assert found["blessed"]
    assert found["accuracy"] > 0.95
    assert found["best"] == "trial-1"
    assert [(trial["name"], trial["state"]) for trial in found["trials"]] == [
        ("trial-1", "succeeded"),
        ("trial-2", "failed"),
    ]
    assert found["version"] == Store(workspace / "models").state("digits").stable
    assert "digits version" in found["asked"][0]
    assert (found["final_settings"]["batch_size"], found["final_settings"]["keep"]) == (32, "last")
    page = (workspace / "runs" / found["run"] / "report.html").read_text()
    assert "Released version" in page
    assert "Trials, the best on the validation split first" in page


@pytest.mark.slow
def test_what_is_evaluated_was_trained_on_the_validation_images_too(first, workspace):
    run = workspace / "runs" / figures(first)["run"]
    choice, prepared = status(run, "choose_settings")["figures"], status(run, "prepare_data")["figures"]
    counts = json.loads((run / "prepare_data" / "dataset.json").read_text())["splits"]
    assert choice["images"] == counts["train"]["count"] + counts["validation"]["count"]
    description = json.loads((workspace / "checkpoints" / choice["key"] / "training.json").read_text())
    assert description["recipe"]["dataset"] == choice["dataset"] != prepared["dataset"]
    assert json.loads((run / "evaluate" / "evaluation.json").read_text())["count"] == counts["test"]["count"]


@pytest.mark.slow
def test_the_same_sweep_again_trains_nothing(first, arguments, workspace):
    version = figures(first)["version"]
    before = set((workspace / "checkpoints").glob("*/training.json"))
    found = figures(sweep(*arguments, "--try", "batch_size=32,100000"))
    assert found["version"] == version
    assert not found["trained"]
    assert "nothing to do" in found["reason"]
    assert set((workspace / "checkpoints").glob("*/training.json")) == before
    assert "Nothing to do" in (workspace / "runs" / found["run"] / "report.html").read_text()


@pytest.mark.slow
def test_an_interruption_ends_the_trials_at_work_and_begins_no_other(arguments, workspace, tmp_path):
    earlier = set(runs(workspace))
    log = tmp_path / "log"
    wanted = [*arguments, "--set", "epochs=2000", "--try", "n_dense=8,16,24,32,40,48"]
    with open(log, "ab") as file:
        process = subprocess.Popen(
            [*COMMAND, *map(str, wanted)], cwd=ROOT, stdout=file, stderr=file, start_new_session=True
        )
    (run,) = wait_for(lambda: set(runs(workspace)) - earlier, process)
    wait_for(lambda: "epoch" in status(run, "trial-1").get("message", ""), process)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(60) == 130, log.read_text()
    assert in_session(process.pid) == []
    assert status(run, "trial-1")["error"] == "interrupted"
    assert status(run, "trial-6") == {}
    assert log.read_text().splitlines()[-1] == "interrupted; the same command goes on where this one stopped"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["digits"], 1, "nothing to try"),
        (["digits", "--try", "nonsense=1,2"], 1, "--try nonsense: no such setting"),
        (["digits", "--try", "width=1.5,2"], 1, "--try width: found '1.5', expected a whole number"),
        (["digits", "--try", "width=8..32"], 1, "--try width: found a range, expected a list"),
        (["digits", "--try", "width=8,16", "--try", "width=32"], 2, "--try names a setting twice"),
        (["digits", "--try", "width=8,16", "--set", "width=32"], 2, "--set and --try both name width"),
        (["digits", "--try", "width=8,16", "--random", "0"], 2, "is not in the range 1<=x<=100"),
        (["digits", "--try", "width=8,16", "--random", "3"], 1, "expected at most the 2 that there are"),
        (["nonsense", "--try", "epochs=1,2"], 1, "task 'nonsense': no such task"),
    ],
)
def test_a_mistake_is_one_clear_line(tmp_path, arguments, code, message):
    result = sweep(*arguments, "--workspace", tmp_path / "w")
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    assert message in result.stderr.splitlines()[-1]
    assert not (tmp_path / "w").exists()


@pytest.fixture(scope="module")
def documents():
    return list(yaml.safe_load_all((FOLDER / "sweep_and_deploy.yaml").read_text()))


@pytest.fixture(scope="module")
def dags(documents):
    specification = documents[0]
    found = [specification["root"], *specification["components"].values()]
    return {name: task for dag in found for name, task in dag.get("dag", {}).get("tasks", {}).items()}


def test_trials_are_a_loop_over_what_was_planned_and_the_choice_waits_for_all(dags):
    (loop,) = [task for task in dags.values() if "parameterIterator" in task]
    assert loop["iteratorPolicy"]["parallelismLimit"] == 4
    assert "plan-sweep" in json.dumps(loop["inputs"])
    trials = dags["choose-settings"]["inputs"]["parameters"]["trials"]["taskOutputParameter"]
    assert trials["producerTask"] == loop["taskInfo"]["name"] or trials["producerTask"].startswith("for-loop")


def test_only_the_winner_meets_the_test_split(dags):
    used = {name: json.dumps(task.get("inputs", {})) for name, task in dags.items()}
    assert [name for name in used if name.startswith("evaluate")] == ["evaluate"]
    assert "choose-settings-merged" in used["train"]
    assert "plan-sweep-dataset" in used["evaluate"]
    assert "plan-sweep-dataset" in used["export"]


def test_no_step_is_cached_and_each_has_its_limits_and_a_user_without_rights(documents, dags):
    executors = documents[0]["deploymentSpec"]["executors"]
    configured = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert executors.keys() == configured.keys()
    assert len(executors) == 8
    for name, executor in executors.items():
        assert {"resourceCpuLimit", "resourceMemoryLimit"} <= executor["container"]["resources"].keys()
        assert configured[name]["activeDeadlineSeconds"]
        assert configured[name]["securityContext"]["runAsNonRoot"] is True
        assert not dags[name.removeprefix("exec-")].get("cachingOptions", {}).get("enableCache", False)


def test_trials_and_the_last_training_are_placed_alike(documents):
    executors = documents[0]["deploymentSpec"]["executors"]
    configured = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    trial, train = (executors[f"exec-{name}"]["container"]["resources"] for name in ("try-settings", "train"))
    assert trial == train
    for aspect in ("tolerations", "nodeSelector", "emptyDirMounts"):
        assert configured["exec-try-settings"][aspect] == configured["exec-train"][aspect]


def test_the_run_form_needs_no_answer(documents):
    parameters = documents[0]["root"]["inputDefinitions"]["parameters"]
    assert all("defaultValue" in parameter for parameter in parameters.values())
    assert parameters["tried"]["defaultValue"]
