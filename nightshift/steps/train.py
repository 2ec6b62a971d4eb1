"""train: a preset on a dataset."""

import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from nightshift.data.augmentation import augment
from nightshift.data.manifest import Dataset
from nightshift.data.sample import sample
from nightshift.evaluation.architecture import architecture, load_network
from nightshift.files import write_json, write_npz
from nightshift.tasks.base import Preset
from nightshift.tasks.registry import preset_of
from nightshift.tasks.registry import task as task_of
from nightshift.training.model import HISTORY, TrainedModel
from nightshift.training.train import train as train_recipe
from nightshift.workspace import Run, Workspace

AUGMENTED = 5


def train(
    run: Run,
    workspace: Workspace,
    *,
    task: str,
    preset: str,
    settings: Mapping[str, Any],
    seed: int,
    dataset: Dataset,
) -> TrainedModel:
    """Train, go on with an interrupted training, or find the finished one.

    Args:
        run: where the record goes.
        workspace: where the training is kept.
        task: name.
        preset: name.
        settings: changes to it.
        seed: of weights, order and random changes.
        dataset: prepared for the task.
    """
    with run.step("train") as step:
        chosen = task_of(task)
        changed = preset_of(chosen, preset, settings)
        trained = train_recipe(chosen, preset, changed, dataset, workspace, seed=seed, progress=step.progress)
        facts = trained.description
        step.figures = {
            name: facts[name]
            for name in ("parameters", "epochs", "best_epoch", "best_score", "seconds", "cpu_seconds", "stopped")
        } | {
            "network": changed.network,
            "score": chosen.score,
            "precision": changed.precision,
            "jit_compile": changed.jit_compile,
        }
        shutil.copy(trained.history, step.path / HISTORY)
        write_npz(step.path / "augmentation.npz", {"images": _augmented(dataset, changed, seed)})
        if graph := architecture(load_network(trained.weights)):
            write_json(step.path / "architecture.json", graph)
        came_to = (
            f"{facts['epochs']} epochs, the last weights kept"
            if changed.keep == "last"
            else f"{chosen.score} {facts['best_score']:.4f} on the validation split after epoch "
            f"{facts['best_epoch']} of {facts['epochs']} ({facts['stopped']})"
        )
        step.say(f"{changed.network}, {facts['parameters']:,} parameters: {came_to}")
    return trained


def _augmented(dataset: Dataset, preset: Preset, seed: int) -> np.ndarray:
    """One training image changed as in five epochs, uint8 [5, H, W, C]."""
    image, _ = sample(dataset, "train", 1)
    changes = [augment(image, tf.zeros(1, tf.int64), preset.augmentation, seed, epoch) for epoch in range(AUGMENTED)]
    return np.concatenate([np.asarray(change) for change in changes])
