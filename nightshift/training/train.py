"""The training step: one recipe, one folder, one writer; a recipe that was trained before is not trained again."""

import csv
import io
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from nightshift.data.manifest import Dataset
from nightshift.errors import WorkspaceError
from nightshift.files import exclusive_lock, sha256_of, write_atomic, write_json
from nightshift.provenance import recipe
from nightshift.settings import settings
from nightshift.tasks.base import Preset, Task
from nightshift.training import devices
from nightshift.training.epochs import Trained
from nightshift.training.kept import kept_at
from nightshift.training.loop import fit
from nightshift.training.model import DESCRIPTION, HISTORY, WEIGHTS, TrainedModel
from nightshift.training.place import Place, place_from_environment
from nightshift.training.workers import dismiss, from_chief
from nightshift.workspace import Workspace

TO_DO, DONE = b"to do", b"done"
"""What the chief tells the other workers."""


def train(
    task: Task,
    preset_name: str,
    preset: Preset,
    dataset: Dataset,
    workspace: Workspace,
    *,
    seed: int,
    progress: Callable[[float, str], None] = lambda fraction, message: None,
) -> TrainedModel | None:
    """Train a preset, go on with a training that was interrupted, or find the one that is finished.

    Another process that trains the same recipe, an orphan of a killed run for one, is waited for. Of several workers
    (see nightshift.training.place) the chief alone waits, decides, tells of its progress and writes.

    Args:
        task: what is learnt.
        preset_name: for the record.
        preset: network and settings.
        dataset: prepared data.
        workspace: the model is at checkpoints/KEY in it.
        seed: of weights, order and random changes.
        progress: told (share done, words).

    Returns:
        the model; None at a worker that is not the chief, which may not see yet what another node has written.

    Raises:
        Preempted: SIGTERM came; the checkpoint is written.
        WorkerLostError: another worker has ended, or never came.
    """
    place = place_from_environment()
    strategy = devices.strategy(place)
    facts = recipe(task, preset_name, preset, seed, dataset.manifest.fingerprint)
    directory = workspace.checkpoints / facts.key

    def work(**more: Any) -> Trained:
        kept = kept_at(directory, settings().checkpoints)
        return fit(task, preset, dataset, seed=seed, kept=kept, strategy=strategy, place=place, **more)

    if place.chief:
        known = {"recipe": asdict(facts), "classes": dataset.manifest.classes, "workers": place.count}
        return _lead(work, known, directory, strategy, place, progress)
    if from_chief(strategy, place, b"") == TO_DO:
        work()
    dismiss(strategy, place)
    return None


def _lead(
    work: Callable[..., Trained],
    facts: dict[str, object],
    directory: Path,
    strategy: tf.distribute.Strategy,
    place: Place,
    progress: Callable[[float, str], None],
) -> TrainedModel:
    """The chief's part: wait for whoever writes there, decide, and write what the work comes to."""
    with exclusive_lock(directory / "lock", waiting=lambda words: progress(0, words)):
        finished = _finished(directory)
        from_chief(strategy, place, DONE if finished else TO_DO)
        if finished is None:
            trained = work(progress=progress, callbacks=[Scalars(directory / "tensorboard")])
            _write(directory, trained, facts)
        dismiss(strategy, place)
    if finished:
        progress(1, f"trained before, nothing to train: checkpoints/{directory.name}")
    return finished or TrainedModel.open(directory)


def _finished(directory: Path) -> TrainedModel | None:
    """The model, if it is there and whole."""
    try:
        return TrainedModel.open(directory)
    except WorkspaceError:
        return None


def _write(directory: Path, trained: Trained, facts: dict[str, object]) -> None:
    """Model and history first, the description last: with it the training is finished."""
    partial = directory / f"partial-{WEIGHTS}"
    trained.model.save(partial)
    partial.replace(directory / WEIGHTS)
    text = io.StringIO()
    rows = csv.DictWriter(text, fieldnames=list(trained.progress.history[0]))
    rows.writeheader()
    rows.writerows(trained.progress.history)
    write_atomic(directory / HISTORY, text.getvalue().encode())
    description = facts | {
        "parameters": trained.model.count_params(),
        "epochs": trained.progress.epoch,
        "stopped": trained.stopped,
        "best_epoch": trained.progress.best_epoch,
        "best_score": trained.progress.best_score,
        "seconds": round(trained.progress.seconds, 3),
        "cpu_seconds": round(trained.progress.cpu_seconds, 3),
        "sha256": sha256_of(directory / WEIGHTS),
    }
    write_json(directory / DESCRIPTION, description)


class Scalars(keras.callbacks.Callback):
    """Writes every epoch's figures for TensorBoard."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.writer = tf.summary.create_file_writer(str(directory))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """One scalar a figure, at the number of finished epochs."""
        with self.writer.as_default():
            for name, value in (logs or {}).items():
                if name != "epoch":
                    tf.summary.scalar(name, value, step=epoch + 1)
        self.writer.flush()
