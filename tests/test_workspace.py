import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nightshift.errors import DataError, WorkspaceError
from nightshift.workspace import STEPS, Run, Workspace


def status(run: Run, step: str = "train") -> dict:
    return json.loads((run.path / step / "status.json").read_text())


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Workspace(tmp_path).run("nightly-1")


@pytest.mark.parametrize("run_id", ["", ".", "..", ".hidden", "a/b", "../a", "a\\b", "a b", "a\0", "a\n", "~", "a:b"])
def test_a_run_id_that_is_no_plain_name_is_refused(tmp_path, run_id):
    with pytest.raises(WorkspaceError, match="expected letters, digits"):
        Workspace(tmp_path).run(run_id)


@pytest.mark.parametrize("run_id", ["a", "nightly-1", "2026_01.02", "7"])
def test_a_run_is_a_folder_inside_the_workspace(tmp_path, run_id):
    run = Workspace(tmp_path).run(run_id)
    assert run.path.parent == tmp_path / "runs"
    assert run.run_id == run_id


def test_a_step_is_on_record_from_its_first_moment(run):
    with run.step("train"):
        assert status(run)["state"] == "running"
        assert status(run)["error"] == ""
    assert status(run)["state"] == "succeeded"
    assert status(run)["progress"] == 1


def test_figures_and_words_are_kept(run):
    with run.step("train") as step:
        step.figures = {"epochs": 3}
        step.say("three epochs")
        assert status(run)["message"] == "three epochs"
    assert status(run)["figures"] == {"epochs": 3}
    assert status(run)["message"] == "three epochs"
    assert status(run)["seconds"] >= 0
    assert status(run)["cpu_seconds"] > 0


def test_a_persons_mistake_is_recorded_as_its_message_and_raised(run):
    def work() -> None:
        with run.step("train") as step:
            step.progress(0.25, "a quarter")
            raise DataError("cats.zip: not a zip file")

    with pytest.raises(DataError, match=r"cats\.zip"):
        work()
    assert status(run)["state"] == "failed"
    assert status(run)["error"] == "cats.zip: not a zip file"
    assert status(run)["progress"] == 0.25


def test_a_defect_is_recorded_with_its_traceback_and_raised(run):
    with pytest.raises(ZeroDivisionError), run.step("train"):
        _ = 1 / 0
    assert "Traceback" in status(run)["error"]
    assert "ZeroDivisionError" in status(run)["error"]


def test_an_interruption_is_recorded_too(run):
    with pytest.raises(KeyboardInterrupt), run.step("train"):
        raise KeyboardInterrupt
    assert status(run)["state"] == "failed"
    assert status(run)["error"] == "interrupted"


def test_the_record_of_a_step_that_was_stopped_is_closed(run):
    with run.step("prepare_data"):
        pass
    with run.step("train") as step:
        step.progress(0.5, "half")
        run.record_interruption()
        assert status(run)["state"] == "failed"
        assert status(run)["error"] == "interrupted"
        assert status(run)["step"] == "train"
    assert status(run, "prepare_data")["state"] == "succeeded"


def test_a_new_run_has_a_folder_of_its_own(tmp_path):
    names = [Workspace(tmp_path).new_run("nightly").run_id for _ in range(3)]
    assert names == ["nightly", "nightly-2", "nightly-3"]
    assert {path.name for path in (tmp_path / "runs").iterdir()} == set(names)


def test_runs_that_begin_at_once_do_not_share_a_folder(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: Workspace(tmp_path).new_run("nightly").run_id, range(32)))
    assert len(set(runs)) == 32


@pytest.mark.parametrize("place", ["file", "file/below", "link", "/proc/none"])
def test_a_workspace_that_cannot_be_used_is_named(tmp_path, place):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    path = tmp_path / place
    for use in (Workspace(path).make, lambda: Workspace(path).new_run("nightly")):
        with pytest.raises(WorkspaceError, match=re.escape(f"workspace: {path}")):
            use()


def test_a_workspace_without_permission_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("nightshift.workspace.os.access", lambda path, mode: False)  # whoever runs this may be root
    with pytest.raises(WorkspaceError, match=re.escape(f"nothing can be written in {tmp_path}")):
        Workspace(tmp_path).make()


def test_a_step_started_again_writes_over_its_failure(run):
    with pytest.raises(DataError), run.step("train"):
        raise DataError("no")
    with run.step("train"):
        assert status(run)["error"] == ""
    assert status(run)["state"] == "succeeded"


def test_progress_is_written_at_most_twice_a_second(run, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("nightshift.workspace.time.time", lambda: now[0])
    with run.step("train") as step:
        step.progress(0.1, "soon after")
        assert status(run)["progress"] == 0
        now[0] += 0.6
        step.progress(0.2, "later")
        assert status(run)["progress"] == 0.2


def test_statuses_are_those_of_the_begun_steps_in_the_order_of_the_pipeline(run):
    assert run.statuses() == {}
    for name in reversed(STEPS[:3]):
        with run.step(name):
            pass
    assert list(run.statuses()) == list(STEPS[:3])
