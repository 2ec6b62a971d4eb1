"""Published detectors become models of ours: what they answer, through a server process, and what goes with them."""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import detectors
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from nightshift.errors import DataError, StoreError
from nightshift.importing.importing import import_model
from nightshift.importing.source import fetch_saved_model
from nightshift.serving.card import read_card
from nightshift.serving.client import Client, ServerRefusedError
from nightshift.serving.config import model_config, server_config
from nightshift.serving.detect import detect
from nightshift.serving.golden import Golden
from nightshift.serving.manifest import check_manifest
from nightshift.serving.process import server_process

BOX = (0.25, 0.5, 0.75, 0.6)
"""Of the red thing: top, left, bottom, right."""

KINDS = {
    "objects": lambda folder: detectors.Detector().save(folder),
    "numbered": lambda folder: detectors.Detector(
        dtype=tf.uint8, shape=(None, None, None, 3), batched=True, named=False
    ).save(folder),
    "fixed": lambda folder: detectors.Detector(shape=(1, 100, 200, 3)).save(folder),
    "hub": lambda folder: detectors.save_hub_module(folder, folder.with_suffix(".txt")),
}


@dataclass(frozen=True)
class Case:
    """A kind of detector, imported."""

    name: str
    imported: Any
    told: list[str]


def imported(kind, folder: Path, task) -> Case:
    KINDS[kind](folder / kind)
    told: list[str] = []
    copied = folder / "copied"
    copied.mkdir(parents=True)
    source = fetch_saved_model(str(folder / kind), copied, folder, told.append)
    return Case(kind, import_model(task, kind, source, folder / "models" / kind / "1", tell=told.append), told)


@pytest.fixture(scope="module")
def cases(task, tmp_path_factory):
    return {kind: imported(kind, tmp_path_factory.mktemp(kind), task) for kind in KINDS}


@pytest.fixture(scope="module")
def client(cases, tmp_path_factory):
    """Of one server process with all of them."""
    file = tmp_path_factory.mktemp("server") / "models.config"
    file.write_text(str(server_config([model_config(n, c.imported.path.parent) for n, c in cases.items()])))
    arguments = ["-m", "nightshift.serving.embedded", "--port=0", f"--model_config_file={file}"]
    with server_process(arguments) as target, Client(target, retries=0, timeout=30) as client:
        yield client


def picture(width=200, height=100, kind="PNG", mode="RGB"):
    """A red thing in BOX, before blue."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 2] = 90
    top, left, bottom, right = (round(share * size) for share, size in zip(BOX, (height, width) * 2, strict=True))
    pixels[top:bottom, left:right] = (250, 20, 20)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind)
    return buffer.getvalue()


def ask(client, name, *contents):
    inputs = {"image_bytes": np.array(contents, object)}
    return client.predict(name, inputs, signature="serve_bytes", label=None).outputs


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(200, 100), (60, 340)])
def test_bytes_of_any_size_are_answered_as_the_task_declares(kind, size, client):
    answer = ask(client, kind, picture(*size))
    assert answer["detection_boxes"].dtype == np.float32
    assert answer["detection_boxes"].shape == (3, 4)
    np.testing.assert_allclose(answer["detection_boxes"][0], BOX, atol=0.03)
    np.testing.assert_allclose(answer["detection_scores"], [0.9, 0.1, 0.05])
    named = [b"class 2", b"class 1", b"class 0"] if kind == "numbered" else [n.encode() for n in detectors.NAMES[::-1]]
    assert answer["detection_class_entities"].tolist() == named


def test_the_published_signature_stays_and_answers_as_it_did(client, published):
    images = np.random.default_rng(0).random((1, 30, 40, 3), np.float32)
    images[0, 3:9, 5:7] = (1, 0, 0)
    expected = tf.saved_model.load(str(published)).signatures["serving_default"](tf.constant(images))
    answer = client.predict("objects", {"images": images}, label=None).outputs
    assert answer.keys() == expected.keys()
    np.testing.assert_array_equal(answer["detection_boxes"], expected["detection_boxes"])
    hub = client.predict("hub", {"images": images}, signature="default", label=None).outputs
    np.testing.assert_allclose(hub["detection_boxes"], expected["detection_boxes"], atol=1e-6)
    assert hub["detection_class_labels"].tolist() == [2, 1, 0]  # passed on, though the task does not ask for it


@pytest.mark.parametrize("kind", ["objects", "hub"])
def test_a_wrong_request_is_refused_and_the_next_is_answered(kind, client):
    signature = "default" if kind == "hub" else "serving_default"
    for images in (np.zeros((2, 8, 8, 3), np.float32), np.zeros((1, 8, 8, 4), np.float32), np.zeros((8,), np.float32)):
        with pytest.raises(ServerRefusedError):
            client.predict(kind, {"images": images}, signature=signature, label=None)
    for contents, said in [
        ((b"nothing",), "neither a JPEG nor a PNG"),
        ((picture(), picture()), "shape"),
        ((picture()[:200],), "INVALID_ARGUMENT"),
    ]:
        with pytest.raises(ServerRefusedError, match=said):
            ask(client, kind, *contents)
    assert len(ask(client, kind, picture(kind="JPEG", mode="L"))["detection_scores"]) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_proof_golden_batch_warm_up_card_and_manifest_go_with_it(kind, cases):
    case = cases[kind]
    path = case.imported.path
    check_manifest(path)
    signature = "default" if kind == "hub" else "serving_default"
    assert case.imported.parity.keys() == {signature, "serve_bytes"} == Golden.load(path).requests.keys()
    assert all(largest <= 1e-5 for outputs in case.imported.parity.values() for largest in outputs.values())
    records = list(tf.data.TFRecordDataset(str(path / "assets.extra" / "tf_serving_warmup_requests")))
    assert len(records) == 2
    card = read_card(path)
    assert card["recipe"]["task"] == "detection"
    assert card["recipe"]["source"].endswith(kind)
    assert len(card["recipe"]["dataset"]) == 64
    assert card["signatures"].keys() == {signature, "serve_bytes"}
    assert card["recipe"]["dataset"] in case.imported.card
    assert f"`{signature}`" in case.imported.card
    assert any(line.startswith(f"signature {signature}: takes images ") for line in case.told)


def test_a_detector_that_answers_otherwise_than_it_says_is_refused(task, fetched, tmp_path):
    def ragged(scores):
        return scores[: tf.cast(scores[0] * 2, tf.int32)]

    folder = detectors.Detector(more=ragged).save(tmp_path / "model")
    with pytest.raises(DataError, match=r"answers a photograph with .*detection_scores float32 \[1\].*as many of each"):
        import_model(task, "ragged", fetched(folder), tmp_path / "ragged" / "1")
    assert not (tmp_path / "ragged" / "1").exists()


def test_a_damaged_variable_file_is_told_without_a_traceback(task, fetched, published, tmp_path):
    source = fetched(published)
    next(source.path.glob("variables/*.index")).write_bytes(b"nothing")
    with pytest.raises(DataError, match="TensorFlow cannot use it"):
        import_model(task, "damaged", source, tmp_path / "damaged" / "1")
    assert not list((tmp_path / "damaged").glob("*partial"))


def test_a_server_that_answers_otherwise_leaves_nothing(task, fetched, published, tmp_path, monkeypatch):
    def differ(*_):
        raise StoreError("the server's answers are off")

    monkeypatch.setattr("nightshift.export.complete.prove_equal", differ)
    with pytest.raises(StoreError, match="are off"):
        import_model(task, "model", fetched(published), tmp_path / "model" / "1")
    assert not (tmp_path / "model" / "1").exists()


def test_detections_come_best_first_and_without_boxes_of_nothing(client):
    found = detect_without_label(client, "hub")
    assert [each.name for each in found.detections] == ["Łódź 사과"]
    assert found.detections[0].score == pytest.approx(0.9)
    assert found.at_least(0.95, 15) == ()
    assert json.dumps(vars(found.detections[0]))


def detect_without_label(client, model):
    class Unlabelled:
        def metadata(self, name):
            return client.metadata(name, label=None)

        def predict(self, name, inputs, **options):
            return client.predict(name, inputs, label=None, **options)

    return detect(Unlabelled(), model, picture())
