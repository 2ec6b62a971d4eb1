"""Uploads, runs, schedules and failures on a real Kubeflow Pipelines, the one at KFP_ENDPOINT, with a tiny pipeline.

Its steps run in KFP_TEST_IMAGE, which the nodes have to have and which needs no more than Python and kfp in it.
"""

import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from click.testing import CliRunner
from kfp import compiler, dsl

from components.image import IMAGE
from nightshift.errors import ConfigurationError
from pipelines import compile as compile_
from pipelines import schedule, submit
from pipelines.endpoint import EndpointError, connect
from pipelines.failure import reason
from pipelines.recurring import Place, create_recurring, read_recurring
from pipelines.runs import create_run, experiment_id, make_experiment, read_run, step_names
from pipelines.schedule_file import read_schedules
from pipelines.upload import Package, find_pipeline, upload
from pipelines.watch import POLL_SECONDS

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.kfp,
    pytest.mark.skipif(not os.environ.get("KFP_ENDPOINT"), reason="KFP_ENDPOINT is not set"),
]

TEST_IMAGE = os.environ.get("KFP_TEST_IMAGE", IMAGE)
SERVICE_ACCOUNT = os.environ.get("KFP_TEST_SERVICE_ACCOUNT", "pipeline-runner")
UNIQUE = f"kfp-test-{os.getpid()}-{int(time.time()) % 100_000}"


@dsl.component(base_image=TEST_IMAGE, install_kfp_package=False)
def work(task: str, seed: int) -> str:
    """Fails for the puzzle; takes a while for seed 7."""
    import time

    if task == "puzzle":
        raise ValueError("no puzzle <today>")
    time.sleep(20 if seed == 7 else 0)
    return task


@dsl.component(base_image=TEST_IMAGE, install_kfp_package=False)
def closing(status: dsl.PipelineTaskFinalStatus):
    """Whatever happened."""
    print(status)


def tiny(version):
    """A package that has the parameters that every run is given; `version` makes its content another."""

    @dsl.pipeline(name=UNIQUE, description=f"version {version}")
    def pipeline(task: str = "digits", seed: int = 0, preset: str = "default", settings: dict = {}):  # noqa: B006
        report = closing().set_display_name("Report").set_caching_options(False)
        with dsl.ExitHandler(report, name="all"):
            first = work(task=task, seed=seed).set_display_name("Work").set_caching_options(False)
            first.set_retry(num_retries=1, backoff_duration="1s")

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tiny.yaml"
        compiler.Compiler().compile(pipeline, str(file))
        return Package(file.read_text())


@pytest.fixture(scope="module")
def kubeflow():
    endpoint = connect()
    yield endpoint
    for each in read_recurring(endpoint, UNIQUE):
        endpoint.recurring_runs.recurring_run_service_delete_recurring_run(each.recurring_run_id)
    for name in (UNIQUE, f"{UNIQUE}-s"):
        if experiment := experiment_id(endpoint, name):
            for run in endpoint.runs.run_service_list_runs(experiment_id=experiment, page_size=100).runs or []:
                endpoint.runs.run_service_delete_run(run.run_id)
            endpoint.experiments.experiment_service_delete_experiment(experiment)
    if pipeline := find_pipeline(endpoint, UNIQUE):
        endpoint.pipelines.pipeline_service_delete_pipeline(pipeline, cascade=True)


@pytest.fixture(scope="module")
def first(kubeflow):
    """The first version, uploaded."""
    return upload(kubeflow, tiny(1))


@pytest.fixture(scope="module")
def ticking(kubeflow, first, tmp_path_factory):
    """A schedule that fires every minute, while its runs take longer than one."""
    file = tmp_path_factory.mktemp("ticking") / "schedules.yaml"
    entry = {"name": "ticking", "task": "digits", "cron": "* * * * *", "parameters": {"seed": 7}}
    file.write_text(yaml.safe_dump(described([entry], f"{UNIQUE}-s")))
    declared = read_schedules(file)
    place = Place(first.pipeline_id, make_experiment(kubeflow, f"{UNIQUE}-s"))
    create_recurring(kubeflow, declared.schedules[0], declared, place, enabled=True)
    (made,) = (each for each in read_recurring(kubeflow, UNIQUE) if each.name == "ticking")
    return SimpleNamespace(made=made, declared=declared, cron=declared.schedules[0].cron, start=time.time())


def described(entries, experiment=UNIQUE):
    return {"group": UNIQUE, "experiment": experiment, "service_account": SERVICE_ACCOUNT, "schedules": entries}


def command(main, *arguments, package=None, monkeypatch=None):
    """Run a command with the tiny pipeline in place of the real one."""
    if package:
        module = schedule if main is schedule.main else submit
        monkeypatch.setattr(module, "_compiled", lambda: package)
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def started_by(kubeflow, recurring):
    """The runs of a recurring run, the oldest first."""
    named = json.dumps(
        {"predicates": [{"operation": "EQUALS", "key": "recurring_run_id", "string_value": recurring.recurring_run_id}]}
    )
    answer = kubeflow.runs.run_service_list_runs(filter=named, sort_by="created_at asc", page_size=50)
    return answer.runs or []


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(POLL_SECONDS)
    return found


def test_the_same_content_is_uploaded_once(kubeflow, first, ticking):
    assert first.uploaded
    again = upload(kubeflow, tiny(1))
    assert (again.version_id, again.uploaded) == (first.version_id, False)
    assert first.name == tiny(1).version


def test_content_that_comes_back_is_the_newest_again_where_that_is_asked_for(kubeflow, first):
    place = upload(kubeflow, Package(tiny(1).text.replace(UNIQUE, f"{UNIQUE}-x"))).pipeline_id
    try:
        one, two = (Package(tiny(number).text.replace(UNIQUE, f"{UNIQUE}-x")) for number in (1, 2))
        time.sleep(1.1)  # Kubeflow orders versions by the second
        assert upload(kubeflow, two, newest=True).uploaded
        assert not upload(kubeflow, one).uploaded
        time.sleep(1.1)
        back = upload(kubeflow, one, newest=True)
        assert back.uploaded
        assert back.name == f"{one.version}.1"
        assert not upload(kubeflow, one, newest=True).uploaded
    finally:
        kubeflow.pipelines.pipeline_service_delete_pipeline(place, cascade=True)


def test_submit_follows_runs_and_says_which_step_failed_and_why(kubeflow, first, monkeypatch):
    shared = ("--experiment", UNIQUE, "--service-account", SERVICE_ACCOUNT, "--label", "owner=night shift")
    arguments = ("digits", "puzzle", *shared, "--wait", "--timeout", 240, "--json")
    result = command(submit.main, *arguments, package=tiny(1), monkeypatch=monkeypatch)
    assert result.exit_code == 1, result.output
    good, bad = (json.loads(line) for line in result.stdout.splitlines())
    assert "nothing to upload" in result.stderr
    assert "running" in result.stderr
    assert (good["task"], good["state"], good["error"]) == ("digits", "SUCCEEDED", "")
    states = {name: step["state"] for name, step in good["steps"].items()}
    assert states == {"Work": "succeeded", "Report": "succeeded"}
    assert (bad["task"], bad["state"], bad["failed"]) == ("puzzle", "FAILED", "Work")
    assert bad["error"] == "ValueError: no puzzle <today>"
    assert "Work failed: ValueError: no puzzle <today>" in result.stderr
    assert f"/#/runs/details/{bad['run']}" in result.stderr
    made = kubeflow.runs.run_service_get_run(good["run"])
    assert (made.description, made.service_account) == ("owner=night shift", SERVICE_ACCOUNT)


def test_a_run_that_is_not_waited_for_goes_on(kubeflow, first, monkeypatch):
    arguments = ("digits", "--seed", 7, "--experiment", UNIQUE, "--service-account", SERVICE_ACCOUNT, "--json")
    result = command(submit.main, *arguments, package=tiny(1), monkeypatch=monkeypatch)
    assert result.exit_code == 0, result.output
    run_id = json.loads(result.stdout)["run"]
    assert read_run(kubeflow, run_id, step_names(tiny(1).specification)).state in ("PENDING", "RUNNING")
    kubeflow.runs.run_service_terminate_run(run_id)


def test_what_the_api_refuses_is_told_in_its_words(kubeflow, first):
    with pytest.raises(EndpointError, match="seed") as error:
        create_run(
            kubeflow, first, {"seed": "many"}, experiment=make_experiment(kubeflow, UNIQUE), name="x", description=""
        )
    assert error.value.status == 400


def test_an_experiment_is_made_once(kubeflow):
    assert make_experiment(kubeflow, UNIQUE) == make_experiment(kubeflow, UNIQUE) == experiment_id(kubeflow, UNIQUE)


def test_apply_makes_what_the_file_says_and_changes_only_what_is_edited(kubeflow, first, monkeypatch, tmp_path):
    file = tmp_path / "schedules.yaml"
    group = f"{UNIQUE}-a"
    entries = [
        {"name": "one", "task": "digits", "cron": "0 2 * * *"},
        {
            "name": "two",
            "task": "puzzle",
            "cron": "30 2 * * 7",
            "parameters": {"seed": 3, "settings": {"epochs": 2, "learning_rate": 0.001}},
        },
    ]
    others = {each.recurring_run_id for each in read_recurring(kubeflow, UNIQUE)}

    def apply(verb="apply"):
        file.write_text(yaml.safe_dump(described(entries) | {"group": group}))
        result = command(schedule.main, verb, "--file", file, package=tiny(1), monkeypatch=monkeypatch)
        assert result.exit_code == 0, result.output
        return result.output

    def there():
        return {each.name: each for each in read_recurring(kubeflow, group)}

    try:
        assert "2 to be created" in apply("plan")
        assert not there()
        assert "2 created" in apply()
        made = there()
        assert made["one"].fields["cron"] == "0 0 2 * * *"
        assert made["two"].fields["cron"] == "0 30 2 * * 0"
        assert all(each.enabled and each.fields["version"] == "the newest" for each in made.values())
        assert "nothing to change" in apply()
        assert there() == made

        entries[1]["parameters"]["seed"] = 4
        assert "parameters.seed: 3 -> 4" in apply("plan")
        assert "1 changed" in apply()
        edited = there()
        assert edited["one"] == made["one"]
        assert edited["two"].recurring_run_id != made["two"].recurring_run_id
        assert edited["two"].fields["parameters.seed"] == 4

        assert command(schedule.main, "pause", "one", "--file", file).output == "one: paused\n"
        assert "nothing to change" in apply()
        assert not there()["one"].enabled
        entries[0]["cron"] = "0 3 * * *"
        assert "one: changed, stays paused" in apply()
        assert not there()["one"].enabled
        entries[0]["enabled"] = True
        assert "1 switched on" in apply()
        assert there()["one"].enabled

        listed = command(schedule.main, "list", "--file", file).output
        assert "one: on, 0 3 * * * UTC" in listed
        assert listed.count(" 03:00 UTC") == 3

        del entries[1]
        assert "1 deleted" in apply()
        assert list(there()) == ["one"]
        assert others == {each.recurring_run_id for each in read_recurring(kubeflow, UNIQUE)}
    finally:
        entries.clear()
        apply()
    assert not there()


def test_a_schedule_that_is_not_there_cannot_be_paused(kubeflow, first, tmp_path):
    file = tmp_path / "schedules.yaml"
    file.write_text(yaml.safe_dump(described([{"name": "new", "task": "digits", "cron": "0 2 * * *"}])))
    result = command(schedule.main, "pause", "new", "--file", file)
    assert result.exit_code == 1
    assert "apply the file first" in result.output
    with pytest.raises(ConfigurationError):
        read_schedules(file).named("old")


def test_the_resources_for_gitops_are_taken_by_the_cluster():
    kubectl = shutil.which("kubectl")
    if (
        not kubectl
        or "pipelineversions"
        not in subprocess.run([kubectl, "get", "crd", "-o", "name"], capture_output=True, text=True).stdout
    ):
        pytest.skip("no kubectl, or the cluster does not know Pipeline and PipelineVersion")
    documents = compile_.resources(Package(compile_.package("train_and_deploy")), "default")
    result = subprocess.run(
        [kubectl, "apply", "--dry-run=server", "--validate=strict", "-f", "-"],
        input=yaml.safe_dump_all(documents),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("server dry run") == 2


@pytest.mark.timeout(600)
def test_a_schedule_fires_without_overlap_or_catch_up_and_runs_what_is_newest(kubeflow, ticking, monkeypatch):
    """Its runs take longer than the minute between two firings."""
    earlier = wait_for(lambda: started_by(kubeflow, ticking.made), 150)
    second = upload(kubeflow, tiny(2), newest=True)
    uploaded = time.time()
    wait_for(lambda: len(started_by(kubeflow, ticking.made)) > len(earlier), 240)
    running = started_by(kubeflow, ticking.made)[-1]

    # The change of a schedule lets the run that is under way go on.
    place = Place(second.pipeline_id, make_experiment(kubeflow, f"{UNIQUE}-s"))
    schedule.carry_out(kubeflow, schedule.Change("deleted", "ticking", found=ticking.made), ticking.declared, place)
    ended = wait_for(lambda: ended_run(kubeflow, running.run_id), 180)
    assert ended.state == "SUCCEEDED", reason(kubeflow, read_run(kubeflow, running.run_id, {}))

    runs = [kubeflow.runs.run_service_get_run(run.run_id) for run in [*earlier, running]]
    for before, after in itertools.pairwise(runs):
        assert before.finished_at <= after.created_at
    versions = [run.pipeline_version_reference.pipeline_version_id for run in runs]
    assert versions[-1] == second.version_id
    assert all(
        version != second.version_id
        for run, version in zip(runs, versions, strict=True)
        if run.created_at.timestamp() < uploaded - 1
    )
    due = ticking.cron.next_times(datetime.fromtimestamp(ticking.start, UTC), count=1)[0]
    assert due <= runs[0].created_at < due + timedelta(minutes=1)


def ended_run(kubeflow, run_id):
    run = read_run(kubeflow, run_id, {})
    return run if run.ended else None
