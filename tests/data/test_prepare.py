import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from nightshift.data.lanes import LANES
from nightshift.data.manifest import Dataset, Shard
from nightshift.data.prepare import prepare
from nightshift.data.shards import shard_name
from nightshift.errors import DataError
from nightshift.tasks.registry import task as registered_task
from nightshift.workspace import Workspace


def contents(dataset: Dataset) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in dataset.path.iterdir() if path.suffix == ".tfrecord"}


def records(dataset: Dataset, split: str) -> list[tf.train.Example]:
    files = [str(path) for path in dataset.shards(split)]
    return [tf.train.Example.FromString(record.numpy()) for record in tf.data.TFRecordDataset(files)]


def keys(dataset: Dataset, split: str) -> list[str]:
    return [example.features.feature["key"].bytes_list.value[0].decode() for example in records(dataset, split)]


def test_each_example_is_in_exactly_one_split_with_its_class(task, workspace, tmp_path, pictures, write_tree):
    dataset = prepare(task, str(write_tree(tmp_path / "tree", pictures)), workspace)
    found = [key for split in ("train", "validation", "test") for key in keys(dataset, split)]
    assert sorted(found) == sorted(pictures)
    assert dataset.manifest.classes == ["cats", "dogs"]
    assert {name: split.class_counts for name, split in dataset.manifest.splits.items()} == {
        "train": [18, 18],
        "validation": [2, 2],
        "test": [5, 5],
    }
    for example in records(dataset, "train"):
        feature = example.features.feature
        key = feature["key"].bytes_list.value[0].decode()
        assert feature["label"].int64_list.value[0] == ("dogs" in key)
        decoded = tf.io.decode_png(pictures[key]).numpy()
        assert feature["image"].bytes_list.value[0] == decoded.tobytes()


def test_folder_zip_and_tar_of_the_same_images_give_the_same_bytes(task, tmp_path, pictures, write_tree, write_zip):
    tree = write_tree(tmp_path / "tree", pictures)
    (tree / ".DS_Store").write_bytes(b"ignored")
    reversed_order = dict(reversed(pictures.items()))
    archive = write_zip(tmp_path / "data.zip", {f"top/{name}": image for name, image in reversed_order.items()})
    with tarfile.open(tmp_path / "data.tar.gz", "w:gz") as tar:
        tar.add(tree, "some")
    sources = [tree, archive, tmp_path / "data.tar.gz"]
    datasets = [
        prepare(task, str(source), Workspace(tmp_path / f"workspace-{number}")) for number, source in enumerate(sources)
    ]
    assert len({dataset.fingerprint for dataset in datasets}) == 1
    assert contents(datasets[0]) == contents(datasets[1]) == contents(datasets[2])


def test_the_seed_changes_the_order_but_never_the_splits(task, workspace, tmp_path, pictures, write_zip):
    source = str(write_zip(tmp_path / "data.zip", pictures))
    first, second = prepare(task, source, workspace, seed=1), prepare(task, source, workspace, seed=2)
    assert first.fingerprint != second.fingerprint
    for split in ("train", "validation", "test"):
        assert keys(first, split) != keys(second, split)
        assert sorted(keys(first, split)) == sorted(keys(second, split))


def test_an_id_is_the_hash_of_seed_split_and_key(task, workspace, tmp_path, pictures, write_zip):
    import hashlib

    dataset = prepare(task, str(write_zip(tmp_path / "data.zip", pictures)), workspace, seed=7)
    for example in records(dataset, "test"):
        feature = example.features.feature
        digest = hashlib.sha256(b"7\0test\0" + feature["key"].bytes_list.value[0]).digest()
        assert feature["id"].int64_list.value[0] == int.from_bytes(digest[:8], "big", signed=True)


def test_a_known_preparation_is_reused_without_tensorflow(workspace, tmp_path, picture, write_zip):
    pictures = {f"{split}/{n}.png": picture(n, (32, 32)) for split in ("train", "test") for n in range(10)}
    source = write_zip(tmp_path / "data.zip", pictures)
    first = prepare(registered_task("puzzle"), str(source), workspace)
    program = (
        "import sys; from pathlib import Path; from nightshift.data.prepare import prepare\n"
        "from nightshift.tasks.registry import task; from nightshift.workspace import Workspace\n"
        f"d = prepare(task('puzzle'), {str(source)!r}, Workspace(Path({str(workspace.root)!r})))\n"
        "print(d.fingerprint, d.reused, 'tensorflow' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not first.reused
    assert result.stdout.split() == [first.fingerprint, "True", "False"]


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)


DAMAGES = {
    "shorten": lambda shard: shard.write_bytes(b"short"),
    "remove": Path.unlink,
    "flip a byte": flip_a_byte,
    "be no manifest": lambda shard: (shard.parent / "dataset.json").write_text("{}"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_dataset_is_prepared_again(task, workspace, tmp_path, pictures, write_zip, leftovers, damage):
    source = str(write_zip(tmp_path / "data.zip", pictures))
    first = prepare(task, source, workspace)
    before = contents(first)
    DAMAGES[damage](first.shards("train")[0])
    told: list[str] = []
    second = prepare(task, source, workspace, progress=lambda _, message: told.append(message))
    assert told[0].startswith(f"dataset {first.fingerprint} is damaged and is prepared again (")
    assert not second.reused
    assert contents(second) == before
    second.verify()
    assert sorted(leftovers(workspace)) == sorted([second.path.name, "index"])
    assert prepare(task, source, workspace).reused


def test_a_preparation_of_the_same_content_replaces_a_damaged_one(task, workspace, tmp_path, pictures, write_zip):
    """The archives differ, and so do their keys; the dataset has one name."""
    first = prepare(task, str(write_zip(tmp_path / "data.zip", pictures)), workspace)
    flip_a_byte(first.shards("train")[0])
    inside = {f"top/{name}": image for name, image in pictures.items()}
    second = prepare(task, str(write_zip(tmp_path / "same.zip", inside)), workspace)
    assert second.path == first.path
    second.verify()


def test_a_dataset_that_is_gone_is_not_called_damaged(task, workspace, tmp_path, pictures, write_zip):
    source = str(write_zip(tmp_path / "data.zip", pictures))
    shutil.rmtree(prepare(task, source, workspace).path)
    told: list[str] = []
    assert not prepare(task, source, workspace, progress=lambda _, message: told.append(message)).reused
    assert not [message for message in told if "damaged" in message]


def test_verify_finds_a_changed_byte(task, workspace, tmp_path, pictures, write_zip):
    dataset = prepare(task, str(write_zip(tmp_path / "data.zip", pictures)), workspace)
    flip_a_byte(dataset.shards("test")[0])
    with pytest.raises(DataError, match=r"test-00000-of-00024.tfrecord: found SHA-256"):
        Dataset.open(dataset.path).verify()


def test_verify_names_a_shard_that_cannot_be_read(task, workspace, tmp_path, pictures, write_zip):
    dataset = prepare(task, str(write_zip(tmp_path / "data.zip", pictures)), workspace)
    dataset.shards("test")[0].unlink()
    with pytest.raises(DataError, match=r"test-00000-of-00024.tfrecord: cannot be read \(No such file"):
        dataset.verify()


def test_a_dataset_of_another_schema_is_refused(task, workspace, tmp_path, pictures, write_zip):
    dataset = prepare(task, str(write_zip(tmp_path / "data.zip", pictures)), workspace)
    file = dataset.path / "dataset.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema_version": 99}))
    with pytest.raises(DataError, match="schema_version: found 99, expected 2"):
        Dataset.open(dataset.path)


def test_train_and_validation_only_makes_validation_the_test_split(task, workspace, tmp_path, pictures, write_zip):
    renamed = {name.replace("test/", "validation/"): image for name, image in pictures.items()}
    dataset = prepare(task, str(write_zip(tmp_path / "data.zip", renamed)), workspace)
    assert all(key.startswith("validation/") for key in keys(dataset, "test"))
    assert all(key.startswith("train/") for key in keys(dataset, "validation"))
    assert dataset.manifest.splits["test"].count == 10


def test_class_folders_without_splits_are_cut_80_10_10(task, workspace, tmp_path, picture, write_tree):
    images = {f"{kind}/{n}.png": picture(n + 100 * kind.count("b")) for kind in ("a", "b") for n in range(20)}
    dataset = prepare(task, str(write_tree(tmp_path / "tree", images)), workspace)
    assert {name: split.class_counts for name, split in dataset.manifest.splits.items()} == {
        "train": [16, 16],
        "validation": [2, 2],
        "test": [2, 2],
    }


def test_the_classes_have_to_be_the_tasks(task, workspace, tmp_path, pictures, write_zip, leftovers):
    named = dataclasses.replace(task, classes=("cat", "dog"))
    with pytest.raises(DataError, match=r"found the classes cats, dogs, expected .* cat, dog"):
        prepare(named, str(write_zip(tmp_path / "data.zip", pictures)), workspace)
    assert leftovers(workspace) == []


def test_the_order_of_labels_is_the_tasks(task, workspace, tmp_path, pictures, write_zip):
    named = dataclasses.replace(task, classes=("dogs", "cats"))
    dataset = prepare(named, str(write_zip(tmp_path / "data.zip", pictures)), workspace)
    labels = {
        (e.features.feature["key"].bytes_list.value[0].split(b"/")[1], e.features.feature["label"].int64_list.value[0])
        for e in records(dataset, "test")
    }
    assert labels == {(b"dogs", 0), (b"cats", 1)}


def test_a_class_missing_from_a_split_is_named(task, workspace, tmp_path, pictures, write_zip, leftovers):
    without = {name: image for name, image in pictures.items() if not name.startswith("test/dogs")}
    with pytest.raises(DataError, match="split 'test' has no images of dogs"):
        prepare(task, str(write_zip(tmp_path / "data.zip", without)), workspace)
    assert leftovers(workspace) == []


def test_duplicates_inside_and_across_splits_are_reported(task, workspace, tmp_path, pictures, write_zip):
    pictures["test/cats/0.png"] = pictures["train/cats/0.png"]
    pictures["test/cats/1.png"] = pictures["test/cats/2.png"]
    manifest = prepare(task, str(write_zip(tmp_path / "data.zip", pictures)), workspace).manifest
    duplicates = manifest.duplicates
    assert duplicates.within_splits == {"train": 0, "validation": 0, "test": 1}
    assert duplicates.across_splits == 1
    assert [set(pair) for pair in duplicates.pairs] == [{"test/cats/0.png", "train/cats/0.png"}]
    assert manifest.remarks() == ["1 image occurs in more than one split, which flatters a model"]


def test_the_remarks_tell_what_was_left_out_and_what_repeats(task, workspace, tmp_path, pictures, write_zip):
    manifest = prepare(task, str(write_zip(tmp_path / "clean.zip", pictures)), workspace).manifest
    assert manifest.remarks() == []
    for number in range(3):
        pictures[f"test/dogs/{number}.png"] = pictures[f"train/dogs/{number}.png"]
        pictures[f"train/dogs/bad-{number}.png"] = b"no picture"
    manifest = prepare(task, str(write_zip(tmp_path / "data.zip", pictures)), workspace).manifest
    assert manifest.remarks() == [
        "3 images were left out",
        "3 images occur in more than one split, which flatters a model",
    ]


def test_statistics_are_those_of_the_pixels(task, workspace, tmp_path, pictures, write_zip):
    dataset = prepare(task, str(write_zip(tmp_path / "data.zip", pictures)), workspace)
    images = np.stack(
        [
            np.frombuffer(e.features.feature["image"].bytes_list.value[0], np.uint8).reshape(8, 8, 3)
            for e in records(dataset, "train")
        ]
    ).astype(float)
    found = dataset.manifest.statistics["train"]
    np.testing.assert_allclose(found.mean, images.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(found.standard_deviation, images.std((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(found.contrast, images.std((1, 2, 3)).mean(), atol=1e-5)
    assert found.brightness == np.histogram(images.mean((1, 2, 3)), 32, (0, 256))[0].tolist()


def test_bundled_mnist_holds_out_the_same_balanced_test_split_for_every_seed(workspace):
    digits = registered_task("digits")
    first, second = prepare(digits, "", workspace), prepare(digits, "", workspace, seed=1)
    assert {name: split.count for name, split in first.manifest.splits.items()} == {
        "train": 3500,
        "validation": 500,
        "test": 1000,
    }
    assert first.manifest.splits["test"].class_counts == [100] * 10
    assert sorted(keys(first, "test")) == sorted(keys(second, "test"))


def test_progress_rises_to_a_message_a_person_can_read(workspace):
    told: list[tuple[float, str]] = []
    prepare(registered_task("digits"), "", workspace, progress=lambda *told_now: told.append(told_now))
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1.0)
    assert any("2,000 of 5,000 images" in message for _, message in told)


def test_a_killed_preparation_leaves_nothing_visible_and_the_next_one_cleans_up(workspace, leftovers):
    program = (
        "from pathlib import Path; from nightshift.data.prepare import prepare\n"
        "from nightshift.tasks.registry import task; from nightshift.workspace import Workspace\n"
        "import time\n"
        "def wait(fraction, message):\n"
        "    print(message, flush=True); time.sleep(60)\n"
        f"prepare(task('digits'), '', Workspace(Path({str(workspace.root)!r})), progress=wait)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert [name for name in leftovers(workspace) if not name.endswith(".partial")] == []
    assert len(leftovers(workspace)) == 1
    dataset = prepare(registered_task("digits"), "", workspace)
    assert sorted(leftovers(workspace)) == sorted([dataset.path.name, "index"])


MEMORY_PROGRAM = """
import dataclasses, resource, sys
from pathlib import Path
import numpy as np
from nightshift.data.prepare import prepare
from nightshift.tasks.registry import task
from nightshift.workspace import Workspace
folder, images = Path(sys.argv[1]), int(sys.argv[2])
shape = (32, 32, 3)
prepare(
    dataclasses.replace(task("digits"), image_shape=shape),
    str(folder / f"{images}.npz"),
    Workspace(folder / f"workspace-{images}"),
)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_data(tmp_path: Path):
    peaks = []
    for images in (2_000, 20_000):
        pixels = np.random.default_rng(0).integers(0, 256, (images, 32, 32, 3), np.uint8)
        labels = np.arange(images) % 10
        np.savez(tmp_path / f"{images}.npz", x_train=pixels, y_train=labels, x_test=pixels[:1000], y_test=labels[:1000])
        result = subprocess.run(
            [sys.executable, "-c", MEMORY_PROGRAM, str(tmp_path), str(images)],
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(result.stdout))
    assert peaks[1] <= 1.2 * peaks[0], peaks


def test_shards_are_equal_ranges_in_the_order_of_the_hash(task, workspace, tmp_path, monkeypatch, pictures, write_zip):
    monkeypatch.setattr("nightshift.data.lanes.SHARD_BYTES", 150)
    dataset = prepare(task, str(write_zip(tmp_path / "data.zip", pictures)), workspace)
    shards = dataset.manifest.splits["train"].shards
    assert len(shards) == 2 * LANES  # 36 images of 192 bytes
    assert [shard.count for shard in shards] == [1] * 36 + [0] * 12
    ids = [e.features.feature["id"].int64_list.value[0] % 2**64 for e in records(dataset, "train")]
    assert ids == sorted(ids)
    assert len(ids) == 36


def test_shards_have_names_whatever_their_number():
    for index, count in ((0, 24), (99_999, 100_584), (100_583, 100_584)):
        name = shard_name("train", index, count)
        assert Shard(name=name, sha256=64 * "0", bytes=0, count=0).name == name
