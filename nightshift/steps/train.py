"""train: a preset on a dataset."""

import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from nightshift.data.augmentation import augment
from nightshift.data.manifest import Dataset
from nightshift.data.sample import sample
from nightshift.errors import ConfigurationError
from nightshift.evaluation.architecture import architecture, load_network
from nightshift.files import write_json, write_npz
from nightshift.provenance import recipe
from nightshift.tasks.base import Preset, Task
from nightshift.tasks.registry import preset_of
from nightshift.tasks.registry import task as task_of
from nightshift.training.kubernetes import Nodes, train_on_nodes
from nightshift.training.kubernetes.job import Work
from nightshift.training.model import HISTORY, TrainedModel
from nightshift.training.place import TF_CONFIG
from nightshift.training.preemption import Preemption
from nightshift.training.train import train as train_recipe
from nightshift.workspace import Run, Step, Workspace

AUGMENTED = 5
ONE = Nodes()


def train(
    run: Run,
    workspace: Workspace,
    *,
    task: str,
    preset: str,
    settings: Mapping[str, Any],
    seed: int,
    dataset: Dataset,
    nodes: Nodes = ONE,
) -> TrainedModel:
    """Train, go on with an interrupted training, or find the finished one.

    On several nodes a TrainJob trains, and this process follows it.

    Args:
        run: where the record goes.
        workspace: where the training is kept.
        task: name.
        preset: name.
        settings: changes to it.
        seed: of weights, order and random changes.
        dataset: prepared for the task.
        nodes: that train, and what each of them gets.
    """
    with run.step("train") as step:
        chosen = task_of(task)
        changed = preset_of(chosen, preset, settings)
        if nodes.count == 1:
            trained = _alone(chosen, preset, changed, dataset, workspace, seed, step)
        else:
            key = recipe(chosen, preset, changed, seed, dataset.manifest.fingerprint).key
            work = Work(key, task, preset, settings, seed, dataset.place, workspace.root, run.run_id)
            trained = _on_nodes(work, nodes, step)
        _record(trained, chosen, changed, step)
        write_npz(step.path / "augmentation.npz", {"images": _augmented(dataset, changed, seed)})
        step.say(_in_words(trained, chosen, changed))
    return trained


def _alone(
    task: Task, name: str, preset: Preset, dataset: Dataset, workspace: Workspace, seed: int, step: Step
) -> TrainedModel:
    trained = train_recipe(task, name, preset, dataset, workspace, seed=seed, progress=step.progress)
    if trained is None:
        raise ConfigurationError(f"{TF_CONFIG}: found one of several workers, expected none: the step trains alone")
    return trained


def _on_nodes(work: Work, nodes: Nodes, step: Step) -> TrainedModel:
    step.figures = {"trainjob": work.name}  # until it is taken away; the report looks
    step.write()
    with Preemption() as preemption:
        return train_on_nodes(work, nodes, asked=lambda: preemption.asked, progress=step.progress, say=step.say)


def _record(trained: TrainedModel, task: Task, preset: Preset, step: Step) -> None:
    """The step's figures and files of a model; what it was trained on is what its own record says."""
    facts = trained.description
    names = ("parameters", "epochs", "best_epoch", "best_score", "seconds", "cpu_seconds", "stopped", "workers")
    step.figures = {name: facts[name] for name in names if name in facts} | {
        "network": preset.network,
        "score": task.score,
        "precision": preset.precision,
        "jit_compile": preset.jit_compile,
    }
    shutil.copy(trained.history, step.path / HISTORY)
    if graph := architecture(load_network(trained.weights)):
        write_json(step.path / "architecture.json", graph)


def _in_words(trained: TrainedModel, task: Task, preset: Preset) -> str:
    facts = trained.description
    came_to = (
        f"{facts['epochs']} epochs, the last weights kept"
        if preset.keep == "last"
        else f"{task.score} {facts['best_score']:.4f} on the validation split after epoch "
        f"{facts['best_epoch']} of {facts['epochs']} ({facts['stopped']})"
    )
    return f"{preset.network}, {facts['parameters']:,} parameters: {came_to}"


def _augmented(dataset: Dataset, preset: Preset, seed: int) -> np.ndarray:
    """One training image changed as in five epochs, uint8 [5, H, W, C]."""
    image, _ = sample(dataset, "train", 1)
    changes = [augment(image, tf.zeros(1, tf.int64), preset.augmentation, seed, epoch) for epoch in range(AUGMENTED)]
    return np.concatenate([np.asarray(change) for change in changes])
