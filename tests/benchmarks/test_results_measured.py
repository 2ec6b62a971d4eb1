import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import synthetic
from click.testing import CliRunner
from test_results_page import BLOG, DEFAULT, PAGE, record

from benchmarks.results import __main__ as command
from benchmarks.results.measure import TELL_SECONDS, Teller, measure
from benchmarks.results.page import with_tables
from benchmarks.results.records import Records
from nightshift.errors import ConfigurationError, WorkspaceError
from nightshift.tasks.registry import tasks
from nightshift.workspace import Workspace

ROOT = Path(__file__).parent.parent.parent
PLAIN = dataclasses.replace(DEFAULT, preset="plain", minutes=0.5, at_least={}, parameters_at_most=None)


@pytest.fixture
def records(tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "results.md").write_text(PAGE)
    return Records(docs, tmp_path / "lock")


@pytest.fixture
def corners_task(monkeypatch):
    """The synthetic task in the registry; returns how to change a setting of its preset `plain`."""

    def plain(**settings):
        preset = dataclasses.replace(synthetic.CORNERS.presets["plain"], **settings)
        presets = {**synthetic.CORNERS.presets, "plain": preset}
        monkeypatch.setitem(tasks(), "corners", dataclasses.replace(synthetic.CORNERS, presets=presets))

    plain(epochs=1)
    return plain


@pytest.fixture(scope="session")
def corners_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "corners.npz"
    np.savez(path, allow_pickle=False, **synthetic.corners(240, 60))
    return str(path)


@pytest.fixture(scope="session")
def workspace(tmp_path_factory):
    """Shared, so that the data are prepared once and a recipe is trained once."""
    return Workspace(tmp_path_factory.mktemp("workspace"))


def test_a_record_goes_in_the_place_of_its_predecessor_and_the_page_follows(records):
    for one in (record(seed=1), record(accuracy=0.5), record(accuracy=0.9)):
        records.put(one)
        assert records.page.read_text() == with_tables(PAGE, records.read(), records.page)
    assert [(r.seed, r.metrics["accuracy"]) for r in records.read()] == [(0, 0.9), (1, 0.95)]


def test_without_a_page_to_write_to_nothing_is_recorded(records):
    records.page.write_text("no markers")
    with pytest.raises(WorkspaceError, match="expected one line"):
        records.put(record())
    assert not records.file.exists()
    assert records.page.read_text() == "no markers"


@pytest.mark.parametrize("content", ["", "{}", '[{"task": "digits"}]', '[{"task": NaN}]'])
def test_a_file_that_is_no_list_of_records_is_refused_and_kept(records, content):
    records.file.write_text(content)
    with pytest.raises(WorkspaceError, match=r"results\.json: expected a list of records"):
        records.put(record())
    assert records.file.read_text() == content


def test_a_kill_between_records_and_page_is_made_good(records):
    records.put(record("default", task="digits", key="other"))
    whole = records.page.read_text()
    records.page.write_text(PAGE)
    records.mark_stale()
    assert records.read()[0].stale
    assert records.page.read_text() == with_tables(whole, records.read(), records.page) != PAGE


def test_a_record_says_what_was_trained_and_how_well(records, corners_task, corners_file, workspace):
    found = measure("corners.plain", 0, corners_file, workspace, records)
    assert records.read() == [found]
    description = json.loads((workspace.checkpoints / found.key / "training.json").read_text())
    for name in ("parameters", "epochs", "best_epoch", "seconds", "cpu_seconds"):
        assert getattr(found, name) == description[name]
    assert found.count == 60
    assert 0 <= found.metrics["accuracy"] <= 1
    assert found.dataset == description["recipe"]["dataset"]


def test_what_has_been_measured_is_not_measured_again(records, corners_task, corners_file, workspace, monkeypatch):
    first = measure("corners.plain", 0, corners_file, workspace, records)
    monkeypatch.setattr("nightshift.training.train.train", None)
    assert measure("corners.plain", 0, corners_file, workspace, records) == first


def test_a_training_that_was_not_judged_is_judged_and_not_repeated(
    records, corners_task, corners_file, workspace, monkeypatch
):
    def killed(*arguments, **keywords):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("nightshift.evaluation.answers.judge", killed)
        with pytest.raises(KeyboardInterrupt):
            measure("corners.plain", 1, corners_file, workspace, records)
    assert not records.read()
    monkeypatch.setattr("nightshift.training.train.fit", None)
    assert measure("corners.plain", 1, corners_file, workspace, records).seed == 1


def test_other_settings_make_a_record_stale_until_it_is_measured_again(
    records, corners_task, corners_file, workspace, monkeypatch
):
    first = measure("corners.plain", 0, corners_file, workspace, records)
    corners_task(epochs=2)
    records.mark_stale()
    (stale,) = records.read()
    assert stale == first.model_copy(update={"stale": True})
    second = measure("corners.plain", 0, corners_file, workspace, records)
    assert (second.epochs, second.stale) == (2, False)
    assert second.key != first.key
    assert records.read() == [second]


def test_other_data_make_a_record_stale_as_soon_as_they_are_seen(
    records, corners_task, corners_file, workspace, monkeypatch
):
    measure("corners.plain", 0, corners_file, workspace, records)
    other = corners_file.replace("corners.npz", "fewer.npz")
    np.savez(other, allow_pickle=False, **synthetic.corners(200, 60))

    def killed(*arguments, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr("nightshift.training.train.train", killed)
    with pytest.raises(KeyboardInterrupt):
        measure("corners.plain", 0, other, workspace, records)
    assert [found.stale for found in records.read()] == [True]


def test_again_judges_anew_without_training(records, corners_task, corners_file, workspace, monkeypatch):
    first = measure("corners.plain", 0, corners_file, workspace, records)
    records.put(first.model_copy(update={"metrics": {"accuracy": 0.0}}))
    monkeypatch.setattr("nightshift.training.train.fit", None)
    again = measure("corners.plain", 0, corners_file, workspace, records, again=True)
    assert again.metrics == first.metrics


def measuring(records, seconds, told):
    """Stands for measuring: records a training that took so many seconds."""

    def one(row, seed):
        told.append((row.name, seed))
        records.put(record(row.preset, seed, seconds=seconds[row.preset]))
        return True

    return one


def test_first_seeds_come_first_quick_before_slow_and_only_quick_ones_are_repeated(records, corners_task):
    told = []
    rows = [dataclasses.replace(DEFAULT, minutes=9), PLAIN]
    seconds = {"plain": 600, "default": 601}
    assert command.measure_all(rows, (0, 1, 2), records, measuring(records, seconds, told))
    assert told == [("corners.plain", 0), ("corners.default", 0), ("corners.plain", 1), ("corners.plain", 2)]


def test_what_a_training_took_before_counts_more_than_a_guess(records, corners_task):
    rows = [dataclasses.replace(DEFAULT, minutes=9), PLAIN]
    known = [record("default", seconds=5, stale=True)]
    assert [row.preset for row in command.quick_first(rows, known)] == ["default", "plain"]


def test_a_line_that_fails_does_not_keep_the_others_from_being_measured(records, corners_task):
    told = []
    succeed = measuring(records, {"default": 1, "plain": 1}, told)
    fails = lambda row, seed: row.preset != "plain" and succeed(row, seed)  # noqa: E731
    assert not command.measure_all([PLAIN, DEFAULT], (0, 1), records, fails)
    assert told == [("corners.default", 0), ("corners.default", 1)]


def test_lines_that_the_registry_does_not_have_are_skipped_with_a_word(records, corners_task, capsys):
    told = []
    assert command.measure_all([BLOG, PLAIN], (0,), records, measuring(records, {"plain": 1}, told))
    assert told == [("corners.plain", 0)]
    assert "corners.blog: skipped, there is no such task or preset yet" in capsys.readouterr().out


def test_lines_are_chosen_by_task_and_by_preset():
    assert [row.name for row in command.chosen(["puzzle", "fashion.blog"])] == [
        "fashion.blog",
        "puzzle.blog",
        "puzzle.default",
    ]
    with pytest.raises(ConfigurationError, match=r"--only fash: no such line; there are digits\.blog"):
        command.chosen(["fash"])


@pytest.fixture
def run(records, corners_task, monkeypatch, tmp_path):
    """Runs the command on the line corners.default, whose measuring is made up."""
    monkeypatch.setattr(command, "ROWS", (DEFAULT,))
    monkeypatch.setattr(signal, "signal", lambda *arguments: None)

    def invoke(*arguments, accuracy=0.95, well=True):
        def measured(row, seed, data, options):
            if well:
                records.put(record(row.preset, seed, accuracy, key="not today's"))
            return well

        monkeypatch.setattr(command, "in_own_process", measured)
        options = ["--docs", str(records.page.parent), "--workspace", str(tmp_path / "workspace")]
        return CliRunner().invoke(command.main, [str(tmp_path), *options, *arguments])

    return invoke


def test_the_command_succeeds_if_what_is_wanted_is_reached(run):
    assert run("--seeds", "0").exit_code == 0


def test_the_command_fails_if_it_is_not(run):
    result = run("--seeds", "0", accuracy=0.85)
    assert result.exit_code == 1
    assert "corners.default: not met: accuracy 0.9" in result.output


def test_the_command_fails_if_a_line_cannot_be_measured(run):
    result = run(well=False)
    assert result.exit_code == 1
    assert "corners.default seed 0: not measured" in result.output


def test_the_list_tells_what_is_stale_and_changes_nothing(run, records, tmp_path):
    assert "seed 0 not measured" in run("--list").output
    records.put(record(key="not today's"))
    before = records.file.read_bytes()
    assert "accuracy 0.9500, 12 s, stale" in run("--list").output
    assert records.file.read_bytes() == before
    assert not (tmp_path / "workspace").exists()


@pytest.mark.parametrize("seeds", ["", "a", "0,", "-1", "4294967296", "0;1"])
def test_seeds_that_are_none_are_refused(run, seeds):
    result = run("--seeds", seeds)
    assert result.exit_code == 2
    assert "expected whole numbers" in result.output


def test_progress_is_told_when_other_work_begins_and_then_every_so_often(monkeypatch, capsys):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    tell = Teller("digits.blog seed 0")
    for fraction, message in ((0, "going on after epoch 3"), (0.5, "epoch 4"), (0.6, "epoch 5"), (0, "judging 1")):
        tell(fraction, message)
    now += TELL_SECONDS
    tell(0.5, "judging 2")
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("%")[2] for line in lines] == [
        " going on after epoch 3",
        " epoch 4",
        " judging 1",
        " judging 2",
    ]


@pytest.mark.slow
def test_an_interruption_ends_the_training_at_once_and_the_same_command_goes_on(tmp_path, records):
    random = np.random.default_rng(0)
    arrays = {
        "x_train": random.integers(0, 256, (1000, 28, 28), np.uint8),
        "y_train": np.arange(1000) % 10,
        "x_test": random.integers(0, 256, (100, 28, 28), np.uint8),
        "y_test": np.arange(100) % 10,
    }
    np.savez(tmp_path / "mnist.npz", allow_pickle=False, **arrays)
    arguments = [sys.executable, "-m", "benchmarks.results", str(tmp_path), "--only", "digits.blog", "--seeds", "0"]
    arguments += ["--workspace", str(tmp_path / "workspace"), "--docs", str(records.page.parent)]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        while not list((tmp_path / "workspace" / "checkpoints").glob("*/checkpoint.npz")):
            assert process.poll() is None
            time.sleep(0.01)
        (child,) = children(process.pid)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=40)
    assert process.returncode == 130
    assert "interrupted; the same command goes on" in output
    assert not Path(f"/proc/{child}").exists()
    assert not records.read()
    again = subprocess.run(arguments, cwd=ROOT, check=True, timeout=120, stdout=subprocess.PIPE, text=True)
    assert "going on after epoch" in again.stdout
    assert [(found.name, found.epochs) for found in records.read()] == [("digits.blog", 10)]


def children(process):
    return [int(number) for number in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
