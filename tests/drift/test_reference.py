"""The reference statistics' file."""

import numpy as np
import pytest

from nightshift.drift.features import features
from nightshift.drift.reference import NAME, Reference
from nightshift.errors import StoreError

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3), np.uint8)


def test_it_comes_back_as_it_was_saved(tmp_path):
    columns = features(IMAGES) | {"confidence": np.ones(7, np.float32)}
    saved = Reference((8, 8, 3), "crop", 1, ("no", "yes/예"), columns, np.arange(7) % 2, np.zeros(7, np.int64))
    saved.save(tmp_path)
    found = Reference.load(tmp_path)
    assert (found.image_shape, found.fit, found.grid, found.classes, found.count) == (
        (8, 8, 3),
        "crop",
        1,
        ("no", "yes/예"),
        7,
    )
    assert found.columns.keys() == columns.keys()
    for name, column in columns.items():
        np.testing.assert_array_equal(found.columns[name], column)
    np.testing.assert_array_equal(found.predicted, saved.predicted)
    np.testing.assert_array_equal(found.label, saved.label)
    assert found.solved is found.tile_solved is None


def test_a_version_without_one_has_none(tmp_path):
    assert Reference.load(tmp_path) is None


def save(path, **arrays):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        np.savez(file, **arrays)


FACTS = b'{"image_shape": [8, 8, 3], "fit": "crop", "grid": 1, "classes": []}'
BROKEN = {
    "no facts": {"brightness": np.ones(3, np.float32)},
    "no columns": {"facts": np.frombuffer(FACTS, np.uint8)},
    "no rows": {"facts": np.frombuffer(FACTS, np.uint8), "brightness": np.ones(0, np.float32)},
    "unequal": {
        "facts": np.frombuffer(FACTS, np.uint8),
        "brightness": np.ones(3, np.float32),
        "contrast": np.ones(2, np.float32),
    },
    "objects": {"facts": np.frombuffer(FACTS, np.uint8), "brightness": np.array([{}, {}], object)},
    "a shape of nothing": {
        "facts": np.frombuffer(FACTS.replace(b"[8, 8, 3]", b"[0, 8, 3]"), np.uint8),
        "brightness": np.ones(3, np.float32),
    },
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_damaged_file_is_named(tmp_path, broken):
    save(tmp_path / NAME, **BROKEN[broken])
    with pytest.raises(StoreError, match=r"reference\.npz: no readable reference statistics"):
        Reference.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive"])
def test_what_is_no_archive_is_named(tmp_path, content):
    (tmp_path / NAME).parent.mkdir()
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(StoreError, match=r"reference\.npz: no readable reference statistics"):
        Reference.load(tmp_path)
