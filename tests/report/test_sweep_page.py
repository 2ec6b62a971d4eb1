"""The page of a sweep."""

import json
import re

import pytest
from example_run import CLASSES, write_prepare_data, write_run, write_status

from nightshift.report.folders import step_folders
from nightshift.report.pages import run_page, sweep_page
from nightshift.report.plots import scores_by_value
from nightshift.report.verdict import verdict_of
from nightshift.sweep.plan import Plan
from nightshift.workspace import Run

TRIALS = {f"trial-{number}": {"schedule": "cosine", "n_dense": 8 * number} for number in (1, 2, 3)}
TRIALS["trial-2"]["schedule"] = "constant"
ERROR = "the loss is <b>nan</b> in epoch 3"


def write_trials(run, *names):
    """The planned trials, of which those are done: each has a better score than the one before."""
    Plan(settings=["schedule", "n_dense"], trials=TRIALS).write(run.path / "prepare_data")
    for number, name in enumerate(names, 1):
        figures = {"best_score": 0.9 + number / 100, "best_epoch": 1, "epochs": 2, "parameters": 1000, "seconds": 5.0}
        write_status(run.path / name, 10 * number, figures=figures)
        (run.path / name / "history.csv").write_text("epoch,validation_loss\n1,0.25\n")


def write_choice(run, **changes):
    figures = {
        "best": "trial-2",
        "best_settings": TRIALS["trial-2"],
        "final_settings": {"epochs": 1},
        "images": 4500,
        "train": True,
    }
    write_status(run.path / "choose_settings", 62, **{"figures": figures} | changes)


@pytest.fixture
def sweep(tmp_path):
    run = write_run(tmp_path / "sweep-1")
    write_trials(run, "trial-1", "trial-2")
    write_status(run.path / "trial-3", 20, state="failed", error=f"Traceback\n{ERROR}")
    write_choice(run)
    return run


@pytest.fixture
def begun(tmp_path):
    """A sweep that has prepared its data and planned its trials."""
    run = Run(tmp_path / "sweep-2")
    write_prepare_data(run.path / "prepare_data", CLASSES, (28, 28, 1))
    write_trials(run)
    return run


def rows(page):
    """The cells of the trials' table, without tags."""
    table = page[page.index("Trials, the best") :]
    found = re.findall(r"<tr>(.*?)</tr>", table[: table.index("</table>")], re.DOTALL)[1:]
    return [re.sub(r"<[^>]*>", " ", row).split() for row in found]


@pytest.mark.parametrize("page_of", [run_page, sweep_page])
def test_trials_stand_in_a_table_the_best_first_and_failures_last_with_their_reason(sweep, page_of):
    page = page_of(sweep)
    best, second, failed = rows(page)
    assert best[:5] == ["1", "constant", "16", "0.9200", "0.2500"]
    assert second[:5] == ["2", "cosine", "8", "0.9100", "0.2500"]
    assert failed[:3] == ["cosine", "24", "failed"]
    assert "the loss is &lt;b&gt;nan&lt;/b&gt; in epoch 3" in page
    assert "Traceback" not in page
    assert page.count('aria-label="Validation score"') == 2


def test_a_run_page_says_what_was_trained_anew_and_that_the_sweep_released(sweep):
    page = run_page(sweep)
    assert "1 epochs on 4,500 images" in page
    assert "Released version" in page
    assert "<td>trials</td>" in page
    assert "<td>choose_settings</td>" in page


def test_a_failed_trial_does_not_fail_the_run(sweep):
    assert step_folders(sweep)["trials"].state == "succeeded"
    assert verdict_of(step_folders(sweep)).kind == "good"


def test_the_steps_keep_the_order_of_the_pipeline(sweep):
    wanted = ["prepare_data", "trials", "choose_settings", "train", "evaluate", "export", "deploy", "report"]
    assert list(step_folders(sweep)) == wanted


def test_a_sweep_under_way_shows_what_is_known(begun):
    write_trials(begun, "trial-1")
    write_status(begun.path / "trial-2", 20, state="running")
    page = run_page(begun)
    assert "Running trials" in page
    assert [row[-2:] for row in rows(page)] == [["s", "trial-1"], ["running", "trial-2"], ["begun", "trial-3"]]


def test_a_sweep_with_no_trial_left_fails_at_its_choice(begun):
    for name in TRIALS:
        write_status(begun.path / name, 20, state="failed", error=ERROR)
    write_choice(begun, state="failed", figures={}, error="none of the 3 trials came to a score")
    page = run_page(begun)
    assert "Failed at choose_settings" in page
    assert "none of the 3 trials came to a score" in page


def test_a_sweep_whose_winner_serves_already_has_nothing_to_do(begun):
    write_trials(begun, *TRIALS)
    write_choice(begun, figures={"train": False, "reason": "nothing to do: version 7 of pets serves"})
    page = run_page(begun)
    assert "Nothing to do" in page
    assert "not needed" in page


def test_other_runs_have_no_such_part(tmp_path):
    page = run_page(write_run(tmp_path / "nightly-1"))
    assert "<h2>Sweep</h2>" not in page
    assert "choose_settings" not in page


def test_a_damaged_plan_is_noted_and_the_rest_shown(sweep):
    (sweep.path / "prepare_data" / "plan.json").write_text(json.dumps({"settings": 3}))
    page = run_page(sweep)
    assert "<h2>Sweep</h2>" not in page
    assert "prepare_data/plan.json cannot be read" in page
    assert "Released version" in page


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([16, 32, 64], ["16", "32", "64"]),
        (["cosine", "constant", "cosine"], ["constant", "cosine"]),
        ([True, False, True], ["False", "True"]),
        ([0.1, 0.1, 0.1], ["0.1"]),
        ([1e-4, 1e-2, 1e-3], []),
        (list(range(20)), []),
    ],
)
def test_scores_are_drawn_over_values_of_every_kind(values, shown):
    picture = scores_by_value(values, [0.5] * len(values), "Validation accuracy")
    assert picture.startswith("<svg")
    for text in shown:
        assert f">{text}<" in picture
    assert picture.count("<use") >= len(values)
