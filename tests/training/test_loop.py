import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import synthetic

from nightshift.data.input import evaluation_batches
from nightshift.data.manifest import Dataset
from nightshift.errors import ConfigurationError, DataError, WorkspaceError
from nightshift.problems.registry import problem_of
from nightshift.tasks.base import Preset, Task
from nightshift.training import checkpoints
from nightshift.training.epochs import Trained
from nightshift.training.kept import NAME, InFolder
from nightshift.training.loop import fit

ALL = synthetic.CORNERS.presets["default"]
PLAIN = synthetic.CORNERS.presets["plain"]


def train(
    dataset: Dataset, directory: Path, preset: Preset = PLAIN, task: Task = synthetic.CORNERS, **options: Any
) -> Trained:
    return fit(task, preset, dataset, kept=InFolder(directory), **({"seed": 0} | options))


def plain(**settings: Any) -> Preset:
    return PLAIN.with_settings(settings)


def same_weights(first: Trained, second: Trained) -> bool:
    pairs = zip(first.model.get_weights(), second.model.get_weights(), strict=True)
    return all(a.tobytes() == b.tobytes() for a, b in pairs)


class Stop(keras.callbacks.Callback):
    """Raises at a point of a training, as a machine that fails would."""

    def __init__(self, epoch: int, step: int | None) -> None:
        super().__init__()
        self.at, self.epoch = (epoch, step), 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if (self.epoch, batch) == self.at:
            raise InterruptedError

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if (epoch, None) == self.at:
            raise InterruptedError


@pytest.fixture(scope="module")
def undisturbed(corners, tmp_path_factory) -> Trained:
    """Four epochs with dropout, batch normalisation, random changes and a schedule."""
    return train(corners, tmp_path_factory.mktemp("undisturbed"), ALL)


def test_it_learns(undisturbed, corners):
    history = undisturbed.progress.history
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]
    right, count = 0, 0
    for batch in evaluation_batches(corners, "test", 100):
        answers = undisturbed.model(batch["image"], training=False).numpy().argmax(axis=1)
        right, count = right + (answers == batch["label"].numpy()).sum(), count + len(answers)
    assert right / count > 0.8
    assert undisturbed.stopped == "every epoch done"


def test_it_learns_to_solve_puzzles(textures, tmp_path):
    preset = synthetic.TEXTURES.presets["default"].with_settings({"epochs": 3})
    trained = train(textures, tmp_path, preset, synthetic.TEXTURES)
    assert trained.progress.best_score > 10 / 24


def test_the_model_has_the_weights_of_the_best_epoch(undisturbed, corners):
    state = undisturbed.progress
    best = max(state.history, key=lambda row: (row["validation_accuracy"], -row["validation_loss"]))
    assert state.best_epoch == best["epoch"]
    problem = problem_of(synthetic.CORNERS, tuple(corners.manifest.classes))
    (batch,) = evaluation_batches(corners, "validation", 100)
    logits = undisturbed.model(batch["image"], training=False)
    assert problem.score(batch["label"], logits).numpy().mean() == pytest.approx(state.best_score)
    assert problem.loss(batch["label"], logits, 0.0).numpy().mean() == pytest.approx(state.best_loss, rel=1e-4)


def test_the_same_seed_gives_the_same_weights_and_another_others(undisturbed, corners, tmp_path):
    again = train(corners, tmp_path / "again", ALL)
    assert same_weights(again, undisturbed)
    one, other = (train(corners, tmp_path / str(seed), plain(epochs=1), seed=seed) for seed in (0, 1))
    assert one.progress.history[0]["loss"] != other.progress.history[0]["loss"]


def test_an_interrupted_training_ends_as_if_it_had_not_been(undisturbed, corners, tmp_path):
    with pytest.raises(InterruptedError):
        train(corners, tmp_path, ALL, callbacks=[Stop(2, 5)])
    told: list[str] = []
    resumed = train(corners, tmp_path, ALL, progress=lambda fraction, words: told.append(words))
    assert told[0] == "going on after epoch 2 of 4"
    assert same_weights(resumed, undisturbed)
    assert [row["loss"] for row in resumed.progress.history] == [row["loss"] for row in undisturbed.progress.history]
    assert resumed.progress.best_epoch == undisturbed.progress.best_epoch


def test_a_training_killed_within_an_epoch_goes_on_from_the_last_checkpoint_in_it(
    undisturbed, corners, tmp_path, monkeypatch
):
    due = iter([*[False] * 20, True, *[False] * 100])
    monkeypatch.setattr(checkpoints.Checkpoints, "due", property(lambda _: next(due)))
    with pytest.raises(InterruptedError):
        train(corners, tmp_path, ALL, callbacks=[Stop(1, 9)])
    told: list[str] = []
    resumed = train(corners, tmp_path, ALL, progress=lambda fraction, words: told.append(words))
    assert told[0] == "going on after step 5 of 16 in epoch 2 of 4"
    assert same_weights(resumed, undisturbed)
    assert [row["loss"] for row in resumed.progress.history] == [row["loss"] for row in undisturbed.progress.history]


@pytest.mark.parametrize(("epoch", "step"), [(0, 3), (1, None)], ids=["in the first epoch", "before a checkpoint"])
def test_only_what_is_finished_and_written_counts(corners, tmp_path, epoch, step):
    with pytest.raises(InterruptedError):
        train(corners, tmp_path / "disturbed", callbacks=[Stop(epoch, step)])
    assert (tmp_path / "disturbed" / NAME).exists() == (epoch > 0)
    assert same_weights(train(corners, tmp_path / "disturbed"), train(corners, tmp_path / "undisturbed"))


def test_a_finished_training_is_not_trained_further(corners, tmp_path):
    first = train(corners, tmp_path)
    again = train(corners, tmp_path, callbacks=[Stop(0, 0), Stop(1, 0)])
    assert same_weights(first, again)
    assert again.progress == first.progress


def test_it_stops_without_patience_and_goes_back_to_the_best_epoch(corners, tmp_path, monkeypatch):
    losses = iter([1.0, 0.5, 0.7, 0.6, 0.4])
    weights: list[list[np.ndarray]] = []

    class Keep(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            weights.append(self.model.get_weights())

    monkeypatch.setattr("nightshift.training.epochs.Epochs._validate", lambda *_: (next(losses), 0.5))
    trained = train(corners, tmp_path, plain(epochs=9, patience=2), callbacks=[Keep()])
    assert trained.progress.epoch == 4
    assert trained.progress.best_epoch == 2
    assert trained.stopped == "no better in 2 epochs"
    for found, best in zip(trained.model.get_weights(), weights[1], strict=True):
        assert np.array_equal(found, best)


def test_a_training_stopped_by_patience_stays_stopped(corners, tmp_path, monkeypatch):
    monkeypatch.setattr("nightshift.training.epochs.Epochs._validate", lambda *_: (1.0, 0.5))
    first = train(corners, tmp_path, plain(epochs=9, patience=1))
    again = train(corners, tmp_path, plain(epochs=9, patience=1))
    assert first.progress.epoch == again.progress.epoch == 2
    assert again.stopped == "no better in 1 epochs"


def test_callbacks_see_epochs_batches_and_figures(corners, tmp_path):
    seen: list[str] = []

    class Watch(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            assert self.model is not None
            seen.append("train")

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            seen.append(f"epoch {epoch}")

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            seen.append(f"batch {batch}")

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            assert set(logs) >= {"loss", "accuracy", "validation_loss", "validation_accuracy", "learning_rate"}
            seen.append("figures")

        def on_train_end(self, logs: Any = None) -> None:
            seen.append("end")

    train(corners, tmp_path, plain(batch_size=180, epochs=2), callbacks=[Watch()])
    batches = ["batch 0", "batch 1", "batch 2"]
    assert seen == ["train", "epoch 0", *batches, "figures", "epoch 1", *batches, "figures", "end"]


def test_progress_grows_to_the_whole(corners, tmp_path):
    told: list[float] = []
    train(corners, tmp_path, progress=lambda fraction, words: told.append(fraction))
    assert told == sorted(told)
    assert told[-1] == 1
    assert all(0 <= fraction <= 1 for fraction in told)


def test_a_batch_larger_than_the_data_is_refused(corners, tmp_path):
    with pytest.raises(DataError, match="540 training images are less than one batch of 541"):
        train(corners, tmp_path, plain(batch_size=541))
    train(corners, tmp_path, plain(batch_size=540, epochs=1))


class TwoDevices:
    """Stands for a strategy with two devices where only one is."""

    num_replicas_in_sync = 2


def test_a_batch_that_the_devices_cannot_share_is_refused(corners, tmp_path):
    with pytest.raises(ConfigurationError, match="batch_size: found 33, expected a multiple of the 2 devices"):
        train(corners, tmp_path, plain(batch_size=33), strategy=TwoDevices())


def test_a_loss_that_is_no_number_is_refused_with_its_likely_cause(corners, tmp_path):
    preset = plain(learning_rate=9, epochs=200, schedule="constant")

    class Explode(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.set_weights([weight * np.inf for weight in self.model.get_weights()])

    with (
        np.errstate(invalid="ignore"),
        pytest.raises(ConfigurationError, match=r"the loss is nan in epoch 2; learning_rate 9"),
    ):
        train(corners, tmp_path, preset, callbacks=[Explode()])
    with np.load(tmp_path / NAME) as arrays:
        assert b'"epoch": 1' in arrays["progress"].tobytes()


def test_a_validation_loss_that_is_no_number_is_refused_before_it_is_kept(corners, tmp_path, monkeypatch):
    monkeypatch.setattr("nightshift.training.epochs.Epochs._validate", lambda *_: (float("nan"), 0.25))
    with pytest.raises(ConfigurationError, match="validation loss is nan in epoch 1; learning_rate"):
        train(corners, tmp_path)
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize(
    "settings",
    [{"precision": "mixed_bfloat16"}, {"jit_compile": True}, {"optimizer": "adamw", "schedule": "cosine"}],
    ids=str,
)
def test_other_ways_to_compute_learn_too(corners, tmp_path, settings):
    trained = train(corners, tmp_path, plain(epochs=3, **settings))
    losses = [row["loss"] for row in trained.progress.history]
    assert losses[-1] < losses[0]
    assert {weight.dtype for weight in trained.model.get_weights()} == {np.dtype("float32")}


def test_the_precision_of_a_training_does_not_outlive_it(corners, tmp_path):
    train(corners, tmp_path, plain(epochs=1, precision="mixed_bfloat16"))
    assert keras.mixed_precision.dtype_policy().name == "float32"


def test_the_checkpoint_before_stays_while_the_next_is_written(corners, tmp_path, monkeypatch):
    class Fail(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                monkeypatch.setattr("os.replace", _no_space)

    def _no_space(*_: object) -> None:
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        train(corners, tmp_path, plain(epochs=3), callbacks=[Fail()])
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    resumed = train(corners, tmp_path, plain(epochs=3))
    assert same_weights(resumed, train(corners, tmp_path / "undisturbed", plain(epochs=3)))


def test_a_checkpoint_of_another_network_is_refused(corners, tmp_path):
    train(corners, tmp_path, plain(epochs=1))
    with pytest.raises(WorkspaceError, match=r"checkpoint\.npz: model variables of other shapes"):
        train(corners, tmp_path, plain(epochs=2, n_dense=9))
    with pytest.raises(WorkspaceError, match=r"checkpoint\.npz: optimizer variables"):
        train(corners, tmp_path, dataclasses.replace(PLAIN, epochs=2, optimizer="adam", schedule="one_cycle"))


def test_two_devices_train_as_one_does(corners):
    """In a process of its own: logical devices are made before TensorFlow is used."""
    program = Path(__file__).with_name("two_devices.py")
    result = subprocess.run(
        [sys.executable, str(program), str(corners.path)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(program.parent.parent), "TF_CPP_MIN_LOG_LEVEL": "3"},
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    losses = json.loads(result.stdout.splitlines()[-1])
    assert losses["plain"][1] == pytest.approx(losses["plain"][0], rel=1e-4)
    assert losses["batch normalisation"][1] == pytest.approx(losses["batch normalisation"][0], rel=1e-3)
