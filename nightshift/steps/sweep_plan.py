"""The first step of a sweep: the dataset, and the settings that are tried on it. No TensorFlow."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nightshift.data.manifest import MANIFEST_NAME, Dataset
from nightshift.data.prepare import prepare
from nightshift.data.sample import sample
from nightshift.errors import ConfigurationError
from nightshift.files import write_npz
from nightshift.serving.card import check_task, read_card
from nightshift.serving.store import Store
from nightshift.serving.target import target
from nightshift.steps.place import check_place, part_of, place_of
from nightshift.steps.prepare_data import PREPARED, PUBLISHED, SAMPLE
from nightshift.sweep.plan import Plan, plan_of
from nightshift.sweep.trials import PLANNED
from nightshift.tasks.registry import preset_of
from nightshift.tasks.registry import task as task_of
from nightshift.workspace import Run, Workspace


@dataclass(frozen=True)
class Planned:
    """The dataset, the trials, and where other steps read the data."""

    dataset: Dataset
    plan: Plan
    place: str


def plan_sweep(
    run: Run,
    workspace: Workspace,
    store: Store,
    *,
    task: str,
    model: str,
    source: str,
    preset: str,
    settings: Mapping[str, Any],
    tried: Mapping[str, Any],
    samples: int,
    seed: int,
    server: str,
) -> Planned:
    """Plan the trials and prepare the data, which are published with NIGHTSHIFT_DATASETS; recorded as prepare_data.

    Args:
        run: where the record and the plan go.
        workspace: where the dataset goes.
        store: what serves is of this store.
        task: name.
        model: name that the best is served by.
        source: of the data; '' is the task's own.
        preset: name.
        settings: changes to it that every trial shares.
        tried: setting -> its values (see `nightshift.sweep.space`).
        samples: how many random ones; 0: the whole grid.
        seed: of samples, data and trainings.
        server: where the models are served, HOST:PORT or kubernetes:NAMESPACE.

    Raises:
        NightshiftError: a name, a setting or the data cannot be used, or the server does not answer.
    """
    with run.step(PLANNED) as step:
        if not 0 <= seed < 1 << 32:
            raise ConfigurationError(f"seed: found {seed}, expected 0 to {(1 << 32) - 1}")
        chosen = task_of(task)
        base = preset_of(chosen, preset, settings)
        plan = plan_of(base, tried, samples, seed)
        check_place()
        with target(server, store) as serving:  # a server that does not answer is found out now, not after the trials
            version = serving.champion(model)
        if version:
            check_task(read_card(store.version_path(model, version)), model, task)
        dataset = prepare(chosen, source, workspace, seed=seed, progress=part_of(step.progress, 0.0, PREPARED))
        place = place_of(dataset, part_of(step.progress, PREPARED, PUBLISHED))
        plan.write(step.path)
        reason = f"{len(plan.trials)} trials of {', '.join(plan.settings)}"
        step.figures = {
            "task": task,
            "model": model,
            "preset": preset,
            "settings": base.settings(),
            "tried": dict(tried),
            "seed": seed,
            "source": source or chosen.source,
            "dataset": dataset.fingerprint,
            "dataset_path": str(dataset.path),
            "dataset_place": place,
            "reused": dataset.reused,
            "reason": reason,
            "serving_version": version,
        }
        shutil.copy(dataset.path / MANIFEST_NAME, step.path / MANIFEST_NAME)
        images, labels = sample(dataset, "train", SAMPLE)
        write_npz(step.path / "sample.npz", {"images": images, "labels": labels})
        step.say("; ".join([reason, *dataset.manifest.remarks()]))
    return Planned(dataset, plan, place)
