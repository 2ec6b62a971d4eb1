"""Apache Beam and the plain path give the same dataset, byte for byte, and refuse the same data in the same words."""

import dataclasses
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nightshift.data.manifest import Dataset
from nightshift.data.prepare import prepare
from nightshift.errors import DataError
from nightshift.tasks.base import Task
from nightshift.tasks.registry import task as registered_task
from nightshift.workspace import Workspace

FLAGS = ("--runner=DirectRunner",)


@pytest.fixture(autouse=True)
def _any_size(monkeypatch):
    monkeypatch.setattr("nightshift.data.prepare.BEAM_BYTES", 0)


@pytest.fixture
def both(tmp_path: Path) -> Callable[[Task, str], tuple[Dataset, Dataset]]:
    def prepare_both(task: Task, source: str, seed: int = 3) -> tuple[Dataset, Dataset]:
        plain = prepare(task, source, Workspace(tmp_path / "plain"), seed=seed)
        return plain, prepare(task, source, Workspace(tmp_path / "beam"), seed=seed, beam_flags=FLAGS)

    return prepare_both


def files(dataset: Dataset) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in dataset.path.iterdir()}


def assert_equal(datasets: tuple[Dataset, Dataset]) -> None:
    plain, beam = datasets
    assert (plain.path / "dataset.json").read_text() == (beam.path / "dataset.json").read_text()
    assert files(plain) == files(beam)
    assert len(files(beam)) >= 3 * 24 + 1


def write_npz(path: Path, shape: tuple[int, ...], classes: int, count: int = 60) -> Path:
    random = np.random.default_rng(1)
    arrays = {}
    for split, images in (("train", count), ("test", count // 2)):
        arrays[f"x_{split}"] = random.integers(0, 256, (images, *shape), np.uint8)
        arrays[f"y_{split}"] = np.arange(images) % classes
    np.savez(path, **arrays)
    return path


def write_tar(path: Path, pictures: dict[str, bytes], folder: Path, write_tree) -> Path:
    write_tree(folder, pictures)
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, "top")
    return path


def of_classes(classes: tuple[str, ...], size: tuple[int, int], picture, each: int = 12) -> dict[str, bytes]:
    names = [f"{kind}/{number}.jpg" for kind in classes for number in range(each)]
    return {name: picture(number, size, "JPEG") for number, name in enumerate(names)}


def test_digits(both):
    assert_equal(both(registered_task("digits"), "bundled:mnist-5k"))


def test_fashion_from_an_npz(both, tmp_path):
    assert_equal(both(registered_task("fashion"), str(write_npz(tmp_path / "data.npz", (28, 28), 10))))


def test_cats_vs_dogs_from_a_zip(both, tmp_path, picture, write_zip):
    task = registered_task("cats_vs_dogs")
    pictures = of_classes(task.classes, (170, 160), picture)
    assert_equal(both(task, str(write_zip(tmp_path / "data.zip", pictures))))


def test_rock_paper_scissors_from_a_folder(both, tmp_path, picture, write_tree):
    task = registered_task("rock_paper_scissors")
    pictures = of_classes(task.classes, (150, 100), picture)
    assert_equal(both(task, str(write_tree(tmp_path / "tree", pictures))))


def test_puzzle_from_the_bundled_photographs(both, monkeypatch):
    monkeypatch.setattr("nightshift.data.photographs.CROPS", {"train": 60, "validation": 10, "test": 20})
    assert_equal(both(registered_task("puzzle"), "bundled:photographs"))


def test_a_tar_which_one_process_reads(both, task, tmp_path, pictures, write_tree, monkeypatch):
    monkeypatch.setattr("nightshift.data.beam.work.PACK_EXAMPLES", 7)
    assert_equal(both(task, str(write_tar(tmp_path / "data.tar.gz", pictures, tmp_path / "tree", write_tree))))


def test_a_source_in_many_parts(both, task, tmp_path, pictures, write_tree, write_zip, monkeypatch):
    monkeypatch.setattr("nightshift.data.folders.PART_FILES", 7)
    monkeypatch.setattr("nightshift.data.archives.LEAST_PART", 7)
    folder = both(task, str(write_tree(tmp_path / "tree", pictures)))
    assert_equal(folder)
    assert_equal(both(task, str(write_zip(tmp_path / "data.zip", pictures))))


def test_arrays_in_parts(both, task, tmp_path, monkeypatch):
    monkeypatch.setattr("nightshift.data.arrays.LEAST_PART_BYTES", 500)
    assert_equal(both(task, str(write_npz(tmp_path / "data.npz", (8, 8, 3), 4))))


def test_ranks_over_many_ranges_and_more_shards_than_images(both, task, tmp_path, monkeypatch):
    monkeypatch.setattr("nightshift.data.beam.packs.RANGE", 4)
    monkeypatch.setattr("nightshift.data.lanes.SHARD_BYTES", 150)
    plain, beam = both(task, str(write_npz(tmp_path / "data.npz", (8, 8, 3), 4, count=80)))
    assert_equal((plain, beam))
    assert 0 in [shard.count for shard in beam.manifest.splits["train"].shards]


def test_data_without_splits_are_cut_alike(both, task, tmp_path, picture, write_tree):
    assert_equal(both(task, str(write_tree(tmp_path / "tree", of_classes(("a", "b", "c"), (8, 8), picture, each=25)))))


def test_validation_that_becomes_test(both, task, tmp_path, pictures, write_zip):
    renamed = {name.replace("test/", "validation/"): image for name, image in pictures.items()}
    plain, beam = both(task, str(write_zip(tmp_path / "data.zip", renamed)))
    assert_equal((plain, beam))
    assert beam.manifest.splits["test"].count == 10


def test_unlabelled_images(both, task, tmp_path, pictures, write_zip):
    unlabelled = dataclasses.replace(task, labelled=False, problem="puzzle")
    assert_equal(both(unlabelled, str(write_zip(tmp_path / "data.zip", pictures))))


def test_the_quarantine_and_the_duplicates(both, task, tmp_path, pictures, write_zip, monkeypatch):
    monkeypatch.setattr("nightshift.data.quarantine.MAX_QUARANTINED_LISTED", 3)
    monkeypatch.setattr("nightshift.data.folders.PART_FILES", 5)
    for number in range(6):
        pictures[f"train/cats/bad-{number}.png"] = b"no picture"
        pictures[f"test/dogs/again-{number}.png"] = pictures[f"train/dogs/{number}.png"]
        pictures[f"train/cats/again-{number}.png"] = pictures[f"train/cats/{number}.png"]
    plain, beam = both(task, str(write_zip(tmp_path / "data.zip", dict(reversed(pictures.items())))))
    assert_equal((plain, beam))
    assert beam.manifest.quarantined.count == 6
    assert [image.key for image in beam.manifest.quarantined.examples] == [f"train/cats/bad-{n}.png" for n in range(3)]
    # Two of the six that repeat inside train have their copy held out.
    assert beam.manifest.duplicates.across_splits == 8
    assert beam.manifest.duplicates.within_splits == {"test": 0, "train": 4, "validation": 0}


def damaged_member(tmp_path, pictures, write_zip, write_tree) -> Path:
    path = write_zip(tmp_path / "data.zip", pictures)
    content = bytearray(path.read_bytes())
    for name in ("train/cats/5.png", "train/dogs/3.png", "test/cats/1.png"):
        content[content.index(pictures[name]) + 60] ^= 0xFF
    path.write_bytes(content)
    return path


def cut_zip(tmp_path, pictures, write_zip, write_tree) -> Path:
    path = write_zip(tmp_path / "data.zip", pictures)
    path.write_bytes(path.read_bytes()[:-30])
    return path


def cut_tar(tmp_path, pictures, write_zip, write_tree) -> Path:
    path = write_tar(tmp_path / "data.tar.gz", pictures, tmp_path / "tree", write_tree)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def damaged_npz(tmp_path, pictures, write_zip, write_tree) -> Path:
    path = write_npz(tmp_path / "data.npz", (8, 8, 3), 4)
    content = bytearray(path.read_bytes())
    content[5000] ^= 0xFF
    path.write_bytes(content)
    return path


def npz_without_labels(tmp_path, pictures, write_zip, write_tree) -> Path:
    np.savez(tmp_path / "data.npz", x_train=np.zeros((9, 8, 8), np.uint8), x_test=np.zeros((9, 8, 8), np.uint8))
    return tmp_path / "data.npz"


def nothing(tmp_path, pictures, write_zip, write_tree) -> Path:
    return write_tree(tmp_path, {"tree/.hidden/1.png": b""}) / "tree"


def mostly_bad(tmp_path, pictures, write_zip, write_tree) -> Path:
    return write_tree(tmp_path / "tree", pictures | {f"train/cats/bad-{n}.png": b"bad" for n in range(60)})


def one_name_twice(tmp_path, pictures, write_zip, write_tree) -> Path:
    path = write_zip(tmp_path / "data.zip", pictures)
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        for name in ("train/dogs/3.png", "train/cats/1.png"):
            archive.writestr(name, pictures["test/cats/1.png"])
    return path


def one_class(tmp_path, pictures, write_zip, write_tree) -> Path:
    return write_zip(tmp_path / "data.zip", {name: image for name, image in pictures.items() if "cats" in name})


def class_missing_from_test(tmp_path, pictures, write_zip, write_tree) -> Path:
    return write_zip(
        tmp_path / "data.zip", {name: image for name, image in pictures.items() if "test/dogs" not in name}
    )


def no_train(tmp_path, pictures, write_zip, write_tree) -> Path:
    return write_zip(tmp_path / "data.zip", {name: image for name, image in pictures.items() if "train" not in name})


def folders_mixed(tmp_path, pictures, write_zip, write_tree) -> Path:
    return write_tree(tmp_path / "tree", pictures | {"birds/1.png": b""})


REFUSED = {
    damaged_member: "Bad CRC-32 for file 'train/cats/5.png'",
    cut_zip: "the archive is damaged or cut short",
    cut_tar: "the archive is damaged or cut short",
    damaged_npz: "x_train: damaged",
    npz_without_labels: "y_train: no such array",
    nothing: "found no images",
    mostly_bad: "cannot be used, expected at most half",
    one_name_twice: "two images have the name train/cats/1.png",
    one_class: "found the single class cats",
    class_missing_from_test: "the split 'test' has no images of dogs",
    no_train: "the split 'train' has no images",
    folders_mixed: "found the folders birds, test, train",
}


@pytest.mark.parametrize("make", REFUSED)
def test_bad_data_are_refused_in_the_same_words(
    make, task, tmp_path, pictures, write_zip, write_tree, leftovers, monkeypatch
):
    monkeypatch.setattr("nightshift.data.archives.LEAST_PART", 3)
    source = str(make(tmp_path, pictures, write_zip, write_tree))
    told = []
    for flags in ((), FLAGS):
        workspace = Workspace(tmp_path / f"workspace-{len(flags)}")
        with pytest.raises(DataError) as refused:
            prepare(task, source, workspace, beam_flags=flags)
        told.append(str(refused.value))
        assert leftovers(workspace) == []
    assert told[0] == told[1]
    assert REFUSED[make] in told[0]


def test_images_without_classes_are_refused_in_the_same_words(both, task, tmp_path):
    for flags in ((), FLAGS):
        with pytest.raises(DataError, match="bundled:photographs: the images have no classes"):
            prepare(task, "bundled:photographs", Workspace(tmp_path / "workspace"), beam_flags=flags)
