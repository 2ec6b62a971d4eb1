import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import synthetic
import tensorflow as tf

from nightshift.data import input as pipeline
from nightshift.data.input import Batch, evaluation_batches, training_batches
from nightshift.data.lanes import LANES, Part, lane_sizes
from nightshift.data.manifest import Dataset
from nightshift.data.prepare import prepare
from nightshift.workspace import Workspace

BATCH = 50
WHOLE = 540 // BATCH
ROW = LANES * 12 * 12
"""Bytes of one example of each lane."""


@pytest.fixture(params=["in memory", "block by block"])
def dataset(request, corners, monkeypatch) -> Dataset:
    if request.param == "block by block":
        monkeypatch.setattr(pipeline, "CACHE_BYTES", 0)
        monkeypatch.setattr(pipeline, "SHUFFLE_BYTES", 5 * ROW)
    return corners


def transform(batch: Batch, epoch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return batch["id"], tf.fill(tf.shape(batch["id"]), epoch)


def batches(
    dataset: Dataset, epochs: range, seed: int = 0, size: int = BATCH, **share: Any
) -> list[tuple[np.ndarray, np.ndarray]]:
    made = training_batches(dataset, batch_size=size, epochs=epochs, seed=seed, transform=transform, **share)
    return [(ids.numpy(), epoch.numpy()) for ids, epoch in made]


def identifiers(dataset: Dataset) -> list[int]:
    return [int(number) for batch in evaluation_batches(dataset, "train", 100) for number in batch["id"]]


def test_an_epoch_has_each_example_once_but_for_the_remainder(dataset):
    made = batches(dataset, range(3))
    assert [len(ids) for ids, _ in made] == [BATCH] * (3 * WHOLE)
    for epoch in range(3):
        part = made[epoch * WHOLE : (epoch + 1) * WHOLE]
        assert {int(number) for _, numbers in part for number in numbers} == {epoch}
        seen = np.concatenate([ids for ids, _ in part]).tolist()
        assert len(set(seen)) == WHOLE * BATCH
        assert set(seen) <= set(identifiers(dataset))


def test_each_epoch_and_each_seed_has_an_order_of_its_own(dataset):
    first, second = (np.concatenate([ids for ids, _ in batches(dataset, range(e, e + 1))]) for e in (0, 1))
    other_seed = np.concatenate([ids for ids, _ in batches(dataset, range(1), seed=1)])
    place = {int(number): index for index, number in enumerate(identifiers(dataset))}
    orders = [np.array([place[int(number)] for number in ids]) for ids in (first, second, other_seed)]
    for one, another in ((0, 1), (0, 2), (1, 2)):
        assert (orders[one] == orders[another]).mean() < 0.3  # by chance, one in the 5 examples of a lane's block
    for order in orders:
        assert (np.diff(order) == 1).mean() < 0.05


def test_the_order_follows_from_the_seed_of_the_run_alone(dataset):
    orders = []
    for process_seed in (1, 2):
        tf.keras.utils.set_random_seed(process_seed)
        orders.append([ids.tolist() for ids, _ in batches(dataset, range(2))])
    assert orders[0] == orders[1]


def test_the_process_keeps_its_own_random_seed(dataset):
    draws = []
    for read in (False, True):
        tf.random.set_seed(5)
        if read:
            batches(dataset, range(1))
        draws.append(tf.random.uniform((4,)).numpy().tolist())
    assert draws[0] == draws[1]


def test_an_example_may_come_from_anywhere_in_its_lanes_window(corners, monkeypatch):
    monkeypatch.setattr(pipeline, "CACHE_BYTES", 0)
    place = {number: index for index, number in enumerate(identifiers(corners))}
    starts = np.cumsum([0, *lane_sizes(corners.manifest.splits["train"])[:-1]])
    for window in (1, 4):
        monkeypatch.setattr(pipeline, "SHUFFLE_BYTES", window * ROW)
        ids = batches(corners, range(20), size=LANES)
        first = [
            [place[int(number)] - start for number, start in zip(row, starts, strict=True)] for row, _ in ids[::22]
        ]
        assert set(np.ravel(first).tolist()) == set(range(window))


def test_the_remainder_is_another_one_every_epoch(corners):
    left_out = [
        set(identifiers(corners)) - {int(n) for ids, _ in batches(corners, range(e, e + 1)) for n in ids}
        for e in (0, 1)
    ]
    assert len(left_out[0]) == len(left_out[1]) == 540 - WHOLE * BATCH
    assert left_out[0] != left_out[1]


def test_a_later_start_goes_on_as_it_would_have(dataset):
    whole, resumed = batches(dataset, range(4)), batches(dataset, range(2, 4))
    for (ids, epoch), (ids_again, epoch_again) in zip(whole[2 * WHOLE :], resumed, strict=True):
        assert ids.tolist() == ids_again.tolist()
        assert epoch.tolist() == epoch_again.tolist()


def test_images_and_labels_stay_with_their_examples(dataset):
    truth = {
        int(number): (image.tobytes(), int(label))
        for batch in evaluation_batches(dataset, "train", 100)
        for number, image, label in zip(*(batch[name].numpy() for name in ("id", "image", "label")), strict=True)
    }
    made = training_batches(
        dataset,
        batch_size=BATCH,
        epochs=range(1),
        seed=0,
        transform=lambda batch, epoch: (batch["image"], (batch["id"], batch["label"])),
    )
    for images, (ids, labels) in made:
        for image, number, label in zip(images.numpy(), ids.numpy(), labels.numpy(), strict=True):
            assert truth[int(number)] == (image.tobytes(), label)


def copied(dataset: Dataset, folder) -> Dataset:
    shutil.copytree(dataset.path, folder / "dataset")
    return Dataset.open(folder / "dataset")


def test_a_small_split_is_read_once(corners, tmp_path):
    dataset = copied(corners, tmp_path)
    made: Iterator = iter(training_batches(dataset, batch_size=540, epochs=range(200), seed=0, transform=transform))
    next(made)
    for path in dataset.shards("train"):
        path.unlink()
    assert sum(1 for _ in made) == 199


def test_blocks_need_not_be_whole_batches_nor_fill_the_split(corners, monkeypatch):
    monkeypatch.setattr(pipeline, "CACHE_BYTES", 0)
    for block in (1, 7, 1000):
        monkeypatch.setattr(pipeline, "SHUFFLE_BYTES", block * ROW)
        ids = np.concatenate([ids for ids, _ in batches(corners, range(1))])
        assert len(set(ids.tolist())) == WHOLE * BATCH


def test_shards_are_read_in_another_order_every_epoch(tmp_path, monkeypatch):
    monkeypatch.setattr("nightshift.data.lanes.SHARD_BYTES", 700)
    monkeypatch.setattr(pipeline, "CACHE_BYTES", 0)
    monkeypatch.setattr(pipeline, "SHUFFLE_BYTES", ROW)
    np.savez(tmp_path / "corners.npz", allow_pickle=False, **synthetic.corners(600, 8))
    dataset = prepare(synthetic.CORNERS, str(tmp_path / "corners.npz"), Workspace(tmp_path))
    files = len(dataset.shards("train"))
    assert files == 5 * LANES
    place = {number: index for index, number in enumerate(identifiers(dataset))}
    # The first batch has two examples of each lane, and a lane has four or five a shard.
    first = [
        {place[int(number)] * files // 540 for number in batches(dataset, range(e, e + 1))[0][0]} for e in range(8)
    ]
    assert len({frozenset(shards) for shards in first}) == 8


@pytest.mark.parametrize("count", [2, 3, 24])
def test_parts_have_the_global_batches_of_the_whole_between_them(dataset, count):
    whole = [ids for ids, _ in batches(dataset, range(2), size=48)]
    parts = [[ids for ids, _ in batches(dataset, range(2), size=48, part=Part(index, count))] for index in range(count)]
    assert [len(part) for part in parts] == [len(whole)] * count
    for ids, *of_parts in zip(whole, *parts, strict=True):
        for index, own in enumerate(of_parts):
            assert own.tolist() == ids[index::count].tolist()


def test_a_part_reads_shards_of_its_own_alone(corners, tmp_path, monkeypatch, dataset):
    dataset = copied(dataset, tmp_path)
    for index, path in enumerate(dataset.shards("train")):
        if index % 3 != 1:
            path.write_bytes(b"")
    assert len(batches(dataset, range(2), size=48, part=Part(1, 3))) == 2 * (540 // 48)
    assert sum(len(batch["id"]) for batch in evaluation_batches(dataset, "train", 50, Part(1, 3))) == 180


def test_replicas_take_turns_at_the_elements_of_a_global_batch(dataset):
    whole = [ids for ids, _ in batches(dataset, range(1))]
    halves = [ids for ids, _ in batches(dataset, range(1), replicas=2)]
    assert [np.concatenate(pair).tolist() for pair in zip(halves[::2], halves[1::2], strict=True)] == [
        ids.tolist() for ids in whole
    ]


@pytest.mark.parametrize("step", [0, 1, WHOLE - 1, WHOLE])
def test_a_start_in_the_middle_of_an_epoch_goes_on_as_it_would_have(dataset, step):
    whole, resumed = batches(dataset, range(3)), batches(dataset, range(1, 3), first_step=step)
    assert [ids.tolist() for ids, _ in resumed] == [ids.tolist() for ids, _ in whole[WHOLE + step :]]


@pytest.mark.parametrize(("count", "replicas"), [(2, 1), (8, 1), (24, 1), (1, 4), (3, 2)])
def test_parts_have_equally_many_batches_and_every_example_once(corners, count, replicas):
    made = [list(evaluation_batches(corners, "validation", 7, Part(index, count), replicas)) for index in range(count)]
    assert len({len(part) for part in made}) == 1
    assert len(made[0]) % replicas == 0
    found = [int(number) for part in made for batch in part for number in batch["id"]]
    stored = [int(number) for batch in evaluation_batches(corners, "validation", 100) for number in batch["id"]]
    assert sorted(found) == sorted(stored)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_evaluation_has_every_example_once_in_the_order_of_the_files(corners, split):
    made = list(evaluation_batches(corners, split, 33))
    files = [str(path) for path in corners.shards(split)]
    stored = [
        tf.train.Example.FromString(record.numpy()).features.feature["id"].int64_list.value[0]
        for record in tf.data.TFRecordDataset(files)
    ]
    assert [int(number) for batch in made for number in batch["id"]] == stored
    assert [len(batch["id"]) for batch in made[:-1]] == [33] * (len(made) - 1)
    assert {batch["image"].dtype for batch in made} == {tf.uint8}
