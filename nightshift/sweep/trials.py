"""The record of a sweep's trials in its run's folder: a folder each, beside those of the steps."""

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nightshift.sweep.plan import PREFIX, Plan
from nightshift.workspace import STEPS, Run, Step

HISTORY = "history.csv"
PLANNED, CHOICE = "prepare_data", "choose_settings"
SUCCEEDED = "succeeded"


@dataclass(frozen=True)
class TrialRun(Run):
    """The run of a sweep as one of its trials sees it: the step that it does is kept by the trial's name."""

    name: str

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Do the step as this trial."""
        with super().step(self.name) as step:
            yield step


@dataclass(frozen=True)
class SweepRun(Run):
    """The run of a sweep: it has trials and a choice among them, besides the steps of every run."""

    def statuses(self) -> dict[str, dict[str, Any]]:
        """What is known of each step and trial that has begun, in the order of the pipeline."""
        trials = sorted(path.name for path in self.path.glob(f"{PREFIX}*"))
        first = STEPS.index(PLANNED) + 1
        files = {name: self.path / name / "status.json" for name in (*STEPS[:first], *trials, CHOICE, *STEPS[first:])}
        return {name: json.loads(file.read_text()) for name, file in files.items() if file.exists()}


@dataclass(frozen=True)
class Outcome:
    """What a trial came to; figures are None where it did not come so far.

    Attributes:
        name: of the trial.
        settings: in which it differs from the preset.
        state: `succeeded`, `failed`, `running`, or empty if it has not begun.
        error: why it failed, one line; else empty.
        score: on the validation split, of the best epoch.
        loss: there, of the same epoch.
        parameters: of the network.
        epochs: that were trained.
        best_epoch: whose weights were kept.
        seconds: of training.
    """

    name: str
    settings: Mapping[str, Any]
    state: str
    error: str = ""
    score: float | None = None
    loss: float | None = None
    parameters: int | None = None
    epochs: int | None = None
    best_epoch: int | None = None
    seconds: float | None = None

    @property
    def trained(self) -> bool:
        """Whether it can be chosen."""
        return self.state == SUCCEEDED and self.score is not None and self.loss is not None

    def as_json(self) -> dict[str, Any]:
        """Its fields."""
        return asdict(self) | {"settings": dict(self.settings)}


def outcomes(run: Path, plan: Plan) -> list[Outcome]:
    """What the trials of a plan have come to, the best first, then those without a score as they were planned.

    Of equal scores, likely on a small validation split, the lower loss is the better, as among epochs; then the
    smaller network.
    """
    return ranked(_outcome(run / name, settings) for name, settings in plan.trials.items())


def ranked(found: Iterable[Outcome]) -> list[Outcome]:
    """The best first; the order of those that cannot be chosen stays."""
    return sorted(found, key=_badness)


def _badness(outcome: Outcome) -> tuple[float, ...]:
    if not outcome.trained:
        return (1.0, 0.0, 0.0, 0.0)
    return (0.0, -(outcome.score or 0.0), outcome.loss or 0.0, float(outcome.parameters or 0))


def in_words(settings: Mapping[str, Any]) -> str:
    """Settings as they are given on a command line."""
    return ", ".join(
        f"{name}={value:g}" if type(value) is float else f"{name}={value}" for name, value in settings.items()
    )


def _outcome(folder: Path, settings: Mapping[str, Any]) -> Outcome:
    try:
        status = json.loads((folder / "status.json").read_text())
    except FileNotFoundError:
        return Outcome(folder.name, settings, "")
    except (OSError, ValueError) as error:
        return Outcome(folder.name, settings, "failed", f"its record cannot be read: {error}")
    state, figures = str(status.get("state", "")), status.get("figures") or {}
    if state != SUCCEEDED:
        lines = str(status.get("error", "")).strip().splitlines()
        return Outcome(folder.name, settings, state, lines[-1] if lines else "")
    return Outcome(
        folder.name,
        settings,
        state,
        score=figures.get("best_score"),
        loss=_loss(folder / HISTORY, figures.get("best_epoch")),
        parameters=figures.get("parameters"),
        epochs=figures.get("epochs"),
        best_epoch=figures.get("best_epoch"),
        seconds=figures.get("seconds"),
    )


def _loss(history: Path, epoch: Any) -> float | None:
    """The validation loss of an epoch, None where the history does not say."""
    try:
        with open(history, newline="", encoding="utf-8") as file:
            rows = {row["epoch"]: float(row["validation_loss"]) for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return None
    loss = rows.get(str(epoch), math.nan)
    return loss if math.isfinite(loss) else None
