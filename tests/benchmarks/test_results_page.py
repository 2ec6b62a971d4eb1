import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap

from benchmarks.results.page import BEGIN, END, METRICS, interval, tables, verdicts, with_tables
from benchmarks.results.record import Record
from benchmarks.results.records import DOCS, Records
from benchmarks.results.rows import ROWS, Printed, Row
from nightshift.errors import WorkspaceError
from nightshift.tasks.registry import tasks

BLOG = Row(
    task="corners",
    preset="blog",
    data="corners.npz",
    printed=Printed(figures={"accuracy": "about 0.7"}, where="on the test split", parameters=1_234, epochs="20"),
    minutes=1,
)
DEFAULT = Row(
    task="corners",
    preset="default",
    data="corners.npz",
    at_least={"accuracy": 0.9},
    parameters_at_most=1_000,
    minutes=1,
)
PAGE = f"# Results\n\nby hand\n\n{BEGIN}\nold\n{END}\n\nbelow\n"


def record(preset="default", seed=0, accuracy=0.95, **changes):
    facts = {
        "task": "corners",
        "preset": preset,
        "seed": seed,
        "metrics": {"accuracy": accuracy, "loss": 0.25},
        "count": 200,
        "parameters": 987,
        "epochs": 4,
        "best_epoch": 3,
        "seconds": 12.3,
        "cpu_seconds": 23.4,
        "key": "k",
        "dataset": "d",
        "sources": "s",
        "machine": "2 cores, no GPU",
        "date": "2026-01-01T00:00:00+00:00",
    }
    return Record(**(facts | changes))


def lines(records):
    """The table's lines, cell by cell."""
    text = tables(records, (BLOG, DEFAULT))
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]


def test_a_table_has_theirs_as_printed_theirs_run_here_and_ours():
    headings, _, printed, blog, default = lines([record("blog", accuracy=0.8), record()])
    assert headings[1:3] == ["accuracy", "wanted"]
    assert printed[:4] == ["`blog`: theirs, as printed, on the test split", "about 0.7", "", "1,234"]
    assert blog[0] == "`blog`: theirs, run here"
    assert default == [
        "`default`: ours",
        "0.9500 (0.9200 to 0.9800)",
        "accuracy 0.9: met; at most 1,000 parameters: met",
        "987",
        "4, 3",
        "12",
        "23",
        "0",
        "`--only corners.default`",
    ]


def test_every_line_has_as_many_cells_as_the_heading():
    assert len({len(line) for line in lines([record("blog"), record(), record(seed=1)])}) == 1


def test_several_seeds_are_told_by_their_mean_and_extremes():
    own = lines([record(seed=2, accuracy=0.96), record(seed=0, accuracy=0.92), record(seed=1, seconds=18.3)])[-1]
    assert own[1] == "0.9433 (0.9200 to 0.9600)"
    assert own[4:8] == ["4, 3; 4, 3; 4, 3", "14", "23", "0, 1, 2"]


def test_what_is_not_reached_says_so():
    assert lines([record(accuracy=0.85, parameters=1_001)])[-1][2] == (
        "accuracy 0.9: **not met**; at most 1,000 parameters: **not met**"
    )


def test_a_metric_that_was_not_measured_does_not_meet_what_is_wanted():
    assert dict(verdicts(DEFAULT, [record(metrics={"loss": 0.1})]))["accuracy 0.9"] is False


def test_a_stale_record_is_marked_and_gives_way_to_those_that_are_not():
    only_stale = tables([record(stale=True)], (DEFAULT,))
    assert "`default`: ours †" in only_stale
    assert "† measured with earlier code" in only_stale
    beside = lines([record(stale=True, accuracy=0.1), record(seed=1, accuracy=0.95)])[-1]
    assert (beside[0], beside[1][:6], beside[7]) == ("`default`: ours", "0.9500", "1")


def test_lines_without_a_record_are_named():
    assert "Not measured yet: `corners.blog`.\n" in tables([record()], (BLOG, DEFAULT))


def test_what_stands_outside_the_markers_stays():
    page = with_tables(PAGE, [record()], Path("page.md"), (DEFAULT,))
    assert page.startswith(f"# Results\n\nby hand\n\n{BEGIN}\n\n`make results")
    assert page.endswith(f"{END}\n\nbelow\n")
    assert "old" not in page
    assert with_tables(page, [record()], Path("page.md"), (DEFAULT,)) == page


@pytest.mark.parametrize("page", ["", BEGIN, END, f"{END}\n{BEGIN}", PAGE + PAGE, PAGE + END])
def test_a_page_without_its_one_pair_of_markers_is_refused(page):
    with pytest.raises(WorkspaceError, match=r"page\.md: expected one line"):
        with_tables(page, [], Path("page.md"))


@given(st.integers(1, 5_000).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count))))
def test_an_interval_holds_its_share_and_is_never_certain(right_of):
    right, count = right_of
    low, high = interval(right / count, count)
    assert 0 <= low <= right / count <= high <= 1
    assert high - low > 0


def test_the_interval_is_that_of_a_bootstrap_which_draws():
    answers = np.arange(1_000) < 930
    drawn = bootstrap((answers,), np.mean, n_resamples=20_000, method="percentile", rng=0).confidence_interval
    assert interval(0.93, 1_000) == pytest.approx((drawn.low, drawn.high), abs=1.5e-3)


def test_the_committed_page_is_what_the_committed_records_give(tmp_path):
    records = Records(DOCS, tmp_path / "lock")
    page = records.page.read_text()
    assert with_tables(page, records.read(), records.page) == page


def test_rows_name_presets_and_metrics_that_there_are():
    assert len({row.name for row in ROWS}) == len(ROWS)
    for row in ROWS:
        assert set(row.at_least) <= set(METRICS)
        assert row.task not in tasks() or row.preset in tasks()[row.task].presets
        assert row.printed is None or set(row.printed.figures) <= set(METRICS)


def test_the_page_says_nothing_of_where_it_was_measured(tmp_path):
    page = Records(DOCS, tmp_path / "lock").page.read_text()
    assert not re.search(r"(^|\s)/(work|home|tmp)/", page)
