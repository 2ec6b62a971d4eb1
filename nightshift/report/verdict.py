"""What came of a run, in one line and a reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nightshift.report.folder import StepFolder
from nightshift.workspace import STEPS

WORKING_STEPS = tuple(step for step in STEPS if step != "report")


@dataclass(frozen=True)
class Verdict:
    """The headline of a run.

    Attributes:
        kind: decides the colour.
        title: one line.
        reason: why, for people; may be empty.
        detail: a traceback, where the reason is its last line; else empty.
    """

    kind: Literal["good", "kept", "failed", "unknown"]
    title: str
    reason: str
    detail: str = ""


def verdict_of(folders: Mapping[str, StepFolder]) -> Verdict:
    """The verdict on a run from the folders of its steps, by name.

    A step that failed comes first, whatever else happened; then one that ended without a word.
    """
    for step in WORKING_STEPS:
        if folders[step].state == "failed":
            return Verdict("failed", f"Failed at {step}", *in_short(folders[step].error))
    for step in WORKING_STEPS:
        if folders[step].state == "running":
            return _unfinished(folders[step], begun_reporting=bool(folders["report"].state))
    return _outcome(folders)


def in_short(error: str) -> tuple[str, str]:
    """An error as the line that says what is wrong and, if it is a traceback, all of it."""
    lines = [line for line in error.strip().splitlines() if line.strip()]
    if not lines:
        return "The step left no error message.", ""
    return (lines[-1].strip(), error) if "Traceback" in error else (error.strip(), "")


def _unfinished(folder: StepFolder, *, begun_reporting: bool) -> Verdict:
    """The report runs when all other steps have ended: one that still says `running` then was killed."""
    seen = f"{100 * float(folder.status.get('progress', 0)):.0f} % done"
    last = f"{seen}: {folder.status['message']}" if folder.status.get("message") else seen
    if begun_reporting:
        return Verdict(
            "failed",
            f"Stopped in {folder.name}",
            f"The step ended without a word, as one does that is killed or short of memory. Last seen {last}.",
        )
    return Verdict("unknown", f"Running {folder.name}", last)


def _outcome(folders: Mapping[str, StepFolder]) -> Verdict:
    """What came of a run in which no step failed."""
    prepared, deployed = folders["prepare_data"].figures, folders["deploy"].figures
    decision = folders["evaluate"].json("evaluation.json").get("decision") or {}
    version = deployed.get("predecessor") or prepared.get("serving_version") or 0
    kept = f"Kept version {version}" if version else "Nothing released"
    if deployed.get("released"):
        return Verdict("good", f"Released version {deployed.get('version')}", str(deployed.get("reason", "")))
    if folders["deploy"].state:
        return Verdict("kept", kept, str(deployed.get("reason", "")))
    if decision and not decision.get("blessed"):
        return Verdict("kept", kept, str(decision.get("reason", "")))
    if prepared.get("train") is False:
        return Verdict("good", f"Nothing to do: version {version} serves", str(prepared.get("reason", "")))
    finished = [step for step in WORKING_STEPS if folders[step].state]
    if not finished:
        return Verdict("unknown", "Nothing has run", "No step left anything in the run's folder.")
    return Verdict("unknown", f"Unfinished after {finished[-1]}", "The steps that follow have not begun.")
