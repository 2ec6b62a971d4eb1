"""A SavedModel as it lies in its folder."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from nightshift.errors import StoreError
from nightshift.export.export import export
from nightshift.export.parity import prove_equal
from nightshift.protos import prediction_log_pb2
from nightshift.serving.card import read_card
from nightshift.serving.golden import Golden
from nightshift.serving.manifest import check_manifest, write_manifest

BY_TENSORFLOW = {
    "fingerprint.pb",
    "saved_model.pb",
    "variables/variables.data-00000-of-00001",
    "variables/variables.index",
}
OURS = {
    "assets.extra/card.json",
    "assets.extra/card.md",
    "assets.extra/golden.npz",
    "assets.extra/labels.txt",
    "assets.extra/reference.npz",
    "assets.extra/tf_serving_warmup_requests",
    "manifest.json",
}

CARD = {"assets.extra/card.json", "assets.extra/card.md"}


def files(folder):
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def test_every_file_is_there_and_listed(case):
    assert files(case.exported.path).keys() == BY_TENSORFLOW | OURS
    check_manifest(case.exported.path)


def test_nothing_is_left_beside_it(case):
    assert {path.name for path in case.exported.path.parent.iterdir()} == {"1", "1.lock"}


def test_the_server_was_proven_equal_in_every_output_of_every_signature(case):
    assert case.exported.parity.keys() == {"serving_default", "serve_bytes", "classify"}
    golden = Golden.load(case.exported.path)
    for signature, outputs in case.exported.parity.items():
        assert outputs.keys() == golden.answers[signature].keys()
        assert all(difference <= 1e-4 for difference in outputs.values())


def test_the_golden_batch_is_of_the_test_split_and_of_what_the_network_answers(classifier):
    golden = Golden.load(classifier.exported.path)
    images = golden.requests["serving_default"]["images"]
    assert images.dtype == np.uint8
    assert images.shape == (16, 12, 12, 1)
    logits = tf.keras.models.load_model(classifier.trained.weights)(images, training=False)
    expected = tf.nn.softmax(logits).numpy()
    np.testing.assert_allclose(golden.answers["serving_default"]["probabilities"], expected, atol=1e-6)


def test_the_card_tells_programs_what_made_it(case):
    card = read_card(case.exported.path)
    recipe = card["recipe"]
    assert card["recipe_key"] == case.trained.path.name
    assert recipe["task"] == case.name
    assert recipe["seed"] == 3
    assert recipe["dataset"] == case.dataset.fingerprint
    assert recipe["settings"]["epochs"] == 1
    assert recipe["versions"].keys() >= {"tensorflow", "keras", "numpy"}
    assert len(recipe["sources"]) == 64
    assert card["metrics"] == {"accuracy": 0.875, "exact": 0.5}
    assert card["classes"] == case.dataset.manifest.classes
    assert card["dataset"]["counts"] == {name: split.count for name, split in case.dataset.manifest.splits.items()}
    assert card["statistics"]["mean"] == case.dataset.manifest.statistics["train"].mean
    assert (card["epochs"], card["parameters"] > 0) == (1, True)


def test_the_card_tells_people_too(case):
    text = (case.exported.path / "assets.extra" / "card.md").read_text()
    assert text == case.exported.card
    height, width, _ = case.task.image_shape
    for wanted in (
        f"# {case.name}",
        case.task.summary,
        f"{width} x {height} pixels",
        "| accuracy | 0.8750 |",
        case.dataset.fingerprint,
        "seed 3",
        "| batch_size |",
        "tensorflow 2.20",
        "## Limits",
    ):
        assert wanted in text


def test_labels_are_in_the_order_of_the_classes(case):
    text = (case.exported.path / "assets.extra" / "labels.txt").read_text()
    assert [row[0] for row in csv.reader(text.splitlines())] == list(case.dataset.manifest.classes)


def test_one_warm_up_request_a_signature(case):
    path = case.exported.path / "assets.extra" / "tf_serving_warmup_requests"
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record)
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    ]
    assert [log.WhichOneof("log_type") for log in logs] == ["predict_log", "predict_log", "classify_log"]
    specs = [log.predict_log.request.model_spec for log in logs[:2]] + [logs[2].classify_log.request.model_spec]
    assert [spec.signature_name for spec in specs] == ["serving_default", "serve_bytes", "classify"]
    assert {spec.name for spec in specs} == {case.name}
    assert len(logs[2].classify_log.request.input.example_list.examples) == 16


def test_again_it_differs_in_the_files_that_tensorflow_writes_only(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr("nightshift.export.complete.prove_equal", lambda *_: {})
    arguments = classifier.task, classifier.name, classifier.trained, classifier.dataset, read_metrics(classifier)
    again = export(*arguments, tmp_path / "1", seed=3)
    one, other = files(classifier.exported.path), files(again.path)
    changed = {name for name in one if one[name].read_bytes() != other[name].read_bytes()}
    assert one.keys() == other.keys()
    assert changed <= BY_TENSORFLOW | CARD | {"manifest.json"}
    assert without_measures(read_card(classifier.exported.path)) == without_measures(read_card(again.path))


def without_measures(card):
    """A card's facts but what a server took for its answers."""
    return {name: fact for name, fact in card.items() if name != "served"}


def read_metrics(case):
    return read_card(case.exported.path)["metrics"]


def test_what_an_earlier_export_left_is_replaced(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr("nightshift.export.complete.prove_equal", lambda *_: {})
    target = tmp_path / "1"
    target.mkdir()
    (target / "old").touch()
    (tmp_path / ".1.abc.partial").mkdir()
    export(classifier.task, "m", classifier.trained, classifier.dataset, read_metrics(classifier), target, seed=3)
    assert files(target).keys() == BY_TENSORFLOW | OURS
    assert {path.name for path in tmp_path.iterdir()} == {"1", "1.lock"}


def rewritten(case, folder, arrays_of):
    """A copy whose golden batch is changed by a function, as if it had been made by another network."""
    copy = shutil.copytree(case.exported.path, folder / "copy")
    golden = Golden.load(copy)
    changed = Golden(golden.requests, arrays_of(golden.answers))
    changed.save(copy)
    write_manifest(copy)
    return copy, changed


def test_a_network_that_answers_otherwise_through_the_server_is_refused(classifier, tmp_path):
    def shifted(answers):
        probabilities = np.roll(answers["serving_default"]["probabilities"], 1, axis=1)
        return answers | {"serving_default": answers["serving_default"] | {"probabilities": probabilities}}

    copy, golden = rewritten(classifier, tmp_path, shifted)
    with pytest.raises(StoreError, match="answers of serving_default: found 'probabilities' off by"):
        prove_equal(copy, "corners", golden)


def test_a_first_export_that_is_refused_leaves_nothing(classifier, tmp_path, monkeypatch):
    def refuse(saved_model, *_):
        assert (saved_model / "saved_model.pb").exists()
        raise StoreError("not as good as that")

    monkeypatch.setattr("nightshift.export.complete.prove_equal", refuse)
    with pytest.raises(StoreError, match="not as good as that"):
        export(classifier.task, "corners", classifier.trained, classifier.dataset, {}, tmp_path / "1", seed=3)
    assert [path.name for path in tmp_path.iterdir()] == ["1.lock"]


KILLED = """
import os, signal, sys
from pathlib import Path
import synthetic
from nightshift.data.manifest import Dataset
from nightshift.export import complete
from nightshift.export import export as module
from nightshift.training.model import TrainedModel
complete.prove_equal = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
module.export(synthetic.CORNERS, "corners", TrainedModel.open(Path(sys.argv[1])), Dataset.open(Path(sys.argv[2])),
              {"accuracy": 0.5}, Path(sys.argv[3]), seed=3)
"""


def test_killed_on_the_way_there_is_no_target_and_the_next_export_tidies_up(classifier, tmp_path, monkeypatch):
    target = tmp_path / "1"
    command = [sys.executable, "-c", KILLED, classifier.trained.path, classifier.dataset.path, target]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    code = subprocess.run(command, env=environment, stderr=subprocess.DEVNULL).returncode
    assert code == -signal.SIGKILL
    assert not target.exists()
    assert list(tmp_path.glob(".*.partial")), "it was on the way"
    monkeypatch.setattr("nightshift.export.complete.prove_equal", lambda *_: {})
    export(classifier.task, "corners", classifier.trained, classifier.dataset, {}, target, seed=3)
    check_manifest(target)
    assert {path.name for path in tmp_path.iterdir()} == {"1", "1.lock"}


def test_a_damaged_network_is_not_exported(classifier, tmp_path):
    copy = shutil.copytree(classifier.trained.path, tmp_path / "trained")
    (copy / "model.keras").write_bytes(b"")
    from nightshift.errors import WorkspaceError
    from nightshift.training.model import TrainedModel

    with pytest.raises(WorkspaceError, match=r"model\.keras: its SHA-256"):
        TrainedModel.open(copy)
    assert json.loads((copy / "training.json").read_text())["sha256"]
