"""SIGTERM in a training: the checkpoint is written at once, and what goes on from it ends as if nothing had been."""

import os
import re
import signal
import threading

import keras
import numpy as np
import pytest
import synthetic
from several import ended, read_until, started

from nightshift.tasks.registry import preset_of
from nightshift.training import loop
from nightshift.training.kept import InFolder
from nightshift.training.loop import fit
from nightshift.training.preemption import Preempted, Preemption
from nightshift.training.train import train
from nightshift.workspace import Workspace

EPOCHS = 3


def test_the_signal_is_only_noted_and_a_second_one_changes_nothing():
    earlier = signal.getsignal(signal.SIGTERM)
    with Preemption() as preemption:
        assert not preemption.asked
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
            assert preemption.asked
    assert signal.getsignal(signal.SIGTERM) == earlier


def test_a_thread_leaves_signals_alone():
    earlier, seen = signal.getsignal(signal.SIGTERM), []

    def enter() -> None:
        with Preemption() as preemption:
            seen.append((preemption.asked, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [(False, earlier)]


class Terminate(keras.callbacks.Callback):
    """Sends SIGTERM to this process at a step, or at a step of validation."""

    def __init__(self, epoch: int, step: int) -> None:
        super().__init__()
        self.at, self.epoch = (epoch, step), 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(("epoch", "step"), [(0, 0), (1, 6), (2, 15)], ids=["at first", "within", "at an epoch's end"])
def test_a_training_goes_on_from_the_step_at_which_it_was_ended(corners, tmp_path, epoch, step):
    preset = preset_of(synthetic.CORNERS, "default", {"epochs": EPOCHS})

    def run(folder, **options):
        return fit(synthetic.CORNERS, preset, corners, seed=0, kept=InFolder(tmp_path / folder), **options)

    with pytest.raises(Preempted, match=f"after step {step + 1} of 16 in epoch {epoch + 1} of 3; the checkpoint is"):
        run("ended", callbacks=[Terminate(epoch, step)])
    told = []
    resumed = run("ended", progress=lambda _, words: told.append(words))
    undisturbed = run("undisturbed")
    assert told[0] == f"going on after step {step + 1} of 16 in epoch {epoch + 1} of 3"
    for found, expected in zip(resumed.model.get_weights(), undisturbed.model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
    figures = [[row[name] for name in ("loss", "accuracy", "validation_loss")] for row in resumed.progress.history]
    assert figures == [
        [row[name] for name in ("loss", "accuracy", "validation_loss")] for row in undisturbed.progress.history
    ]


def test_a_training_is_ended_between_the_batches_of_validation_too(corners, tmp_path, monkeypatch):
    monkeypatch.setattr("nightshift.training.feed.EVALUATION_BATCH", 10)
    preset, trained, validated = preset_of(synthetic.CORNERS, "plain"), [], []
    step_of = loop.validation_step

    def terminating_step(*arguments):
        step = step_of(*arguments)

        def validate(batch, asked):
            validated.append(len(batch[1]))
            if len(validated) == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            return step(batch, asked)

        return validate

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            trained.append(batch)

    def run():
        return fit(synthetic.CORNERS, preset, corners, seed=0, kept=InFolder(tmp_path), callbacks=[Watch()])

    monkeypatch.setattr(loop, "validation_step", terminating_step)
    with pytest.raises(Preempted, match="after step 15 of 15 in epoch 1 of 2"):
        run()
    assert validated == [10, 10]
    history = run().progress.history
    assert trained == [*range(15), *range(15)]
    assert [row["epoch"] for row in history] == [1, 2]


def test_a_process_ends_with_143_and_a_line_and_another_finishes_its_training(corners, empty_workspace):
    options = ("--rest", 0, "--rest-a-step", 0.3)
    with started("slow_training.py", corners.path, empty_workspace.root, EPOCHS, *options) as (process,):
        read_until(process, "epoch 2 of 3: loss")
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        code, words, seconds = ended(process)
    assert code == 143
    written = re.fullmatch(r"ended by SIGTERM after step .*; the checkpoint is written \((\d+\.\d) s\), and .*", words)
    assert written, words
    assert float(written[1]) <= seconds < 20
    preset = preset_of(synthetic.CORNERS, "plain", {"epochs": EPOCHS})
    told = []
    trained, undisturbed = (
        train(synthetic.CORNERS, "plain", preset, corners, place, seed=0, progress=lambda _, words: told.append(words))
        for place in (empty_workspace, Workspace(empty_workspace.root / "undisturbed"))
    )
    assert told[0].startswith("going on after step ")
    assert trained.description["best_score"] == undisturbed.description["best_score"]
    first, second = (keras.models.load_model(model.weights).get_weights() for model in (trained, undisturbed))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
