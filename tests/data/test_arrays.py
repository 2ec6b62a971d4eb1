import dataclasses
import io
import zipfile

import numpy as np
import pytest

from nightshift.data.arrays import ArrayFile
from nightshift.data.prepare import prepare
from nightshift.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), np.uint8)
LABELS = np.arange(60) % 3
WHOLE = {"x_train": IMAGES[:30], "y_train": LABELS[:30], "x_test": IMAGES[30:], "y_test": LABELS[30:]}


def saved(path, **changes):
    arrays = {name: array for name, array in (WHOLE | changes).items() if array is not None}
    np.savez(path, **arrays)
    return str(path)


def test_arrays_come_back_as_they_were(tmp_path, monkeypatch):
    monkeypatch.setattr("nightshift.data.arrays.BLOCK_BYTES", 1000)
    path = tmp_path / "data.npz"
    np.savez_compressed(path, **WHOLE)
    examples = list(ArrayFile(path, labelled=True).examples())
    assert [e.key for e in examples[:2]] == ["x_train/00000", "x_train/00001"]
    assert [e.split for e in examples] == ["train"] * 30 + ["test"] * 30
    assert [e.label for e in examples] == LABELS.tolist()
    np.testing.assert_array_equal(np.stack([e.image for e in examples]), IMAGES)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_test": None}, "x_test: no such array; the file has x_train, y_test, y_train"),
        ({"x_train": IMAGES[:30] / 255}, "x_train: found float64, expected uint8"),
        ({"x_train": IMAGES[:30, :, 0, 0]}, r"x_train: found the shape \[30, 8\], expected \[images, height"),
        ({"x_train": IMAGES[:30].repeat(2, axis=3)}, r"x_train: found the shape \[30, 8, 8, 6\]"),
        ({"y_train": LABELS[:29]}, r"y_train: found the shape \[29\], expected \[30\] as x_train"),
        ({"y_test": LABELS[30:].astype(float)}, "y_test: found float64, expected integers"),
        ({"y_test": LABELS[30:].astype(object)}, "y_test: .*[Oo]bject|y_test: found object"),
        ({"x_train": np.asfortranarray(IMAGES[:30])}, "x_train: found Fortran order"),
        ({"y_train": LABELS[:30] - 1}, "found the label -1, expected 0 to"),
        ({"y_train": LABELS[:30] + 10**12}, "found the label 1000000000000"),
        ({"x_test": IMAGES[:0], "y_test": LABELS[:0]}, "x_test: found 0 images"),
    ],
)
def test_wrong_arrays_name_file_and_field(task, workspace, tmp_path, leftovers, changes, message):
    with pytest.raises(DataError, match=message):
        prepare(task, saved(tmp_path / "data.npz", **changes), workspace)
    assert leftovers(workspace) == []


def test_labels_beyond_the_tasks_classes_are_an_error(task, workspace, tmp_path):
    two = dataclasses.replace(task, classes=("a", "b"))
    with pytest.raises(DataError, match="found the label 2, expected 0 to 1"):
        prepare(two, saved(tmp_path / "data.npz"), workspace)


def test_a_header_that_promises_more_than_there_is_is_an_error(task, workspace, tmp_path):
    path = tmp_path / "data.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (10**9, 8, 8, 3)})
    saved(path, x_train=None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x_train.npy", header.getvalue() + b"few")
    with pytest.raises(DataError, match="x_train: found 3 bytes, expected 192000000000"):
        prepare(task, str(path), workspace)


@pytest.mark.parametrize("share", [0.1, 0.6])
def test_a_truncated_file_is_an_error(task, workspace, tmp_path, leftovers, share):
    path = tmp_path / "data.npz"
    saved(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(DataError, match=r"not a whole \.npz file"):
        prepare(task, str(path), workspace)
    assert leftovers(workspace) == []


def test_a_changed_byte_is_found_by_the_archives_checksum(task, workspace, tmp_path):
    path = tmp_path / "data.npz"
    saved(path)
    content = bytearray(path.read_bytes())
    content[1000] ^= 255
    path.write_bytes(content)
    with pytest.raises(DataError, match="x_train: damaged"):
        prepare(task, str(path), workspace)


@pytest.mark.parametrize(("shape", "channels"), [((30, 12, 10), 1), ((30, 12, 10, 1), 3), ((30, 12, 10, 3), 1)])
def test_arrays_of_another_shape_are_fitted(task, workspace, tmp_path, shape, channels):
    pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    other = dataclasses.replace(task, image_shape=(8, 8, channels))
    dataset = prepare(other, saved(tmp_path / "data.npz", x_train=pixels), workspace)
    assert dataset.manifest.splits["train"].count == 27


def test_unlabelled_tasks_need_no_labels(task, workspace, tmp_path):
    unlabelled = dataclasses.replace(task, labelled=False)
    dataset = prepare(unlabelled, saved(tmp_path / "data.npz", y_train=None, y_test=None), workspace)
    assert dataset.manifest.classes == []
    assert dataset.manifest.splits["test"].class_counts == []
