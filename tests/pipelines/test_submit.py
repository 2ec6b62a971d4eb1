"""Runs in Kubeflow Pipelines: what is checked before one is started, and how it is shown. See tests/cluster, too."""

import io
import itertools
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
import yaml
from click.testing import CliRunner
from kubeflow_api import serving
from rich.console import Console

from nightshift.errors import ConfigurationError
from nightshift.tasks.registry import tasks
from pipelines import submit, watch
from pipelines.arguments import arguments
from pipelines.compile import FOLDER
from pipelines.endpoint import EndpointError
from pipelines.failure import LONGEST, error_in
from pipelines.pods import toleration
from pipelines.runs import Run, Step, read_run, step_names

NEVER = datetime(1, 1, 1, tzinfo=UTC)

LOG = """I1122 18:43:20.840449      15 launcher_v2.go:180] executing
loading the data
{traceback}
E1122 18:43:23.830669      15 launcher_v2.go:449] Component failed to execute successfully: exit status 1
I1122 18:43:23.858322      15 launcher_v2.go:206] publish success.
F1122 18:43:23.874961      15 main.go:130] failed to execute component: exit status 1
time=2026-11-22T18:43:24.522Z level=INFO msg="sub-process exited" argo=true error="exit status 1"
Error: exit status 1
"""

TRACEBACK = """Traceback (most recent call last):
  File "/app/nightshift/data/prepare.py", line 7, in prepare
    raise DataError("photos.zip: found no image")
nightshift.errors.DataError: photos.zip: found no image"""


def at(seconds):
    return datetime(2026, 11, 22, 2, 0, seconds, tzinfo=UTC)


def detail(name, state, start=0, end=None, nodes=()):
    return SimpleNamespace(
        display_name=name,
        state=state,
        start_time=at(start),
        end_time=at(end) if end is not None else NEVER,
        child_tasks=[SimpleNamespace(pod_name=node) for node in nodes],
    )


def kubeflow_with(state, *details):
    found = SimpleNamespace(
        display_name="digits",
        state=state,
        error=None,
        created_at=at(0),
        finished_at=at(30) if state != "RUNNING" else NEVER,
        run_details=SimpleNamespace(task_details=list(details)),
    )
    return SimpleNamespace(runs=SimpleNamespace(run_service_get_run=lambda run_id: found))


NAMES = {"prepare-data": "Prepare data", "train": "Train", "report": "Report"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing"], "task 'nothing': no such task"),
        (["digits", "--preset", "none"], "--preset none"),
        (["digits", "--set", "epoch=3"], "--set epoch: no such setting"),
        (["digits", "--set", "epochs=many"], "--set epochs: found 'many'"),
        (["digits", "--memory", "4Q"], "train_memory: expected an amount of memory"),
        (["digits", "--memory", "12"], "train_memory: expected at least 256Mi, found '12'"),
        (["digits", "--cpu", "0"], "train_cpu: expected at least 500m, found '0'"),
        (["digits", "--cpu", "4Gi"], "train_cpu: expected an amount of processors"),
        (["digits", "--gpus", "-1"], "train_gpus: expected a whole number"),
        (["digits", "--beam-flag=--runner=DirectRunner", "--beam-flag="], "beam_flags.1: "),
        (["digits", "--train-nodes", "5"], "train_nodes: expected one of 1, 2, 3, 4, 6, 8, 12, 24"),
        (["digits", "--train-nodes", "two"], "'two' is not a valid integer"),
        (["digits", "--image", "nightshift"], "image: "),
        (["digits", "--model", "../x"], "model: cannot be the name of a Service: expected at most 30 letters"),
        (["digits", "--model", "9x"], "model: cannot be the name of a Service"),
        (["digits", "--tolerate=-a:NoSchedule"], "train_tolerations.0.key: expected the key of a label"),
        (["digits", "--node", "a b=c"], "train_node_selector.a b.[key]: expected the key of a label"),
        (["digits", "--node", "a=b c"], "train_node_selector.a: expected the value of a label"),
        (["digits", "--tolerate", "a=b:Never"], "--tolerate: found 'a=b:Never'"),
        (["digits", "puzzle", "--model", "x"], "--model names one served model"),
        (["digits", "--seed", "-1"], "--seed"),
        (["digits", "--label", "x"], "NAME=VALUE"),
    ],
)
def test_a_mistake_is_told_before_anything_is_sent(words, said):
    with serving() as api:
        result = CliRunner().invoke(submit.main, [*words, "--endpoint", api.url])
        assert result.exit_code in (1, 2)
        assert said in result.output
        assert not api.asked


def test_what_is_not_given_is_left_to_the_version_that_runs():
    assert arguments({}).of_task("digits") == {"task": "digits"}
    assert arguments({"train_gpus": 1, "seed": 0, "settings": {"epochs": 3}}).of_task("digits") == {
        "task": "digits",
        "train_gpus": "1",
        "seed": 0,
        "settings": {"epochs": 3},
    }


def test_an_image_is_that_of_all_steps_unless_train_has_its_own():
    one = arguments({"image": "registry/train:1"}).of_task("digits")
    assert one["train_image"] == one["image"] == "registry/train:1"
    two = arguments({"image": "registry/train:1", "train_image": "registry/gpu@sha256:" + "0" * 64})
    assert two.of_task("digits")["train_image"].startswith("registry/gpu@")


def test_on_several_nodes_the_step_itself_reserves_nothing_of_what_they_get():
    selector, tolerations = {"spot": "true"}, [{"key": "spot", "operator": "Exists"}]
    asked = {"train_gpus": 1, "train_cpu": 4, "train_memory": "16Gi"}
    asked |= {"train_node_selector": selector, "train_tolerations": tolerations}
    alone = arguments({**asked, "train_nodes": 1}).of_task("digits")
    assert (alone["train_gpus"], alone["train_node_selector"], alone["train_nodes"]) == ("1", selector, 1)
    assert "train_per_node" not in alone
    together = arguments({**asked, "train_nodes": 2, "train_per_node": {"memory": "32Gi"}}).of_task("digits")
    assert together == {
        "task": "digits",
        "train_nodes": 2,
        "train_per_node": {
            "gpus": "1",
            "cpu": "4",
            "memory": "32Gi",
            "node_selector": selector,
            "tolerations": tolerations,
        },
    }


@pytest.mark.parametrize("per_node", [{"gpu": "1"}, {"gpus": "many"}, {"memory": "4Q"}, {"tolerations": [{}]}, []])
def test_what_each_node_gets_is_checked(per_node):
    with pytest.raises(ConfigurationError, match="train_per_node"):
        arguments({"train_nodes": 2, "train_per_node": per_node})


@pytest.mark.parametrize("settings", [{"epochs": None}, {"epochs": [3]}, {"a b": 1}, {str(n): 1 for n in range(101)}])
def test_settings_are_plain_values(settings):
    with pytest.raises(ConfigurationError, match="settings"):
        arguments({"settings": settings})


@pytest.mark.parametrize(
    ("taint", "expected"),
    [
        ("gpu", {"key": "gpu", "operator": "Exists"}),
        ("nvidia.com/gpu:NoSchedule", {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}),
        ("a=b:NoExecute", {"key": "a", "operator": "Equal", "value": "b", "effect": "NoExecute"}),
    ],
)
def test_taints_are_written_as_kubectl_writes_them(taint, expected):
    assert toleration(taint) == expected
    assert given_back("train_tolerations", [expected]) == [expected]


def given_back(name, value):
    return arguments({name: value}).of_task("digits")[name]


@pytest.mark.parametrize("amount", ["256Mi", "1Gi", "0.25Gi", "300M", 268435456, "268435456", "268435456000m", "1T"])
def test_amounts_of_memory_go_as_they_are(amount):
    assert given_back("train_memory", amount) == str(amount)


@pytest.mark.parametrize(
    "amount", ["12", 12, "255Mi", "268435455", "4", "16m", "1k", "0Gi", "-1Gi", "1e9", "\u0663Gi", "8gb", True, ""]
)
def test_amounts_of_memory_that_start_nothing_are_refused(amount):
    with pytest.raises(ConfigurationError, match=r"train_memory: expected .*256Mi"):
        arguments({"train_memory": amount})


@pytest.mark.parametrize("amount", [4, 0.5, "500m", "2.5", "64"])
def test_amounts_of_processors_go_as_they_are(amount):
    assert given_back("train_cpu", amount) == str(amount)


@pytest.mark.parametrize("amount", ["499m", "0.1", "4G", float("nan"), float("inf")])
def test_amounts_of_processors_are_not_less_than_the_step_asks_for(amount):
    with pytest.raises(ConfigurationError, match=r"train_cpu: expected .*500m"):
        arguments({"train_cpu": amount})


@pytest.mark.parametrize("model", ["x" * 31, "-x", "x-", "_", "", "x.y", "x/y", "1st", "\u00e4"])
def test_a_model_is_named_as_its_service_can_be(model):
    with pytest.raises(ConfigurationError, match="model: cannot be the name of a Service"):
        arguments({"model": model})


def test_tasks_and_plain_names_are_names_of_models():
    for model in (*tasks(), "x" * 30, "a_b-2"):
        assert given_back("model", model) == model


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"kee": "x"}, r"train_tolerations\.0\.kee: no such field"),
        ({"key": "x", "operator": "In"}, r"train_tolerations\.0\.operator: .*'Exists' or 'Equal', found 'In'"),
        ({"key": "x", "effect": "Never"}, r"train_tolerations\.0\.effect: .*'NoSchedule'.*, found 'Never'"),
        ({"key": "x y"}, r"train_tolerations\.0\.key: "),
        ({"key": "x", "value": "y z"}, r"train_tolerations\.0\.value: "),
        ({"key": "x", "value": True}, r"train_tolerations\.0\.value: "),
        ({}, r"train_tolerations\.0: expected a key"),
        ({"value": "y"}, r"train_tolerations\.0: expected a key"),
        ({"key": "x", "operator": "Exists", "value": "y"}, r"train_tolerations\.0: expected no value"),
        ({"key": "x", "tolerationSeconds": 5}, r"train_tolerations\.0: expected tolerationSeconds with"),
        ({"key": "x", "effect": "NoExecute", "tolerationSeconds": "5"}, r"train_tolerations\.0\.tolerationSeconds: "),
        ("x", r"train_tolerations\.0: .*found 'x'"),
    ],
)
def test_tolerations_have_what_kubernetes_knows(wrong, place):
    with pytest.raises(ConfigurationError, match=place):
        arguments({"train_tolerations": [wrong]})


def test_tolerations_go_as_they_are():
    plain = [{"operator": "Exists"}, {"key": "a", "effect": "NoExecute", "tolerationSeconds": 5}]
    assert given_back("train_tolerations", plain) == plain


@pytest.mark.parametrize("key", ["", "a/", "/a", "a/b/c", "A.b/c", "a..b/c", "-a", "a-", "x" * 64, f"{'x' * 254}/a"])
def test_labels_of_nodes_have_the_syntax_of_kubernetes(key):
    with pytest.raises(ConfigurationError, match=r"train_node_selector\..*expected the key of a label"):
        arguments({"train_node_selector": {key: "a"}})


@pytest.mark.parametrize("value", ["-a", "a_", "a/b", "x" * 64, "a\n", "\u00e4"])
def test_values_of_labels_have_the_syntax_of_kubernetes(value):
    with pytest.raises(ConfigurationError, match=r"train_node_selector\.a: expected the value of a label"):
        arguments({"train_node_selector": {"a": value}})


def test_labels_of_nodes_go_as_they_are():
    plain = {"kubernetes.io/arch": "amd64", "A_b.c": "", f"{'x' * 63}.a-b/{'y' * 63}": "Z" * 63}
    assert given_back("train_node_selector", plain) == plain


@pytest.mark.parametrize("server", ["server:8500", "[::1]:8500", "kubernetes:nightshift-serving"])
def test_a_server_is_an_address_or_a_namespace(server):
    assert given_back("server", server) == server


@pytest.mark.parametrize(
    "server", ["", "server", "server:0", "server:70000", "kubernetes:", "kubernetes:A", "http://a/"]
)
def test_what_is_no_server_is_refused(server):
    with pytest.raises(
        ConfigurationError, match=f"server: expected HOST:PORT or kubernetes:NAMESPACE, found '{server}'"
    ):
        arguments({"server": server})


def test_the_steps_are_those_that_run_a_container():
    specification = next(yaml.safe_load_all((FOLDER / "train_and_deploy.yaml").read_text()))
    assert step_names(specification) == NAMES | {"evaluate": "Evaluate", "export": "Export", "deploy": "Deploy"}


def test_steps_are_shown_in_the_order_in_which_they_began():
    kubeflow = kubeflow_with(
        "RUNNING",
        detail("train-driver", "SUCCEEDED", 20, 23),
        detail("root-driver", "SUCCEEDED", 1, 2),
        detail("prepare-data-driver", "SUCCEEDED", 3, 4),
        detail("condition-2", "RUNNING", 19),
        detail("prepare-data", "SUCCEEDED", 5, 17),
        detail("report", None, 0, 0),
    )
    run = read_run(kubeflow, "1", NAMES)
    assert run.steps == (
        Step("prepare-data", "Prepare data", "succeeded", 12.0),
        Step("train", "Train", "starting", 3.0),
    )
    assert not run.ended


def test_a_step_that_failed_is_found_with_the_nodes_that_may_say_why():
    kubeflow = kubeflow_with(
        "FAILED",
        detail("report", "SUCCEEDED", 20, 29, ["w-9"]),
        detail("executor", "FAILED", 6, 17, ["w-2", "w-3"]),
        detail("train", "FAILED", 5, 18, ["w-1"]),
        detail("root", "FAILED", 1, 30, ["w-0"]),
    )
    run = read_run(kubeflow, "1", NAMES)
    assert run.failed_step == Step("train", "Train", "failed", 13.0)
    assert run.failed_nodes == ("w-1", "w-2", "w-3")
    assert run.settled
    assert run.seconds == 30


def test_the_error_is_the_last_line_of_the_last_traceback():
    expected = "nightshift.errors.DataError: photos.zip: found no image"
    assert error_in(LOG.format(traceback=TRACEBACK)) == expected
    chained = TRACEBACK.replace("DataError", "Other") + "\n\nDuring handling of it:\n\n" + TRACEBACK + "\ngoing on"
    assert error_in(LOG.format(traceback=chained)) == expected


def test_the_error_of_what_is_not_python_is_its_last_line_about_one():
    assert error_in(LOG.format(traceback="sh: python: Killed\nbye")) == "sh: python: Killed"
    assert error_in(
        LOG.format(traceback="").replace("successfully: exit status 1", "successfully: signal: killed")
    ) == ("signal: killed")
    assert error_in("") == ""
    assert error_in("all is well") == ""
    assert len(error_in(TRACEBACK + "x" * 10_000)) == LONGEST


def following(*states):
    """A `read` that gives one run in these states, one after the other."""
    each = iter(states)
    last = []

    def read():
        state, *steps = next(each, None) or last[0]
        last[:] = [(state, *steps)]
        return [Run("1", "digits", state, "", 1.0, tuple(Step(s, NAMES[s], how, 1.0) for s, how in steps), ())]

    return read


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.0)


def shown(read, *, terminal=False, timeout=0.0):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    runs = watch.watch(read, console, timeout)
    return runs, console.file.getvalue()


def test_each_change_of_a_state_is_a_line(quick):
    read = following(
        ("PENDING",),
        ("RUNNING", ("train", "starting")),
        ("RUNNING", ("train", "running")),
        ("RUNNING", ("train", "running")),
        ("SUCCEEDED", ("train", "succeeded"), ("report", "succeeded")),
    )
    (run,), text = shown(read)
    assert run.state == "SUCCEEDED"
    assert [line.split()[1:3] for line in text.splitlines()] == [
        ["Train", "starting"],
        ["Train", "running"],
        ["Train", "succeeded"],
        ["Report", "succeeded"],
    ]


def test_a_step_that_is_under_way_is_told_again(quick, monkeypatch):
    monkeypatch.setattr(watch, "time", Clock())
    training = [("RUNNING", ("prepare-data", "succeeded"), ("train", "running"))] * 70
    _, text = shown(following(*training, ("SUCCEEDED", ("train", "succeeded"))))
    assert [line.split()[1:-2] for line in text.splitlines()] == [
        ["Prepare", "data", "succeeded"],
        *[["Train", "running"]] * 3,
        ["Train", "succeeded"],
    ]


def test_an_ended_run_has_no_step_under_way(quick, monkeypatch):
    monkeypatch.setattr(watch, "time", Clock(step=60.0))
    _, text = shown(following(("FAILED", ("report", "running"))))
    assert len(text.splitlines()) == 1


class Clock:
    """Goes on by `step` seconds a sleep."""

    def __init__(self, step=1.0):
        self._now, self._step = 0.0, step

    def monotonic(self):
        return self._now

    def sleep(self, seconds):
        self._now += self._step


def test_a_terminal_has_a_table(quick):
    _, text = shown(following(("RUNNING", ("train", "running")), ("FAILED", ("train", "failed"))), terminal=True)
    assert "failed" in text
    assert "\x1b[31m" in text


def test_the_last_word_on_the_steps_is_waited_for_but_not_for_ever(quick):
    (run,), _ = shown(following(("FAILED", ("report", "running")), ("FAILED", ("report", "succeeded"))))
    assert run.settled
    (run,), _ = shown(following(("FAILED", ("report", "running"))))
    assert not run.settled


def test_the_time_to_wait_can_be_limited(quick):
    (run,), _ = shown(following(("RUNNING",)), timeout=0.05)
    assert not run.ended


def test_an_api_that_is_away_for_a_moment_is_asked_again(quick):
    states = following(("RUNNING",), ("SUCCEEDED",))
    number = itertools.count()

    def read():
        if next(number) % 2:
            raise EndpointError("away")
        return states()

    (run,), _ = shown(read)
    assert run.ended


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_ends_the_waiting(quick, status):
    def read():
        raise EndpointError("no", status)

    with pytest.raises(EndpointError):
        shown(read)


def test_an_api_that_stays_away_ends_the_waiting(quick, monkeypatch):
    monkeypatch.setattr(watch, "PATIENCE_SECONDS", 0.05)

    def read():
        raise EndpointError("away")

    with pytest.raises(EndpointError):
        shown(read)


def test_an_interruption_leaves_the_runs_running_and_says_so(monkeypatch, capsys):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "watch", interrupted)
    with pytest.raises(SystemExit) as end:
        submit._waited(SimpleNamespace(), {"digits": "1"}, {}, 0)
    assert end.value.code == 130
    assert "the runs go on" in capsys.readouterr().err
