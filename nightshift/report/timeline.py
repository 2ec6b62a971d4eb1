"""When every step ran, how long, and what it cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nightshift.report.folder import StepFolder
from nightshift.report.judged import Evaluation
from nightshift.report.verdict import in_short, working_steps
from nightshift.sweep.trials import CHOICE, PLANNED


@dataclass(frozen=True)
class Row:
    """One step; `begin` and `width` are shares of the whole run's time, the message what is not as it should be."""

    step: str
    state: str
    begin: float
    width: float
    seconds: float | None
    cpu_seconds: float | None
    message: str


@dataclass(frozen=True)
class Timeline:
    """The steps of a run; `seconds` from the first beginning to the last end, the waits between them included."""

    rows: list[Row]
    started: float | None
    seconds: float | None
    cpu_seconds: float | None


def timeline_of(folders: Mapping[str, StepFolder]) -> Timeline:
    """The timeline of a run from the folders of its steps, by name."""
    statuses = {step: folders[step].status for step in working_steps(folders)}
    spans = {step: _span(status) for step, status in statuses.items() if "started" in status}
    first = min((begin for begin, _ in spans.values()), default=0.0)
    whole = max((end for _, end in spans.values()), default=0.0) - first
    absence = _absence(folders)
    rows = []
    for step, status in statuses.items():
        begin, end = spans.get(step, (first, first))
        state = folders[step].state
        rows.append(
            Row(
                step=step,
                state=state or absence,
                begin=(begin - first) / whole if whole else 0.0,
                width=(end - begin) / whole if whole else 0.0,
                seconds=status.get("seconds"),
                cpu_seconds=status.get("cpu_seconds"),
                message=_words(folders[step]),
            )
        )
    if not spans:
        return Timeline(rows, None, None, None)
    return Timeline(rows, first, whole, sum(row.cpu_seconds or 0.0 for row in rows))


def _span(status: Mapping[str, Any]) -> tuple[float, float]:
    begin = float(status["started"])
    return begin, begin + float(status.get("seconds", 0.0))


def _absence(folders: Mapping[str, StepFolder]) -> str:
    """Why a step has not begun, as far as the others tell."""
    evaluation = folders["evaluate"].described("evaluation.json", Evaluation)
    refused = evaluation is not None and not evaluation.decision.blessed
    decided = [folders[step].figures.get("train") for step in (PLANNED, CHOICE) if step in folders]
    imported = "release" in folders["export"].figures  # a published model needs no data and no training
    if False in decided or refused or imported:
        return "not needed"
    return "not begun"


def _words(folder: StepFolder) -> str:
    """The error of a step that failed, the last words of one that has not ended."""
    if folder.state == "running":
        return str(folder.status.get("message", ""))
    return in_short(folder.error)[0] if folder.state == "failed" else ""
