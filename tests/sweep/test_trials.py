"""What trials come to, and what the best is trained with."""

import csv
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightshift.errors import WorkspaceError
from nightshift.sweep.plan import Plan
from nightshift.sweep.refit import refit_settings
from nightshift.sweep.trials import CHOICE, Outcome, SweepRun, TrialRun, in_words, outcomes, ranked
from nightshift.tasks.base import Preset

PLAN = Plan(settings=["n_dense"], trials={f"trial-{number}": {"n_dense": 8 * number} for number in range(1, 6)})
PRESET = Preset(network="lenet", network_options={"n_dense": 8}, epochs=6, batch_size=8, patience=2)


def write_trial(run, name, score, loss, parameters=100):
    """A trial that was trained for three epochs, the second of which was the best."""
    figures = {"best_score": score, "best_epoch": 2, "epochs": 3, "parameters": parameters, "seconds": 1.5}
    with TrialRun(run, name).step("train") as step:
        step.figures = figures
        with open(step.path / "history.csv", "w", newline="") as file:
            rows = csv.DictWriter(file, ["epoch", "validation_loss"])
            rows.writeheader()
            rows.writerows({"epoch": epoch, "validation_loss": loss + abs(epoch - 2)} for epoch in (1, 2, 3))


def test_the_best_score_comes_first_then_the_lower_loss_then_those_without(tmp_path):
    write_trial(tmp_path, "trial-1", 0.5, 0.3)
    write_trial(tmp_path, "trial-3", 0.75, 0.2)
    write_trial(tmp_path, "trial-4", 0.75, 0.1)
    with pytest.raises(ValueError, match="second line"), TrialRun(tmp_path, "trial-2").step("train"):
        raise ValueError("first line\nsecond line")
    found = outcomes(tmp_path, PLAN)
    assert [trial.name for trial in found] == ["trial-4", "trial-3", "trial-1", "trial-2", "trial-5"]
    assert found[0] == Outcome("trial-4", {"n_dense": 32}, "succeeded", "", 0.75, 0.1, 100, 3, 2, 1.5)
    assert (found[3].state, found[3].error) == ("failed", "second line")
    assert found[4] == Outcome("trial-5", {"n_dense": 40}, "")
    assert [trial.trained for trial in found] == [True, True, True, False, False]


def test_a_damaged_record_costs_its_trial_only(tmp_path):
    write_trial(tmp_path, "trial-1", 0.5, 0.3)
    write_trial(tmp_path, "trial-2", 0.9, 0.3)
    write_trial(tmp_path, "trial-3", 0.9, 0.3)
    (tmp_path / "trial-2" / "status.json").write_text("{")
    (tmp_path / "trial-3" / "history.csv").write_text("")
    found = {trial.name: trial for trial in outcomes(tmp_path, PLAN)}
    assert found["trial-1"].trained
    assert "its record cannot be read" in found["trial-2"].error
    assert found["trial-3"].loss is None
    assert not found["trial-3"].trained


SCORES = st.tuples(st.sampled_from([0.1, 0.5, 0.9]), st.sampled_from([0.2, 0.4]), st.sampled_from([10, 20]))
TRIALS = st.lists(st.one_of(st.none(), SCORES), max_size=12).map(
    lambda found: [
        Outcome(str(number), {}, "failed") if one is None else Outcome(str(number), {}, "succeeded", "", *one)
        for number, one in enumerate(found)
    ]
)


@settings(deadline=None)
@given(TRIALS)
def test_ranking_keeps_every_trial_and_none_is_better_than_the_one_before(trials):
    order = ranked(trials)
    assert sorted(trial.name for trial in order) == sorted(trial.name for trial in trials)
    keys = [(-trial.score, trial.loss, trial.parameters) for trial in order if trial.trained]
    assert keys == sorted(keys)
    assert [trial.trained for trial in order] == sorted((trial.trained for trial in order), reverse=True)


def test_a_trial_is_recorded_by_its_name_and_the_statuses_keep_the_order_of_the_pipeline(tmp_path):
    run = SweepRun(tmp_path)
    for name in ("train", CHOICE, "prepare_data"):
        with run.step(name):
            pass
    for name in ("trial-2", "trial-1"):
        write_trial(tmp_path, name, 0.5, 0.5)
    assert list(run.statuses()) == ["prepare_data", "trial-1", "trial-2", CHOICE, "train"]


def test_an_interruption_closes_the_records_of_trials_too(tmp_path):
    run = SweepRun(tmp_path)
    write_trial(tmp_path, "trial-1", 0.5, 0.5)
    status = tmp_path / "trial-1" / "status.json"
    status.write_text(json.dumps(json.loads(status.read_text()) | {"state": "running"}))
    run.record_interruption()
    assert run.statuses()["trial-1"]["error"] == "interrupted"


@pytest.mark.parametrize(
    ("schedule", "epochs", "wanted"),
    [("constant", 6, 4), ("cosine", 6, 6), ("one_cycle", 6, 6), ("cosine", 5, 4)],
    ids=["constant: the best epoch", "cosine: all", "one cycle: all", "cosine that was stopped: the best epoch"],
)
def test_the_last_training_has_a_fixed_number_of_epochs_and_keeps_its_last_weights(schedule, epochs, wanted):
    preset = PRESET.with_settings({"schedule": schedule})
    best = Outcome("trial-1", {}, "succeeded", score=0.9, loss=0.1, epochs=epochs, best_epoch=4)
    final = refit_settings(preset, best)
    assert final == preset.settings() | {"epochs": wanted, "patience": 0, "keep": "last"}


def test_settings_in_words():
    assert (
        in_words({"n_dense": 32, "learning_rate": 0.001, "flip": True}) == "n_dense=32, learning_rate=0.001, flip=True"
    )


@pytest.mark.parametrize("content", [None, "{", '{"settings": 3}'])
def test_a_plan_that_cannot_be_read_is_named(tmp_path, content):
    if content:
        (tmp_path / "plan.json").write_text(content)
    with pytest.raises(WorkspaceError, match=r"plan\.json"):
        Plan.read(tmp_path)


def test_a_trial_that_was_not_planned_is_refused():
    with pytest.raises(WorkspaceError, match=r"trial 'trial-9': not in the plan, which has trial-1"):
        PLAN.of("trial-9")
