"""What the pages show of drift."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_pages import read

from nightshift.drift.comparison import Sample, compare
from nightshift.report.pages import dataset_page, drift_page, run_page
from nightshift.workspace import Run

RANDOM = np.random.default_rng(0)


def sample(brightness: float, count: int, share: float) -> Sample:
    columns = {
        "brightness": RANDOM.normal(brightness, 20, count).astype(np.float32),
        "contrast": RANDOM.normal(50, 5, count).astype(np.float32),
        "confidence": np.full(count, np.nan, np.float32),
    }
    solved = {"puzzles made of single tiles": np.arange(count) < share * count}
    return Sample(columns, RANDOM.integers(0, 3, count), solved)


def facts(brightness: float, notes: tuple[str, ...] = ()) -> dict[str, Any]:
    found = compare(
        sample(100, 500, 0.9), sample(brightness, 300, 0.6), ["cat", "<b>dog", "개구리"], classes="predicted class"
    )
    return {"subject": "live requests", "version": 7, **found.facts(plots=True), "notes": list(notes)}


NOTHING = {"subject": "the data", "version": 7, "drifted": False, "words": "the very data", "notes": []}


def test_a_page_has_a_row_a_test_a_plot_a_figure_and_a_bar_a_class() -> None:
    page = drift_page(facts(160, ("3 images could not be read",)), "pets")
    text = read(page).text
    assert page.count("<svg") == 2
    for part in ("Drift of pets", "Drifted.", "brightness", "stability index 0.2", "ROC area 0.65", "<b>dog", "개구리"):
        assert part in text
    assert "3 images could not be read" in text
    assert "90.0 %" in text
    assert text.count("drifted") >= 3


def test_a_page_without_drift_says_so() -> None:
    found = compare(sample(100, 500, 0.9), sample(100, 300, 0.9))
    text = read(drift_page({"subject": "live requests", "version": 7, **found.facts(plots=True)}, "pets")).text
    assert "Not drifted." in text
    assert "no drift in 300 images" in text


def write(run: Run, content: Any) -> Path:
    folder = run.path / "prepare_data"
    (folder / "drift.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def test_the_step_and_the_run_show_both_comparisons(run: Run) -> None:
    folder = write(run, {"data": NOTHING, "live": facts(160)})
    for page in (dataset_page(folder), run_page(run)):
        text = read(page).text
        assert "Drift of the data" in text
        assert "the very data" in text
        assert "Drift of live requests" in text


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        {"data": NOTHING},
        {"data": NOTHING, "live": {**NOTHING, "changes": 3}},
        {"data": NOTHING, "live": {**NOTHING, "changes": [{"name": "brightness"}]}},
    ],
)
def test_a_damaged_file_is_named_and_the_rest_is_shown(run: Run, content: Any) -> None:
    folder = write(run, content)
    assert "drift.json cannot be read" in read(run_page(run)).text
    assert "prepare_data/drift.json cannot be read" in read(dataset_page(folder)).text


def test_a_plot_whose_numbers_do_not_fit_is_left_out(run: Run) -> None:
    odd = facts(160)
    odd["changes"][0]["plot"] = {"edges": [0.0, 1.0], "reference": [1, 2], "found": [1]}
    assert read(drift_page(odd, "pets")).text
