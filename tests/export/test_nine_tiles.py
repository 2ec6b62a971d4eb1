"""A solver of 3x3 puzzles, exported and asked through a server."""

import numpy as np
import pytest
import synthetic
import tensorflow as tf

from nightshift.data.prepare import prepare
from nightshift.tasks.base import Preset, Task
from nightshift.workspace import Workspace

TASK = Task(
    name="nine",
    summary="Smooth pictures in nine tiles",
    problem="puzzle",
    image_shape=(15, 15, 3),
    fit="reduce",
    labelled=False,
    grid=3,
    source="",
    score="exact",
    thresholds={"exact": 0.5, "valid": 1.0},
    presets={
        "default": Preset(
            network="seamnet", network_options={"strip": 2, "width": 4, "embed": 4}, epochs=1, batch_size=40
        ),
    },
)


@pytest.fixture(scope="module")
def exported(exporter, tmp_path_factory):
    """Of a network that has hardly learnt: what counts is that the server answers as the network does."""
    folder = tmp_path_factory.mktemp("nine")
    np.savez(folder / "textures.npz", allow_pickle=False, **synthetic.textures(100, 20))
    dataset = prepare(TASK, str(folder / "textures.npz"), Workspace(folder / "workspace"))
    return exporter(TASK, "default", dataset, folder)


def test_a_server_answers_as_the_network_does(exported):
    """`export` asks one, and refuses a SavedModel that answers otherwise; here are its figures."""
    for signature in ("serving_default", "serve_bytes", "classify"):
        assert max(exported.exported.parity[signature].values()) <= 1e-4
    assert exported.exported.parity["serving_default"].keys() == {
        "permutation",
        "solved",
        "probability",
        "shuffled_probability",
        "position_probabilities",
    }
    assert exported.exported.parity["serving_default"]["permutation"] == 0


def test_its_answers_are_permutations_of_nine(exported):
    serve = tf.saved_model.load(str(exported.exported.path)).signatures["serving_default"]
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (3, 15, 15, 3), np.uint8))
    found = serve(images=images)
    assert np.sort(found["permutation"], axis=1).tolist() == [list(range(9))] * 3
    assert found["position_probabilities"].shape == (3, 9, 9)
    assert found["position_probabilities"].numpy().sum(axis=2) == pytest.approx(1, abs=1e-5)


def test_a_saved_model_does_not_list_the_arrangements(exported):
    """362,880 of nine numbers would be 13 MB in each of three signatures."""
    assert (exported.exported.path / "saved_model.pb").stat().st_size < 6 << 20
