"""Checkpoints in a folder and in a bucket: whole or not there, in time, and refused in words when damaged."""

import os
import signal
import subprocess
import sys
import time
import uuid

import keras
import numpy as np
import pytest
from storage_emulator import emulated

from nightshift.errors import ConfigurationError, StoreError, WorkspaceError
from nightshift.training import checkpoints
from nightshift.training.checkpoints import Checkpoints, Progress, restore
from nightshift.training.kept import NAME, kept_at
from nightshift.workspace import Workspace

PLACES = ["folder", "bucket"]


@pytest.fixture(scope="module")
def bucket():
    """Google Cloud Storage, emulated by a process of its own."""
    with emulated("checkpoints") as found:
        yield found


@pytest.fixture(params=PLACES)
def place(request, tmp_path):
    """Where a test's checkpoints are, as the environment would say."""
    if request.param == "folder":
        return str(tmp_path / "kept")
    return f"gs://{request.getfixturevalue('bucket').name}/{uuid.uuid4().hex}/trainings"


def network(units: int = 3) -> tuple[keras.Model, keras.optimizers.Optimizer]:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units), keras.layers.BatchNormalization()])
    optimizer = keras.optimizers.AdamW()
    optimizer.build(model.trainable_variables)
    return model, optimizer


def same(first: list, second: list) -> bool:
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in zip(first, second, strict=True))


def test_a_state_comes_back_as_it_was(tmp_path, place):
    model, optimizer = network()
    state = Progress(epoch=2, step=7, sums=[0.1, 3.0], best_epoch=1, history=[{"epoch": 1, "loss": 0.1}])
    best = [weight + 1 for weight in model.get_weights()]
    kept = kept_at(tmp_path / "key", place)
    assert kept.read() is None
    Checkpoints(kept).save(model, optimizer, best, state)
    other, other_optimizer = network()
    content = kept_at(tmp_path / "key", place).read()
    found_best, found = restore(content, str(kept), other, other_optimizer)
    assert found == state
    assert same(found_best, best)
    assert same(other.variables, model.variables)
    assert same(other_optimizer.variables, optimizer.variables)


def test_where_a_checkpoint_is_is_said(tmp_path):
    workspace = Workspace(tmp_path)
    directory = workspace.checkpoints / "key"
    assert str(kept_at(directory, "")) == str(directory / NAME)
    assert str(kept_at(directory, str(tmp_path / "elsewhere"))) == str(tmp_path / "elsewhere" / "key" / NAME)
    assert str(kept_at(directory, "gs://bucket/some/where")) == f"gs://bucket/some/where/key/{NAME}"
    for wrong in ("s3://bucket/prefix", "gs://", "gs:///prefix"):
        with pytest.raises(ConfigurationError, match="NIGHTSHIFT_CHECKPOINTS: found"):
            kept_at(directory, wrong)


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "foreign", "changed"])
def test_a_damaged_checkpoint_is_refused(tmp_path, place, damage):
    model, optimizer = network()
    kept = kept_at(tmp_path / "key", place)
    Checkpoints(kept).save(model, optimizer, model.get_weights(), Progress())
    content = bytearray(kept.read())
    if damage == "changed":
        content[len(content) // 3] ^= 0xFF
    damaged = {"empty": b"", "cut": content[:-100], "text": b"nothing", "foreign": b"PK\5\6" + bytes(18)}
    kept.write(bytes(damaged.get(damage, content)))
    before = model.get_weights()
    with pytest.raises(WorkspaceError, match=rf"{NAME}: cannot be read: .*; delete it to train from the start"):
        restore(kept.read(), str(kept), model, optimizer)
    assert same(model.get_weights(), before)


def test_a_checkpoint_of_another_network_is_refused_and_changes_nothing(tmp_path):
    model, optimizer = network(3)
    kept = kept_at(tmp_path, "")
    Checkpoints(kept).save(*network(4), [], Progress())
    before = model.get_weights()
    with pytest.raises(WorkspaceError, match="model variables of other shapes"):
        restore(kept.read(), str(kept), model, optimizer)
    assert same(model.get_weights(), before)


def test_two_processes_that_train_the_same_in_a_bucket_do_not_mix(bucket, tmp_path):
    place = f"gs://{bucket.name}/{uuid.uuid4().hex}"
    first, second = (kept_at(tmp_path / "key", place) for _ in range(2))
    first.read(), second.read()
    first.write(b"of the first")
    first.write(b"of the first, again")
    with pytest.raises(WorkspaceError, match="another process trains the same"):
        second.write(b"of the second")
    assert second.read() == b"of the first, again"
    second.write(b"of the second")
    assert first.read() == b"of the second"


def test_a_bucket_that_is_not_there_is_told(bucket, tmp_path):
    with pytest.raises(StoreError, match=r"gs://nobody/key/checkpoint\.npz: no such bucket"):
        kept_at(tmp_path / "key", "gs://nobody").write(b"state")


WRITER = """
import sys, time
from pathlib import Path
from nightshift.training.kept import kept_at
kept = kept_at(Path(sys.argv[1]), sys.argv[2])
kept.read()
number = 0
while True:
    kept.write(bytes([number % 256]) * 20_000_000)
    number += 1
    print(number, flush=True)
"""


@pytest.mark.slow
def test_a_writer_killed_at_any_moment_leaves_a_whole_checkpoint(tmp_path, place):
    random = np.random.default_rng(0)
    for _ in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "key"), place], stdout=subprocess.PIPE, env=os.environ
        ) as writer:
            writer.stdout.readline()
            began = time.monotonic()
            writer.stdout.readline()
            time.sleep(random.uniform(0, time.monotonic() - began))
            writer.send_signal(signal.SIGKILL)
        content = kept_at(tmp_path / "key", place).read()
        assert len(content) == 20_000_000
        assert len(set(content)) == 1
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ([] if "://" in place else [NAME])


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class SlowPlace:
    """Takes its time to write."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock, self.seconds = clock, seconds

    def write(self, content: bytes) -> None:
        self.clock.now += self.seconds


@pytest.mark.parametrize(("takes", "wait"), [(0.1, 60), (1, 60), (4, 200), (30, 1500)])
def test_one_is_due_after_a_minute_and_never_takes_more_than_a_fiftieth_of_the_time(takes, wait):
    clock = Clock()
    written = Checkpoints(SlowPlace(clock, takes), clock)
    clock.now += checkpoints.INTERVAL_SECONDS - 1
    assert not written.due
    clock.now += 2
    assert written.due
    written.save(*network(), [], Progress())
    clock.now += wait - 1
    assert not written.due
    clock.now += 2
    assert written.due
