"""Answers in several languages and to several questions: exported, served, asked by hand."""

import dataclasses
import json

import numpy as np
import pytest
import synthetic
import tensorflow as tf
from click.testing import CliRunner
from PIL import Image

from nightshift.cli import main
from nightshift.export import export as module
from nightshift.serving.ask import Classified, classify
from nightshift.serving.client import Client
from nightshift.serving.embedded import server as embedded
from nightshift.serving.examples import ask_examples
from nightshift.serving.release import release
from nightshift.serving.store import Store
from nightshift.tasks.registry import preset_of
from nightshift.training.train import train
from nightshift.workspace import Workspace

KOREAN = ("북서", "북동", "남서", "남동")
SIDES = ("west", "east", "west", "east")
TASK = dataclasses.replace(
    synthetic.CORNERS,
    name="sides",
    problem="grouped",
    groups={"side": SIDES},
    translations={"ko": KOREAN},
    score="exact_match",
)


@pytest.fixture(scope="module")
def folder(corners, tmp_path_factory):
    place = tmp_path_factory.mktemp("sides")
    changed = preset_of(TASK, "plain", {"epochs": 1})
    trained = train(TASK, "plain", changed, corners, Workspace(place / "workspace"), seed=3)
    # Proven through a server of its own: strings in Korean have to come through, too.
    return module.export(TASK, TASK.name, trained, corners, {"accuracy": 0.5}, place / "exported", seed=3).path


@pytest.fixture(scope="module")
def server(folder, tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    running = embedded.start(store.server_config(), options=embedded.ServerOptions(labels_for_unavailable=True))
    target = f"127.0.0.1:{running.port}"
    with Client(target) as client:
        release(store, TASK.name, folder, client, lambda line: None)
    yield target
    running.stop()


@pytest.fixture
def pictures(corners, tmp_path):
    from nightshift.data.sample import sample

    paths = [tmp_path / f"{k}.png" for k in range(3)]
    for path, image in zip(paths, sample(corners, "test", 3)[0], strict=True):
        Image.fromarray(image[..., 0]).save(path)
    return paths


def test_labels_lie_beside_the_model_in_every_language(folder):
    assert (folder / "assets.extra" / "labels.txt").read_text().splitlines() == list(TASK.classes)
    assert (folder / "assets.extra" / "labels.ko.txt").read_text().splitlines() == list(KOREAN)
    files = {path.name for path in (folder / "assets.extra").iterdir() if path.name.startswith("labels")}
    assert files == {"labels.txt", "labels.ko.txt"}


def test_the_endpoint_answers_every_question_in_every_language_by_both_signatures(server, corners):
    from nightshift.data.sample import sample

    images, _ = sample(corners, "test", 8)
    encoded = np.array([tf.io.encode_png(image).numpy() for image in images], object)
    with Client(server) as client:
        signatures = client.metadata("sides").signatures
        by_pixels = client.predict("sides", {"images": images}).outputs
        by_bytes = client.predict("sides", {"image_bytes": encoded}, signature="serve_bytes").outputs
    further = {"side_probabilities", "side_label", "side_of_class", "label_ko"}
    assert by_pixels.keys() == by_bytes.keys() == {"probabilities", "class_id", "label"} | further
    assert signatures["serving_default"].outputs["side_probabilities"].shape == (None, 2)
    assert signatures["classify"].outputs.keys() == {"classes", "scores"}
    for name, found in by_pixels.items():
        assert (
            np.allclose(found, by_bytes[name], atol=1e-6) if found.dtype != object else (found == by_bytes[name]).all()
        )
    for row, class_id in enumerate(by_pixels["class_id"]):
        assert by_pixels["label"][row].decode() == TASK.classes[class_id]
        assert by_pixels["label_ko"][row].decode() == KOREAN[class_id]
        assert by_pixels["side_of_class"][row].decode() == SIDES[class_id]
        assert by_pixels["side_label"][row].decode() == ("west", "east")[by_pixels["side_probabilities"][row].argmax()]


def test_predict_tells_all_of_it(server, pictures):
    result = CliRunner().invoke(main, ["predict", "sides", *map(str, pictures), "--server", server])
    assert result.exit_code == 0, result.output
    with Client(server) as client:
        answers = classify(client, "sides", [path.read_bytes() for path in pictures])
    for path, answer, line in zip(pictures, answers, result.stdout.splitlines(), strict=True):
        korean = KOREAN[TASK.classes.index(answer.label)]
        assert line.startswith(f"{path}: {answer.label} / {korean} ({answer.probability:.1%}), side ")
        assert "sides version 20" in line


def test_predict_as_json_has_the_endpoints_names(server, pictures):
    result = CliRunner().invoke(main, ["predict", "sides", str(pictures[0]), "--json", "--server", server])
    found = json.loads(result.stdout)
    assert found["label_ko"] == KOREAN[TASK.classes.index(found["label"])]
    assert found["side_of_class"] == SIDES[TASK.classes.index(found["label"])]
    assert found["side_label"] in SIDES
    assert "\\u" not in result.stdout


def test_examples_are_told_with_all_of_it(server, corners):
    for line in ask_examples(server, "sides", TASK, corners.path):
        assert any(f"is {name} / {korean} (" in line for name, korean in zip(TASK.classes, KOREAN, strict=True))
        assert ", side " in line


def test_a_further_answer_that_the_label_contradicts_is_told_as_such():
    agreed = Classified("7", 0.998, 3, 1.0, questions={"parity": ("odd", "odd")})
    assert agreed.in_words() == "7 (99.8%), parity odd"
    assert dataclasses.replace(agreed, label="8", questions={"parity": ("odd", "even")}).in_words() == (
        "8 (99.8%), parity odd (though 8 is even)"
    )
    assert Classified("Bag", 0.5, 3, 1.0, translations={"ko": "가방"}).in_words() == "Bag / 가방 (50.0%)"


def test_predict_answers_all_pictures_and_tells_those_refused_at_the_end_of_it_by_its_exit_code(
    server, pictures, tmp_path
):
    text, missing = tmp_path / "version label.png", tmp_path / "missing.png"
    text.write_text("not a picture")
    files = [text, pictures[0], missing, pictures[1]]
    result = CliRunner().invoke(main, ["predict", "sides", *map(str, files), "--server", server])
    assert result.exit_code == 1
    assert [line.partition(": ")[0] for line in result.stdout.splitlines()] == [str(path) for path in pictures[:2]]
    one, other = result.stderr.splitlines()
    assert one.startswith(f"Error: {text}: ")
    assert "neither a JPEG nor a PNG" in one
    assert other.startswith(f"Error: {missing}: cannot be read: No such file")


def test_predict_stops_where_no_picture_can_be_answered(pictures):
    arguments = ["predict", "sides", *map(str, pictures), "--server", "127.0.0.1:1", "--timeout", "0.5"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
