"""report: one HTML page of a run, and a message if a webhook is set, whatever became of it. No TensorFlow."""

from pathlib import Path

from nightshift.errors import NightshiftError
from nightshift.files import write_atomic
from nightshift.report.pages import run_page
from nightshift.report.webhook import post
from nightshift.workspace import Run


def report(run: Run) -> Path:
    """Write report.html into the run's folder and give its path; a message that is not taken is no failure."""
    with run.step("report") as step:
        page = run.path / "report.html"
        write_atomic(page, run_page(run).encode())
        step.figures = {"page": str(page)}
        try:
            told = post(run)
        except NightshiftError as error:
            told = f"no message was sent: {error}"
        step.say("; ".join(part for part in (f"report: {page}", told) if part))
    return page
