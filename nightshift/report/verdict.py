"""What came of a run, in one line and a reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nightshift.report.comparison import decision_in_words
from nightshift.report.folder import StepFolder
from nightshift.report.judged import Evaluation
from nightshift.sweep.trials import CHOICE

NO_RECORD = (
    "The step that failed left no record: its Pod never ran (image, node, volume), or ran out of time. "
    "The run's page in the Kubeflow UI names the step; `kubectl describe pod` says what held it up."
)


@dataclass(frozen=True)
class Verdict:
    """The headline of a run.

    Attributes:
        kind: decides the colour.
        title: one line.
        reason: why, for people; may be empty.
        detail: a traceback, where the reason is its last line; else empty.
        standing: what a failure leaves in place; else empty.
    """

    kind: Literal["good", "kept", "failed", "unknown"]
    title: str
    reason: str
    detail: str = ""
    standing: str = ""


def working_steps(folders: Mapping[str, StepFolder]) -> list[str]:
    """The names of all steps but the report."""
    return [step for step in folders if step != "report"]


def failure_of(folder: StepFolder, standing: str = "") -> Verdict:
    """The verdict on a step that failed."""
    return Verdict("failed", f"Failed at {folder.name}", *in_short(folder.error), standing)


def verdict_of(folders: Mapping[str, StepFolder]) -> Verdict:
    """The verdict on a run from the folders of its steps, by name.

    A step that failed comes first, whatever else happened; then one that has not ended.
    """
    began = (folders[step].figures.get("serving_version") for step in ("prepare_data", "export"))
    version = next(filter(None, began), 0)
    standing = f"Version {version} goes on serving." if version else ""
    for step in working_steps(folders):
        if folders[step].state == "failed":
            # Only deploy touches what serves, and its error says what that has come to.
            return failure_of(folders[step], "" if step == "deploy" else standing)
    for step in working_steps(folders):
        if folders[step].state == "running":
            return _unfinished(folders[step], begun_reporting=bool(folders["report"].state))
    return _outcome(folders, version, standing)


def in_short(error: str) -> tuple[str, str]:
    """An error as the line that says what is wrong and, if it is a traceback, all of it."""
    lines = [line for line in error.strip().splitlines() if line.strip()]
    if not lines:
        return "The step left no error message.", ""
    return (lines[-1].strip(), error) if "Traceback" in error else (error.strip(), "")


def _unfinished(folder: StepFolder, *, begun_reporting: bool) -> Verdict:
    """In a pipeline the report runs when all other steps have ended: one that still says `running` then was killed."""
    seen = f"{100 * float(folder.status.get('progress', 0)):.0f} % done"
    last = f"{seen}: {folder.status['message']}" if folder.status.get("message") else seen
    if not begun_reporting:
        return Verdict("unknown", f"Running {folder.name}", last)
    reason = f"It left no last word: killed, short of memory, or still at work. Last seen {last}"
    return Verdict("failed", f"Stopped in {folder.name}", reason)


def _outcome(folders: Mapping[str, StepFolder], version: int, standing: str) -> Verdict:
    """What came of a run in which no step failed; `version` served when it began, 0 for none."""
    prepared, deployed = folders["prepare_data"].figures, folders["deploy"].figures
    chosen = folders[CHOICE].figures if CHOICE in folders else {}
    if deployed.get("released"):
        return Verdict("good", f"Released version {deployed.get('version')}", str(deployed.get("reason", "")))
    if folders["deploy"].state:
        return Verdict("kept", _kept(version or deployed.get("version", 0)), str(deployed.get("reason", "")))
    evaluation = folders["evaluate"].described("evaluation.json", Evaluation)
    if evaluation and not evaluation.decision.blessed:
        return Verdict("kept", _kept(version), decision_in_words(evaluation.decision)[1])
    decided = next((figures for figures in (prepared, chosen) if figures.get("train") is False), None)
    imported = folders["export"].figures
    if decided is None and imported.get("release") is False:  # of a published model
        decided = imported
    if decided:
        return Verdict("good", f"Nothing to do: version {version} serves", str(decided.get("reason", "")))
    finished = [step for step in working_steps(folders) if folders[step].state]
    if folders["report"].figures.get("run_failed"):
        begun = f"Failed after {finished[-1]}" if finished else "Failed at its start"
        return Verdict("failed", begun, NO_RECORD, standing=standing)
    if not finished:
        return Verdict("unknown", "Nothing has run", "No step left anything in the run's folder.")
    return Verdict("unknown", f"Unfinished after {finished[-1]}", "The steps that follow have not begun.")


def _kept(version: int) -> str:
    return f"Kept version {version}" if version else "Nothing released"
