"""report: one HTML page of a run, and a message if a webhook is set, whatever became of it. No TensorFlow."""

from pathlib import Path

from nightshift.errors import NightshiftError
from nightshift.files import write_atomic
from nightshift.report.pages import run_page
from nightshift.report.webhook import post
from nightshift.training.kubernetes import take_away
from nightshift.workspace import Run


def report(run: Run, *, failed: bool = False) -> Path:
    """Write report.html into the run's folder and give its path; a message that is not taken is no failure.

    Args:
        run: whose steps left their records.
        failed: the runner's word that a step failed, also one that never began and so left no record.
    """
    with run.step("report") as step:
        step.figures = {"run_failed": failed}
        step.write()
        left = _take_away(run)
        page = run.path / "report.html"
        write_atomic(page, run_page(run).encode())
        step.figures |= {"page": str(page)}
        try:
            told = post(run)
        except NightshiftError as error:
            told = f"no message was sent: {error}"
        step.say("; ".join(part for part in (f"report: {page}", told, left) if part))
    return page


def _take_away(run: Run) -> str:
    """The TrainJob that a train step names which was killed before it could take it away; in words."""
    name = run.statuses().get("train", {}).get("figures", {}).get("trainjob")
    if not name:
        return ""
    try:
        return f"TrainJob {name}: {take_away(name)}"
    except NightshiftError as error:
        return f"TrainJob {name} could not be taken away: {error}"
