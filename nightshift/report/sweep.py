"""What the page shows of a sweep: its trials in a table, and their scores by each setting that varies."""

from collections.abc import Mapping, Sequence
from typing import Any

from nightshift.report import formats, plots
from nightshift.report.folder import StepFolder
from nightshift.sweep.plan import PLAN, Plan
from nightshift.sweep.trials import CHOICE, PLANNED, Outcome, outcomes
from nightshift.tasks.registry import tasks
from nightshift.workspace import Run

STATES = {"": "not begun", "succeeded": "no score"}
"""What a trial without a score is said to have done, where its state does not say it."""


def sweep_view(run: Run, folders: Mapping[str, StepFolder]) -> dict[str, Any] | None:
    """What is shown by sweep.html of a run and the folders of its steps, None if it is no sweep."""
    planned = folders[PLANNED]
    plan = planned.described(PLAN, Plan)
    if plan is None:
        return None
    trials = outcomes(run.path, plan)
    task = tasks().get(str(planned.figures.get("task", "")))
    score = formats.words(task.score if task else "score")
    chosen = folders[CHOICE].figures if CHOICE in folders else {}
    return {
        "score": score,
        "names": plan.settings,
        "rows": [_row(place, trial, plan.settings) for place, trial in enumerate(trials, 1)],
        "facts": _facts(planned.figures, chosen, trials),
        "plots": _plots(trials, plan.settings, score),
        "refit": "final_settings" in chosen,
    }


def _row(place: int, trial: Outcome, names: Sequence[str]) -> dict[str, Any]:
    """A line of the table as text; those that have no score have their state and reason in its place."""
    figures: list[str] = []
    if trial.trained:
        loss, score = formats.number(trial.loss), formats.number(trial.score)
        figures = [score, loss, formats.number(trial.parameters)]
        figures += [f"{trial.best_epoch} of {trial.epochs}", formats.duration(trial.seconds)]
    return {
        "rank": str(place) if trial.trained else "",
        "best": trial.trained and place == 1,
        "name": trial.name,
        "values": [formats.plain(trial.settings.get(name, "")) for name in names],
        "figures": figures,
        "state": "failed" if trial.state == "failed" else STATES.get(trial.state, trial.state),
        "error": trial.error,
    }


def _facts(planned: dict[str, Any], chosen: dict[str, Any], trials: Sequence[Outcome]) -> list[tuple[str, str]]:
    trained = [trial for trial in trials if trial.trained]
    failed = [trial for trial in trials if trial.state == "failed"]
    seconds = formats.duration(sum(trial.seconds or 0.0 for trial in trained))
    facts = [
        *formats.facts(planned, {"tried": "tried"}),
        ("trials", f"{len(trials)}, {len(trained)} of them with a score"),
    ]
    facts += [("failed", str(len(failed)))] if failed else []
    facts += [("training time of all", seconds)] if trained else []
    facts += formats.facts(chosen, {"best_settings": "best"})
    if final := chosen.get("final_settings"):
        facts.append(("trained anew", f"{final['epochs']} epochs on {formats.number(chosen.get('images'))} images"))
    return facts


def _plots(trials: Sequence[Outcome], names: Sequence[str], score: str) -> list[dict[str, Any]]:
    """Score by the values of each setting, the best trial marked."""
    trained = [trial for trial in trials if trial.trained]
    if len(trained) < 2:
        return []
    scores = [trial.score or 0.0 for trial in trained]
    return [
        {
            "title": name,
            "svg": plots.scores_by_value([trial.settings[name] for trial in trained], scores, f"Validation {score}"),
        }
        for name in names
    ]
