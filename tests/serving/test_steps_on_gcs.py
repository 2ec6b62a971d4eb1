"""The steps and a whole release with the store in a bucket, and a model server that reads the bucket for itself."""

import keras
import numpy as np
import pytest
import synthetic
import tensorflow as tf
from emulator import emulated, names_below, store_at
from version_folder import facts

from nightshift.errors import ReleaseError
from nightshift.files import write_json
from nightshift.problems.registry import problem_of
from nightshift.protos import model_server_config_pb2
from nightshift.serving import target as target_module
from nightshift.serving.card import write_card
from nightshift.serving.client import Client
from nightshift.serving.config import server_config
from nightshift.serving.embedded import server as embedded
from nightshift.serving.golden import Golden
from nightshift.serving.manifest import write_manifest
from nightshift.serving.release import rollback
from nightshift.steps.deploy import deploy
from nightshift.steps.evaluate import evaluate
from nightshift.steps.prepare_data import prepare_data
from nightshift.tasks.registry import tasks
from nightshift.training.model import TrainedModel
from nightshift.workspace import Workspace

MODEL = "corners"


@pytest.fixture(scope="module")
def bucket():
    with emulated("data") as found:
        yield found


@pytest.fixture(scope="module")
def reader(bucket, tmp_path_factory):
    """A client's class whose server reads gs://, by way of a copy of what a configuration names there."""
    copies = tmp_path_factory.mktemp("server")

    class Reader(Client):
        def reload(self, config):
            copied = model_server_config_pb2.ModelServerConfig()
            copied.CopyFrom(config)
            for model in copied.model_config_list.config:
                assert model.base_path.startswith("gs://data/")
                base = model.base_path.removeprefix("gs://data/")
                model.base_path = str(copies / base)
                for version in model.model_version_policy.specific.versions:
                    for name in names_below(bucket, f"{base}/{version}/"):
                        file = copies / base / str(version) / name
                        file.parent.mkdir(parents=True, exist_ok=True)
                        file.write_bytes(bucket.blob(f"{base}/{version}/{name}").download_as_bytes())
            super().reload(copied)

    return Reader


@pytest.fixture
def server(reader, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_BAKE_SECONDS", "0.1")
    running = embedded.start(server_config([]), options=embedded.ServerOptions(labels_for_unavailable=True))
    monkeypatch.setattr(target_module, "Client", reader)
    yield f"127.0.0.1:{running.port}"
    running.stop()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A network that was not trained."""
    keras.utils.set_random_seed(0)
    shape = synthetic.CORNERS.image_shape
    layers = [keras.Input(shape), keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(4)]
    folder = tmp_path_factory.mktemp("trained")
    keras.Sequential(layers).save(folder / "model.keras")
    return TrainedModel(folder, {})


class Constant(tf.Module):
    """Answers every picture with the same class."""

    def __init__(self, class_id):
        super().__init__()
        self.logits = tf.Variable(tf.one_hot(class_id, 4))

    @tf.function(input_signature=[tf.TensorSpec([None, *synthetic.CORNERS.image_shape], tf.uint8, name="images")])
    def predict(self, images):
        logits = tf.tile(self.logits[None], [tf.shape(images)[0], 1])
        return problem_of(synthetic.CORNERS, synthetic.CORNERS.classes).answers(images, logits)


def write_constant(folder, class_id, key):
    """A complete version of a model of corners, made by that recipe."""
    module = Constant(class_id)
    images = np.zeros((2, *synthetic.CORNERS.image_shape), np.uint8)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.predict})
    answers = {name: tensor.numpy() for name, tensor in module.predict(images).items()}
    Golden({"serving_default": {"images": images}}, {"serving_default": answers}).save(folder)
    write_card(folder, synthetic.CORNERS, facts(class_id) | {"recipe_key": key})
    write_manifest(folder)
    return folder


def test_each_step_finds_what_the_last_run_released_in_the_bucket(
    bucket, server, reader, trained, corners, tmp_path, monkeypatch
):
    monkeypatch.setitem(tasks(), MODEL, synthetic.CORNERS)
    store = store_at("gs://data/nightshift/models", tmp_path / "copies")
    workspace = Workspace(tmp_path / "workspace")
    source = tmp_path / "corners.npz"
    np.savez(source, allow_pickle=False, **synthetic.corners(600, 200))

    def prepared(run):
        options = {"source": str(source), "preset": "default", "settings": {}, "seed": 0, "server": server}
        return prepare_data(workspace.run(run), workspace, store, task=MODEL, model=MODEL, **options)

    def evaluated(run):
        options = {"seed": 0, "dataset": corners, "trained": trained, "server": server}
        return evaluate(workspace.run(run), store, task=MODEL, model=MODEL, **options)

    def deployed(run, saved_model):
        decision = {"blessed": True, "reason": ""}
        write_json(workspace.run(run).path / "evaluate" / "evaluation.json", {"decision": decision})
        return deploy(workspace.run(run), store, model=MODEL, saved_model=saved_model, server=server)

    assert prepared("first").reason == f"nothing serves as {MODEL} yet"
    assert evaluated("first").evaluation["serving"] is None
    key = workspace.run("first").statuses()["prepare_data"]["figures"]["key"]

    first = deployed("first", write_constant(tmp_path / "one", 1, "another recipe"))
    assert (first.predecessor, first.unchanged) == (0, False)
    assert deployed("first", tmp_path / "one").unchanged
    second = prepared("second")
    assert second.train
    assert second.reason == f"version {first.version} of {MODEL} serves, made from other data, settings or code"
    serving = evaluated("second").evaluation["serving"]
    assert serving["version"] == first.version
    assert serving["metrics"]["accuracy"] == pytest.approx(0.25, abs=0.1)

    released = deployed("second", write_constant(tmp_path / "two", 2, key))
    assert released.predecessor == first.version
    third = prepared("third")
    assert not third.train
    assert third.reason.startswith(f"nothing to do: version {released.version} of {MODEL} serves, made from the same")

    wrong = write_constant(tmp_path / "three", 3, key)
    Golden.load(tmp_path / "two").save(wrong)
    write_manifest(wrong)
    with pytest.raises(ReleaseError, match=rf"was refused, version {released.version} still serves"):
        deployed("third", wrong)
    with reader(server) as client:
        rollback(store, MODEL, client)
        assert client.metadata(MODEL, label="stable").version == first.version
    assert [event.kind for event in store.ledger(MODEL).events()] == [
        *("published", "approved", "promoted") * 2,
        *("published", "refused"),
        "rolled_back",
    ]
