"""report: one HTML page of a run, whatever became of it. No TensorFlow."""

from pathlib import Path

from nightshift.files import write_atomic
from nightshift.report.pages import run_page
from nightshift.workspace import Run


def report(run: Run) -> Path:
    """Write report.html into the run's folder and give its path."""
    with run.step("report") as step:
        page = run.path / "report.html"
        write_atomic(page, run_page(run).encode())
        step.figures = {"page": str(page)}
        step.say(f"report: {page}")
    return page
