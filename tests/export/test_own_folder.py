"""A folder of images that nothing here has seen before: prepared, trained, judged, exported and asked."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from nightshift.data.prepare import prepare
from nightshift.errors import ConfigurationError, DataError
from nightshift.evaluation.answers import judge, of_keras
from nightshift.export.export import export
from nightshift.problems.registry import problem_of
from nightshift.serving.ask import classify
from nightshift.serving.client import Client
from nightshift.serving.embedded import server as embedded
from nightshift.serving.release import release
from nightshift.serving.store import Store
from nightshift.tasks.base import Augmentation
from nightshift.tasks.registry import preset_of, task
from nightshift.training.train import train
from nightshift.workspace import Workspace

COLOURS = {"Löwenzahn (gelb)": (230, 210, 40), "바다": (20, 60, 200), "red brick": (190, 50, 40)}


def photographs(folder, count, colours=COLOURS):
    """`count` pictures a class, of several sizes, in folders of the classes' names."""
    random = np.random.default_rng(0)
    for name, colour in colours.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            size = (int(random.integers(20, 60)), int(random.integers(20, 60)), 3)
            noise = random.normal(0, 25, size)
            Image.fromarray((noise + colour).clip(0, 255).astype(np.uint8)).save(folder / name / f"{number}.jpg")
    return folder


def test_from_a_folder_to_an_endpoint_without_code(tmp_path):
    chosen = task("image_folder")
    place = Workspace(tmp_path / "workspace")
    dataset = prepare(chosen, str(photographs(tmp_path / "my pictures", 24)), place)
    assert dataset.manifest.classes == sorted(COLOURS)
    # The task's own network and shape; one short training is enough to tell colours apart.
    small = {
        "width": 4,
        "blocks": 1,
        "stages": 2,
        "epochs": 3,
        "batch_size": 8,
        "learning_rate": 1e-2,
        "schedule": "constant",
    }
    known = preset_of(chosen, "default").settings()
    changed = preset_of(chosen, "default", {name: value for name, value in small.items() if name in known})
    changed = dataclasses.replace(changed, augmentation=Augmentation())
    trained = train(chosen, "default", changed, dataset, place, seed=0)
    judged = judge(
        chosen, dataset, of_keras(trained.weights, problem_of(chosen, tuple(dataset.manifest.classes))), seed=0
    )
    assert judged.count == 6
    assert [row["name"] for row in judged.per_class] == sorted(COLOURS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nightshift.export.complete.prove_equal", lambda *_: {})
        exported = export(chosen, "flowers", trained, dataset, judged.metrics, tmp_path / "exported", seed=0)
    store = Store(place.models)
    running = embedded.start(store.server_config(), options=embedded.ServerOptions(labels_for_unavailable=True))
    try:
        with Client(f"127.0.0.1:{running.port}") as client:
            release(store, "flowers", exported.path, client, lambda line: None)
            (answer,) = classify(client, "flowers", [(tmp_path / "my pictures" / "바다" / "0.jpg").read_bytes()])
    finally:
        running.stop()
    assert answer.label in COLOURS
    assert answer.translations == answer.questions == {}


def test_without_data_the_task_asks_for_them(empty_workspace):
    with pytest.raises(ConfigurationError, match="task image_folder has no data of its own: give --data"):
        prepare(task("image_folder"), "", empty_workspace)


def test_a_folder_of_one_class_is_refused(tmp_path, empty_workspace):
    for split in ("train", "test"):
        photographs(tmp_path / "one" / split, 5, {"sea": (20, 60, 200)})
    with pytest.raises(DataError, match="found the single class sea, expected at least two"):
        prepare(task("image_folder"), str(tmp_path / "one"), empty_workspace)
    assert not [path for path in empty_workspace.datasets.iterdir() if path.suffix == ".partial"]


def test_pictures_that_lie_in_no_class_are_refused(tmp_path, empty_workspace):
    folder = photographs(tmp_path / "top" / "inner", 4)
    for path in list(folder.rglob("*.jpg")):
        path.rename(tmp_path / "top" / f"{path.parent.name}-{path.name}")
    with pytest.raises(DataError, match="lies in no class's folder"):
        prepare(task("image_folder"), str(tmp_path / "top"), empty_workspace)


def test_fewer_pictures_than_a_batch_are_refused_in_words(tmp_path, empty_workspace):
    chosen = task("image_folder")
    dataset = prepare(chosen, str(photographs(tmp_path / "few", 4)), empty_workspace)
    with pytest.raises(DataError, match=r"6 training images are less than one batch of 32"):
        train(chosen, "default", preset_of(chosen, "default"), dataset, empty_workspace, seed=0)


def test_hundreds_of_classes_are_told_apart_by_their_folders(tmp_path, empty_workspace):
    random = np.random.default_rng(0)
    for number in range(200):
        folder = tmp_path / "many" / f"kind {number}"
        folder.mkdir(parents=True)
        for copy in range(3):
            Image.fromarray(random.integers(0, 256, (4, 4, 3), np.uint8)).save(folder / f"{copy}.png")
    dataset = prepare(task("image_folder"), str(tmp_path / "many"), empty_workspace)
    assert len(dataset.manifest.classes) == 200
    assert {name: split.count for name, split in dataset.manifest.splits.items()} == dict.fromkeys(
        ("train", "validation", "test"), 200
    )
