"""Schedules: the file, and the plan that makes what there is what it says. See tests/cluster, too."""

import dataclasses
import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from kubeflow_api import serving

from nightshift.errors import ConfigurationError
from nightshift.tasks.registry import tasks
from nightshift.training.kubernetes import Nodes
from nightshift.training.kubernetes.job import Work, train_job
from pipelines import schedule
from pipelines.reconcile import Difference, carry_out, plan
from pipelines.recurring import MARK, Place, Recurring, _group, fields_of
from pipelines.schedule_file import FILE, LARGEST, MOST, Schedules, read_schedules

PLACE = Place("pipeline-1", "experiment-1")
ENTRY = {"name": "nightly", "task": "digits", "cron": "0 2 * * *"}


def written(tmp_path, *entries, **fields):
    file = tmp_path / "schedules.yaml"
    file.write_text(yaml.safe_dump({"schedules": list(entries), **fields}))
    return file


def declared(*entries, **fields):
    return Schedules.model_validate({"schedules": list(entries), **fields})


def made(of, name, recurring_run_id="", enabled=True, **changes):
    """The recurring run that a schedule has been made into."""
    fields = fields_of(of.named(name), of, PLACE) | changes
    return Recurring(recurring_run_id or f"id-{name}", name, enabled, fields)


def test_every_task_has_one_nightly_entry_and_all_are_on():
    shipped = read_schedules(FILE)
    assert sorted(each.task for each in shipped.schedules) == sorted(
        name for name, task in tasks().items() if task.source
    )
    assert len({each.cron.six_fields() for each in shipped.schedules}) == len(shipped.schedules)
    for change in plan(shipped, [], PLACE):
        assert (change.kind, change.enabled) == ("created", True)
    assert shipped.named("nightly-digits").cron.six_fields() == "0 0 2 * * *"


def test_the_example_on_gpu_nodes_passes_the_checks():
    example = read_schedules(FILE.parent.parent / "manifests" / "overlays" / "prod" / "schedules.yaml")
    for each in example.schedules:
        assert each.arguments()["train_gpus"] == "1"


def test_the_example_trains_on_spot_nodes_whether_it_is_one_or_several():
    example = read_schedules(FILE.parent.parent / "manifests" / "overlays" / "prod" / "schedules.yaml")
    spot = "cloud.google.com/gke-spot"
    for each in example.schedules:
        alone = each.arguments()
        assert alone["train_node_selector"][spot] == "true"
        assert spot in [one["key"] for one in alone["train_tolerations"]]
        together = each.parameters.model_copy(update={"train_nodes": 2}).of_task(each.task)
        assert not {"train_gpus", "train_node_selector", "train_tolerations"} & together.keys()
        defaults = {"gpus": "0", "cpu": "2", "memory": "4Gi", "tolerations": [], "node_selector": {}}
        nodes = Nodes.of(together["train_nodes"], defaults, together["train_per_node"])
        work = Work("key", each.task, "default", {}, 0, "/d", Path("/w"), "run")
        job = train_job(work, nodes, alone["train_image"], [], {})
        (override,) = job["spec"]["podTemplateOverrides"]
        assert override["spec"]["nodeSelector"] == alone["train_node_selector"]
        assert override["spec"]["tolerations"] == alone["train_tolerations"]
        assert job["spec"]["trainer"]["resourcesPerNode"]["limits"]["nvidia.com/gpu"] == "1"


def test_an_entry_says_when_what_and_how(tmp_path):
    parameters = {
        "preset": "blog",
        "settings": {"epochs": 3},
        "seed": 4,
        "train_gpus": 1,
        "train_memory": "8Gi",
        "train_tolerations": [{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}],
        "train_node_selector": {"a.example.org/b": "c"},
        "server": "kubernetes:nightshift-serving",
        "data": "gs://b/x",
    }
    file = written(tmp_path, ENTRY | {"parameters": parameters, "enabled": False}, time_zone="Europe/Berlin")
    found = read_schedules(file)
    assert found.named("nightly").arguments() == {"task": "digits", **parameters, "train_gpus": "1"}
    assert found.named("nightly").enabled is False
    assert str(found.time_zone) == "Europe/Berlin"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"task": "nothing"}, "schedule nightly: task 'nothing': no such task"),
        ({"cron": "0 0 2 * * *"}, "schedules.0.cron: cron '0 0 2 * * *': found six fields"),
        ({"cron": 5}, "schedules.0.cron: expected five fields in quotation marks"),
        ({"name": "Nightly Digits"}, "schedules.0.name"),
        ({"enabled": "yes"}, "schedules.0.enabled"),
        ({"when": "always"}, "schedules.0.when: no such field"),
        ({"parameters": {"epochs": 3}}, "schedules.0.parameters.epochs: no such field"),
        ({"parameters": {"task": "puzzle"}}, "schedules.0.parameters.task: no such field"),
        ({"parameters": {"settings": {"epoch": 3}}}, "schedule nightly: --set epoch: no such setting"),
        ({"parameters": {"settings": {"epochs": "x"}}}, "schedule nightly: --set epochs: found 'x'"),
        ({"parameters": {"preset": "none"}}, "schedule nightly: --preset none"),
        ({"parameters": {"seed": -1}}, "schedules.0.parameters.seed"),
        ({"parameters": {"gpus": 1}}, "schedules.0.parameters.gpus: no such field"),
        ({"parameters": {"train_gpus": "two"}}, "schedules.0.parameters.train_gpus"),
        ({"parameters": {"train_tolerations": "all"}}, "schedules.0.parameters.train_tolerations"),
        (
            {"parameters": {"train_tolerations": [{"kee": "x"}]}},
            "schedules.0.parameters.train_tolerations.0.kee: no such field",
        ),
        (
            {"parameters": {"train_memory": 12}},
            "schedules.0.parameters.train_memory: expected at least 256Mi, found 12",
        ),
        ({"parameters": {"server": "somewhere"}}, "schedules.0.parameters.server: expected HOST:PORT or kubernetes:"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path, change, said):
    file = written(tmp_path, ENTRY | change)
    with pytest.raises(ConfigurationError) as error:
        read_schedules(file)
    assert str(error.value).startswith(f"{file}: {said}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Input should be a valid dictionary"),
        ("schedules: []\nschedule: []", "schedule: no such field"),
        ("schedules: []\ntime_zone: Mars", "time_zone: expected a time zone"),
        ("schedules: [", "line 1"),
        ("schedules: [{name: a, name: b}]", "found 'name' twice"),
        ("a: &x [1]\nb: *x", "found an alias"),
        ("schedules: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("schedules: " + "[" * 20_000, "nested too deeply"),
        ("#" * (LARGEST + 1), f"more than {LARGEST} bytes"),
        (json.dumps({"schedules": [ENTRY, ENTRY]}), "found the name 'nightly' twice"),
        (yaml.safe_dump({"schedules": [ENTRY | {"name": f"n{n}"} for n in range(MOST + 1)]}), "schedules: "),
    ],
)
def test_a_file_that_is_not_one_is_refused(tmp_path, text, said):
    file = tmp_path / "schedules.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as error:
        read_schedules(file)
    assert said in str(error.value)
    assert str(file) in str(error.value)


def test_a_mistake_is_told_before_anything_is_sent(tmp_path):
    file = written(tmp_path, ENTRY | {"cron": "0 0 2 * * *"})
    with serving() as api:
        for words in (["plan"], ["apply"], ["list"], ["pause", "nightly"]):
            result = CliRunner().invoke(schedule.main, [*words, "--file", str(file), "--endpoint", api.url])
            assert result.exit_code == 1
            assert "six fields" in result.output
        assert not api.asked


def test_a_file_that_is_not_there_is_told():
    result = CliRunner().invoke(schedule.main, ["plan", "--file", "nowhere.yaml"])
    assert result.exit_code == 1
    assert "nowhere.yaml" in result.output
    assert "Traceback" not in result.output


def test_what_is_missing_is_made_and_what_is_left_over_goes():
    wanted = declared(ENTRY)
    (new,) = plan(wanted, [], PLACE)
    assert (new.kind, new.enabled) == ("created", True)
    changes = plan(declared(), [made(wanted, "nightly")], PLACE)
    assert [(change.kind, change.name) for change in changes] == [("deleted", "nightly")]


def test_only_what_is_edited_changes():
    before = declared(ENTRY, ENTRY | {"name": "other", "parameters": {"seed": 3}})
    after = declared(ENTRY, ENTRY | {"name": "other", "parameters": {"seed": 4}, "cron": "0 3 * * *"})
    one, two = plan(after, [made(before, "nightly"), made(before, "other")], PLACE)
    assert one.kind == "unchanged"
    assert two.kind == "changed"
    assert two.differences == (
        Difference("cron", "0 0 2 * * *", "0 0 3 * * *"),
        Difference("parameters.seed", 3, 4),
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"version": "1-2-3"},
        {"catch-up": True},
        {"concurrency": 10},
        {"service account": "admin"},
        {"pipeline": "another"},
        {"experiment": "another"},
        {"parameters.seed": 5},
        {"cron": "0 2 * * *"},
    ],
)
def test_what_somebody_changed_by_hand_is_changed_back(changes):
    wanted = declared(ENTRY)
    (change,) = plan(wanted, [made(wanted, "nightly", **changes)], PLACE)
    assert change.kind == "changed"
    assert [each.field for each in change.differences] == list(changes)


def test_numbers_come_back_from_kubeflow_as_floats():
    wanted = declared(ENTRY | {"parameters": {"seed": 3, "settings": {"epochs": 2}}})
    back = {"parameters.seed": 3.0, "parameters.settings": {"epochs": 2.0}}
    assert plan(wanted, [made(wanted, "nightly", **back)], PLACE)[0].kind == "unchanged"


@pytest.mark.parametrize(
    ("enabled", "is_on", "kind", "then"),
    [
        (None, True, "unchanged", True),
        (None, False, "unchanged", False),
        (True, True, "unchanged", True),
        (True, False, "switched on", True),
        (False, True, "switched off", False),
        (False, False, "unchanged", False),
    ],
)
def test_what_is_paused_stays_so_unless_the_file_says_otherwise(enabled, is_on, kind, then):
    wanted = declared(ENTRY | ({} if enabled is None else {"enabled": enabled}))
    (change,) = plan(wanted, [made(wanted, "nightly", enabled=is_on)], PLACE)
    assert (change.kind, change.enabled) == (kind, then)
    (edited,) = plan(wanted, [made(wanted, "nightly", enabled=is_on, cron="0 0 5 * * *")], PLACE)
    assert (edited.kind, edited.enabled) == ("changed", then)


def test_of_two_that_a_killed_apply_leaves_the_right_one_stays():
    wanted = declared(ENTRY)
    old, new = made(wanted, "nightly", "old", cron="0 0 1 * * *"), made(wanted, "nightly", "new")
    for there in ([old, new], [new, old]):
        kept, gone = plan(wanted, there, PLACE)
        assert (kept.kind, kept.found) == ("unchanged", new)
        assert (gone.kind, gone.found) == ("deleted", old)


class Kubeflow:
    """Recurring runs in a dictionary, by the calls that `carry_out` makes."""

    def __init__(self):
        self.there = {}
        self.given = {}
        self.recurring_runs = self
        self.in_namespace = {}
        self.number = 0

    def recurring_run_service_create_recurring_run(self, new):
        self.number += 1
        self.given[f"{self.number}"] = new
        fields = {
            "cron": new.trigger.cron_schedule.cron,
            **{f"parameters.{name}": value for name, value in new.runtime_config.parameters.items()},
            "pipeline": new.pipeline_version_reference.pipeline_id,
            "version": new.pipeline_version_reference.pipeline_version_id or "the newest",
            "experiment": new.experiment_id,
            "service account": new.service_account,
            "concurrency": int(new.max_concurrency),
            "catch-up": not new.no_catchup,
        }
        self.there[f"{self.number}"] = Recurring(f"{self.number}", new.display_name, new.mode == "ENABLE", fields)

    def recurring_run_service_delete_recurring_run(self, recurring_run_id, *, propagation_policy):
        assert propagation_policy == "ORPHAN"  # a run that is under way goes on
        del self.there[recurring_run_id]

    def recurring_run_service_disable_recurring_run(self, recurring_run_id):
        self.there[recurring_run_id] = dataclasses.replace(self.there[recurring_run_id], enabled=False)

    def recurring_run_service_get_recurring_run(self, recurring_run_id):
        return self.given[recurring_run_id]


entries = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["a", "b", "c"]),
        "task": st.sampled_from(sorted(name for name, task in tasks().items() if task.source)),
        "cron": st.sampled_from(["0 2 * * *", "*/5 * * * 7", "0 0 13 * fri"]),
        "parameters": st.fixed_dictionaries({}, optional={"seed": st.integers(0, 3), "train_gpus": st.integers(0, 1)}),
    },
    optional={"enabled": st.booleans()},
)
files = st.lists(entries, max_size=3, unique_by=lambda entry: entry["name"])


@settings(deadline=None)
@given(st.lists(files, min_size=1, max_size=4), st.integers(0, 20))
def test_apply_once_is_enough_whatever_was_there_and_wherever_it_was_killed(steps, killed_after):
    kubeflow = Kubeflow()
    for number, each in enumerate(steps):
        wanted = declared(*each)
        changes = plan(wanted, list(kubeflow.there.values()), PLACE)
        if number < len(steps) - 1:
            changes = changes[:killed_after]
        for change in changes:
            carry_out(kubeflow, change, wanted, PLACE)
    there = list(kubeflow.there.values())
    assert {change.kind for change in plan(wanted, there, PLACE)} <= {"unchanged"}
    assert sorted(each.name for each in there) == sorted(each["name"] for each in steps[-1])


def test_a_group_is_told_by_its_mark():
    found = type("Found", (), {"description": MARK.format("night-2")})
    assert _group(found) == "night-2"
    for description in (None, "", "made by hand", MARK.format("")):
        found.description = description
        assert _group(found) == ""


def test_the_help_names_the_commands():
    result = CliRunner().invoke(schedule.main, ["--help"])
    assert all(name in result.output for name in ("plan", "apply", "pause", "resume", "list"))
    assert Path(FILE).exists()
