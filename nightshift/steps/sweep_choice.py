"""The choice of a sweep: the best trial by the validation split, and the training that comes of it. No TensorFlow."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nightshift.data.manifest import Dataset
from nightshift.data.merged import with_validation
from nightshift.errors import ConfigurationError
from nightshift.provenance import recipe
from nightshift.serving.store import Store
from nightshift.serving.target import target
from nightshift.steps.place import place_of
from nightshift.steps.prepare_data import training_due
from nightshift.sweep.plan import Plan
from nightshift.sweep.refit import refit_settings
from nightshift.sweep.trials import CHOICE, PLANNED, Outcome, in_words, outcomes
from nightshift.tasks.registry import preset_of
from nightshift.tasks.registry import task as task_of
from nightshift.workspace import Run, Workspace


@dataclass(frozen=True)
class Choice:
    """All trials, the best first; what is trained of the best, on what, and whether that is due.

    `place` is where other steps read the dataset.
    """

    trials: list[Outcome]
    settings: dict[str, Any]
    dataset: Dataset
    train: bool
    reason: str
    place: str


def choose_settings(
    run: Run,
    workspace: Workspace,
    store: Store,
    *,
    task: str,
    model: str,
    preset: str,
    settings: Mapping[str, Any],
    seed: int,
    dataset: Dataset,
    server: str,
) -> Choice:
    """Choose the trial with the best validation score; make the dataset of train and validation images together.

    The test split is not looked at.

    Args:
        run: where the plan and the trials are, and the record goes.
        workspace: where the dataset goes; with NIGHTSHIFT_DATASETS it is published there, too.
        store: what serves is of this store.
        task: name.
        model: name that the best is served by.
        preset: name.
        settings: changes to it that every trial shared.
        seed: of the trainings.
        dataset: that the trials were trained on.
        server: where the models are served, asked which version does.

    Raises:
        ConfigurationError: no trial has a score.
    """
    with run.step(CHOICE) as step:
        plan = Plan.read(run.path / PLANNED)
        trials = outcomes(run.path, plan)
        chosen, best = task_of(task), trials[0]
        step.figures = {"trials": len(trials), "failed": sum(not trial.trained for trial in trials)}
        if not best.trained:
            raise ConfigurationError(
                f"none of the {len(trials)} trials came to a score; {best.name} ({in_words(best.settings)}): "
                f"{best.error or best.state or 'has not begun'}"
            )
        final = refit_settings(preset_of(chosen, preset, {**settings, **best.settings}), best)
        merged = with_validation(dataset, workspace)
        place = place_of(merged, step.progress)
        key = recipe(chosen, preset, preset_of(chosen, preset, final), seed, merged.fingerprint).key
        with target(server, store) as serving:
            due, reason = training_due(store, model, serving.champion(model), key)
        step.figures |= {
            "best": best.name,
            "best_settings": dict(best.settings),
            "score": chosen.score,
            "best_score": best.score,
            "final_settings": final,
            "dataset": merged.fingerprint,
            "images": merged.manifest.splits["train"].count,
            "train": due,
            "reason": reason,
            "key": key,
        }
        came_to = f"validation {chosen.score} {best.score:.4f}"
        step.say(f"best of {len(trials)} trials: {in_words(best.settings)}, {came_to}; {reason}")
    return Choice(trials, final, merged, due, reason, place)
