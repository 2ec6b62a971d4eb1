"""The folders of a run's steps, in the order of its pipeline."""

from typing import Any

from nightshift.report.folder import StepFolder
from nightshift.sweep.plan import PREFIX
from nightshift.sweep.trials import CHOICE, PLANNED
from nightshift.workspace import STEPS, Run

TRIALS = "trials"


class Trials(StepFolder):
    """The trials of a sweep as if they were one step, which does not fail: a failed trial is one of their results."""

    def __init__(self, run: Run) -> None:
        super().__init__(run.path / TRIALS)
        folders = [StepFolder(path) for path in sorted(run.path.glob(f"{PREFIX}*"))]
        self.status = _together([folder.status for folder in folders if folder.status])


def step_folders(run: Run) -> dict[str, StepFolder]:
    """By name: the steps of every run and, if it is a sweep, the trials and the choice among them."""
    folders = {step: StepFolder(run.path / step) for step in STEPS}
    trials, choice = Trials(run), StepFolder(run.path / CHOICE)
    if not trials.state and not choice.state:
        return folders
    after = list(folders)[list(folders).index(PLANNED) + 1 :]
    rest = {step: folders.pop(step) for step in after}
    return {**folders, TRIALS: trials, CHOICE: choice, **rest}


def _together(statuses: list[dict[str, Any]]) -> dict[str, Any]:
    """One status of several steps that ran side by side, empty if there are none."""
    spans = [(float(status["started"]), float(status.get("seconds", 0))) for status in statuses if "started" in status]
    if not spans:
        return {}
    begin = min(started for started, _ in spans)
    ended = [status for status in statuses if status.get("state") != "running"]
    return {
        "state": "succeeded" if len(ended) == len(statuses) else "running",
        "started": begin,
        "seconds": max(started + seconds for started, seconds in spans) - begin,
        "cpu_seconds": sum(float(status.get("cpu_seconds", 0)) for status in statuses),
        "progress": len(ended) / len(statuses),
        "message": f"{len(ended)} of {len(statuses)} trials that have begun have ended",
    }
