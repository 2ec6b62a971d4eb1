"""Train and validation images as one training split."""

import numpy as np
import pytest

from nightshift.data.input import evaluation_batches
from nightshift.data.merged import with_validation
from nightshift.data.sample import sample
from nightshift.errors import DataError
from nightshift.workspace import Workspace


@pytest.fixture
def merged(corners, empty_workspace):
    return with_validation(corners, empty_workspace)


def ids(dataset, split):
    return [int(number) for batch in evaluation_batches(dataset, split, 100) for number in batch["id"]]


def test_it_trains_on_every_image_of_both_splits_once_and_on_none_of_the_test_split(corners, merged):
    assert sorted(ids(merged, "train")) == sorted(ids(corners, "train") + ids(corners, "validation"))
    assert ids(merged, "test") == ids(corners, "test")
    assert ids(merged, "validation") == ids(corners, "validation")
    train = merged.manifest.splits["train"]
    assert train.count == sum(train.class_counts) == sum(shard.count for shard in train.shards) == 600


def test_its_statistics_are_those_of_all_its_images(merged):
    pixels = sample(merged, "train", 600)[0].astype(np.float64)
    found = merged.manifest.statistics["train"]
    assert found.mean == pytest.approx([pixels.mean()], abs=1e-5)
    assert found.standard_deviation == pytest.approx([pixels.std()], abs=1e-5)
    assert found.contrast == pytest.approx(pixels.std(axis=(1, 2, 3)).mean(), abs=1e-5)
    assert sum(found.brightness) == 600


def test_it_has_a_name_of_its_own_and_is_made_once(corners, merged, empty_workspace):
    assert merged.fingerprint != corners.fingerprint
    assert merged.path == empty_workspace.datasets / merged.fingerprint
    again = with_validation(corners, empty_workspace)
    assert again.reused
    assert again.manifest == merged.manifest
    merged.verify()


def test_a_damaged_one_is_made_again_and_the_other_is_untouched(corners, merged, empty_workspace):
    shard = merged.shards("validation")[0]
    content = shard.read_bytes()
    shard.unlink()
    shard.write_bytes(content[:-1])
    assert with_validation(corners, empty_workspace).shards("validation")[0].read_bytes() == content
    corners.verify()


def test_shards_are_copied_where_they_cannot_be_linked(corners, empty_workspace, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr("os.link", refuse)
    with_validation(corners, empty_workspace).verify()


def test_a_damaged_source_makes_none(corners, empty_workspace):
    first = with_validation(corners, Workspace(empty_workspace.root / "first"))
    shard = first.shards("train")[0]
    content = shard.read_bytes()
    shard.unlink()
    shard.write_bytes(content[:-1] + b"?")
    with pytest.raises(DataError, match="SHA-256"):
        with_validation(first, empty_workspace)
    assert not empty_workspace.datasets.exists()
