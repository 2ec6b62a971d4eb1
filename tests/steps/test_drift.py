"""What prepare_data makes of drift: it is told, and live drift has a model trained anew, once."""

import json

import numpy as np
import pytest

from nightshift.data.sample import sample
from nightshift.drift.check import Drift
from nightshift.drift.comparison import Change, Comparison
from nightshift.drift.features import features
from nightshift.drift.reference import NAME, Reference
from nightshift.protos import predict_pb2
from nightshift.report.drift import Drifts as Shown
from nightshift.report.folder import StepFolder
from nightshift.serving.ledger import Event
from nightshift.serving.samples import Sampler
from nightshift.serving.store import Store
from nightshift.serving.tensors import to_proto
from nightshift.steps.drift import drifts_of, retraining, write_drifts
from nightshift.steps.prepare_data import next_seed, training_due
from nightshift.training.model import DESCRIPTION
from nightshift.workspace import Workspace

NOTHING = "nothing to do: version 7 of corners serves"
NOWHERE = "127.0.0.1:1"


@pytest.fixture
def images(corners):
    """540 of the training split: as many as a comparison needs."""
    return sample(corners, "train", 1000)


@pytest.fixture
def saved_model(tmp_path, images):
    """A version's folder with its reference statistics."""
    path = tmp_path / "version"
    pictures, labels = images
    columns = features(pictures) | {"confidence": np.full(len(pictures), 0.9, np.float32)}
    Reference((12, 12, 1), "stretch", 1, ("a", "b", "c", "d"), columns, labels, labels).save(path)
    return path


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def ask(workspace):
    """Requests with their answers, sampled as a server does."""

    def kept(pictures, labels):
        request, response = predict_pb2.PredictRequest(), predict_pb2.PredictResponse()
        request.inputs["images"].CopyFrom(to_proto(pictures))
        response.outputs["class_id"].CopyFrom(to_proto(labels))
        with Sampler(str(workspace.root / "samples"), 1.0) as sampler:
            sampler.offer("corners", 7, request, response)

    return kept


def look(workspace, saved_model, dataset, trained_on="another"):
    card = {"recipe": {"dataset": trained_on}}
    return drifts_of(workspace, "corners", 7, saved_model, card, dataset, NOWHERE)


def test_live_requests_like_the_reference_have_not_drifted_and_inverted_ones_have(
    workspace, saved_model, corners, images, ask
):
    pictures, labels = images
    ask(pictures[:200], labels[:200])
    assert not look(workspace, saved_model, corners).live.drifted
    ask(255 - pictures[200:], labels[200:])
    live = look(workspace, saved_model, corners).live
    assert live.drifted
    assert "brightness" in live.words


def test_too_few_requests_say_so_and_do_not_alarm(workspace, saved_model, corners, images, ask):
    ask(255 - images[0][:50], images[1][:50])
    live = look(workspace, saved_model, corners).live
    assert not live.drifted
    assert live.words == "too few images to tell: the sample has 50, at least 100 are needed"


def test_the_environment_names_another_place(workspace, saved_model, corners, images, ask, monkeypatch, tmp_path):
    ask(*images)
    monkeypatch.setenv("NIGHTSHIFT_SAMPLES", str(tmp_path / "elsewhere"))
    live = look(workspace, saved_model, corners).live
    assert live.words == f"no request that version 7 answered is in {tmp_path / 'elsewhere'}"


def test_the_very_data_are_not_compared_and_others_are(workspace, saved_model, corners):
    assert "the very data" in look(workspace, saved_model, corners, corners.fingerprint).data.words
    assert "the sample has 60" in look(workspace, saved_model, corners).data.words


def test_what_cannot_be_compared_is_said_and_stops_nothing(workspace, saved_model, corners, tmp_path, monkeypatch):
    (saved_model / NAME).write_bytes(b"damaged")
    drifts = look(workspace, saved_model, corners)
    assert drifts.data.words.startswith("not compared: ")
    assert "no readable reference statistics" in drifts.live.words
    (saved_model / NAME).unlink()
    drifts = look(workspace, saved_model, corners)
    assert "version 7 has no reference statistics" in drifts.live.words
    assert not drifts.live.drifted
    assert not drifts.data.drifted


def test_figures_go_on_record_and_what_is_drawn_beside_them(workspace, saved_model, corners, images, ask, tmp_path):
    ask(255 - images[0], images[1])
    drifts = look(workspace, saved_model, corners)
    figures = json.loads(json.dumps(drifts.figures(), allow_nan=False))
    assert figures["live"]["drifted"] is True
    assert "plot" not in figures["live"]["changes"][0]
    folder = tmp_path / "prepare_data"
    write_drifts(folder, drifts)
    assert StepFolder(folder).described("drift.json", Shown).live.changes[0].plot


CHANGE = Change("brightness", "Kolmogorov-Smirnov", 0.0, 3.0, "stability index", 0.2, drifted=True)
LIVE = Drift("live requests", 7, Comparison(500, 300, 100, (CHANGE,)))


def test_no_drift_is_no_reason_to_train(workspace):
    quiet = Drift("live requests", 7, Comparison(500, 300, 100, ()))
    assert retraining(workspace, quiet, "served", "other", NOTHING, 1) == (False, NOTHING)


def test_live_drift_has_the_same_recipe_trained_with_another_seed(workspace):
    train, reason = retraining(workspace, LIVE, "served", "other", NOTHING, 1)
    assert train
    assert "live requests have drifted from what version 7 was validated on" in reason
    assert "brightness (stability index 3.00, 0.2 is tolerated)" in reason
    assert "with seed 1" in reason


def test_but_once_only_whatever_came_of_it(workspace):
    (workspace.checkpoints / "other").mkdir(parents=True)
    assert retraining(workspace, LIVE, "served", "other", NOTHING, 1)[0]  # interrupted: it goes on
    (workspace.checkpoints / "other" / DESCRIPTION).write_text("{}")
    train, reason = retraining(workspace, LIVE, "served", "other", NOTHING, 1)
    assert not train
    assert reason.startswith(NOTHING)
    assert "add images like those that are asked about" in reason
    assert not retraining(Workspace(workspace.root / "new"), LIVE, "other", "other", NOTHING, 1)[0]  # it serves


def test_a_version_that_drift_had_trained_is_not_taken_for_another_recipe(tmp_path):
    store = Store(tmp_path)
    folder = tmp_path / "corners" / "7" / "assets.extra"
    folder.mkdir(parents=True)
    card = {"recipe": {"dataset": "d"}, "recipe_key": "other", "metrics": {}, "code_version": "1"}
    (folder / "card.json").write_text(json.dumps(card))
    store.ledger("corners").append(Event("published", 7, facts={"recipe": "other"}))
    assert training_due(store, "corners", 7, "key")[0]
    assert not training_due(store, "corners", 7, "key", "other")[0]


def test_the_next_seed_is_a_seed():
    assert next_seed(0) == 1
    assert next_seed((1 << 32) - 1) == 0
