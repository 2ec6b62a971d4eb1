"""A trial of a sweep: the train step with the trial's settings."""

import traceback
from collections.abc import Mapping
from typing import Any

from nightshift.data.manifest import Dataset
from nightshift.steps.train import train
from nightshift.sweep.plan import Plan
from nightshift.sweep.trials import PLANNED, TrialRun
from nightshift.training.model import TrainedModel
from nightshift.workspace import Run, Workspace


def try_settings(
    run: Run,
    workspace: Workspace,
    *,
    trial: str,
    task: str,
    preset: str,
    settings: Mapping[str, Any],
    seed: int,
    dataset: Dataset,
) -> TrainedModel | None:
    """Train a trial on the training split, or find it trained; None if that cannot be done, as its record says.

    Args:
        run: where the plan is, and the record goes.
        workspace: where the training is kept.
        trial: its name in the plan.
        task: name.
        preset: name.
        settings: changes to it that every trial shares.
        seed: of weights, order and random changes, the same for every trial.
        dataset: its validation split gives the trial's score.

    Raises:
        WorkspaceError: the plan has no such trial.
        OSError: the disk is full, or cannot be written: no fault of the settings.
    """
    own = Plan.read(run.path / PLANNED).of(trial)
    place = TrialRun(run.path, trial)
    try:
        return train(
            place, workspace, task=task, preset=preset, settings={**settings, **own}, seed=seed, dataset=dataset
        )
    except OSError:
        raise
    except Exception:
        # Whatever these settings led to, a network that cannot be built or does not fit in memory for one: the other
        # trials go on, and the step has put it on record. The choice fails if no trial is left.
        traceback.print_exc()
        return None
