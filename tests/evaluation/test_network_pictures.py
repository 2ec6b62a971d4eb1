"""What is written of a network for the report: its graph, its first convolution."""

import json

import keras
import numpy as np
import pytest
from keras import layers, ops

from nightshift.evaluation.architecture import MOST_LAYERS, architecture, calls, load_network
from nightshift.evaluation.first_convolution import first_convolution
from nightshift.models.networks import build
from nightshift.problems.registry import problem_of
from nightshift.report.architecture import Network
from nightshift.tasks.base import Task
from nightshift.tasks.registry import tasks

PRESETS = {preset.network: (task, preset) for task in tasks().values() for preset in task.presets.values()}


def network_of(task: Task, network: str) -> keras.Model:
    outputs = problem_of(task, task.classes or ("a", "b", "c")).outputs
    return build(network, task.image_shape, outputs, PRESETS[network][1].network_options)


@pytest.mark.parametrize("name", PRESETS)
def test_every_network_of_ours_is_described_as_the_report_reads_it(name):
    model = network_of(PRESETS[name][0], name)
    read = Network.model_validate_json(json.dumps(architecture(model)))
    assert sum(layer.parameters for layer in read.layers) == read.parameters == model.count_params()
    assert {layer.name for layer in read.layers} >= {layer.name for layer in model.layers}
    assert [layer.output_shape for layer in read.layers if layer.output] == [list(model.outputs[0].shape[1:])]
    assert read.layers[0].type == "InputLayer"


def two_towers() -> keras.Model:
    """Two inputs that pass the same layers, and two outputs."""
    left, right = keras.Input((8, 8, 3), name="left"), keras.Input((8, 8, 3), name="right")
    tower = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3), layers.Flatten()], name="tower")
    head = layers.Dense(4, name="head")
    one, other = head(tower(left)), head(tower(right))
    return keras.Model([left, right], [ops.abs(one - other), layers.Dense(2, name="second")(one)])


def test_shared_layers_are_counted_once_and_each_of_their_uses_is_there():
    found = architecture(two_towers())
    uses = [(row["again"], row["parameters"]) for row in found["layers"] if row["name"] == "head"]
    assert uses == [(False, 72 * 4 + 4), (True, 0)]
    assert sum(row["parameters"] for row in found["layers"]) == found["parameters"]
    assert [row["type"] for row in found["layers"] if row["output"]] == ["Absolute", "Dense"]
    Network.model_validate(found)


def test_settings_are_told_where_they_do_not_go_without_saying():
    image = keras.Input((9, 9, 3))
    features = layers.Conv2D(4, (3, 5), strides=2, padding="same", activation="relu")(image)
    features = layers.MaxPool2D(2)(features)
    plain = layers.Conv2D(4, 1)(features)
    conv, pool, last = architecture(keras.Model(image, plain))["layers"][1:]
    assert conv["settings"] == {
        "kernel_size": "3\u00d75",
        "filters": "4",
        "strides": "2",
        "padding": "same",
        "activation": "relu",
    }
    assert pool["settings"] == {"pool_size": "2\u00d72"}
    assert last["settings"] == {"kernel_size": "1\u00d71", "filters": "4"}


def test_a_description_is_bounded_and_says_what_it_leaves_out():
    tensor = keras.Input((1,), name="x" * 1000)
    image = tensor
    for _ in range(MOST_LAYERS + 9):
        tensor = ops.abs(tensor)
    found = architecture(keras.Model(image, tensor))
    assert len(found["layers"]) == MOST_LAYERS
    assert found["left_out"] == 10
    assert len(json.dumps(found)) < 200_000
    Network.model_validate(found)


class WithoutGraph(keras.Model):
    def call(self, images):
        return images


def test_a_network_without_a_graph_has_neither_description_nor_pictures():
    assert architecture(WithoutGraph()) is None
    assert calls(keras.Sequential([layers.Dense(1)])) == []
    assert first_convolution(WithoutGraph(), np.zeros((4, 4, 1), np.uint8)) is None


def test_kernels_and_maps_are_those_of_the_layer_in_their_own_range():
    keras.utils.set_random_seed(0)
    image = np.random.default_rng(0).integers(0, 256, (12, 10, 3), np.uint8)
    entry = keras.Input(image.shape, dtype="uint8")
    conv = layers.Conv2D(5, 3, padding="same", name="edges")
    out = layers.Flatten()(layers.ReLU()(conv(layers.Rescaling(1 / 255)(entry))))
    found = first_convolution(keras.Model(entry, layers.Dense(2)(out)), image)
    weights = np.asarray(conv.kernel)
    maps = np.maximum(np.asarray(conv(image[None] / np.float32(255)))[0], 0)
    for number in range(5):
        for picture, values in ((found.kernels[number], weights[..., number]), (found.maps[number], maps[..., number])):
            wanted = (values - values.min()) / max(np.ptp(values), 1e-9) * 255  # a map that is 0 everywhere stays 0
            np.testing.assert_allclose(picture, wanted, atol=0.51)
    assert found.facts == {
        "layer": "edges",
        "filters": 5,
        "kernel": [3, 3],
        "strides": [1, 1],
        "padding": "same",
        "input": [12, 10],
        "output": [12, 10],
        "then": ["ReLU"],
        "tiles": 1,
    }


def test_maps_of_tiles_are_put_together_as_the_tiles_lie():
    task = tasks()["puzzle"]
    preset = task.presets["default"]
    image = np.zeros(task.image_shape, np.uint8)
    side = task.image_shape[0] // task.grid
    image[:side, side:] = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    found = first_convolution(build("seamnet", task.image_shape, 4, preset.network_options), image)
    assert found.facts["tiles"] == 4
    half = found.maps.shape[1] // 2
    upper, lower = found.maps[:, :half], found.maps[:, half:]
    np.testing.assert_array_equal(upper[:, :, :half], lower[:, :, half:])  # both tiles are black
    assert (upper[:, :, half:].std(axis=(1, 2)) > upper[:, :, :half].std(axis=(1, 2))).any()


def test_pictures_are_bounded():
    entry = keras.Input((300, 200, 1), dtype="uint8")
    model = keras.Model(entry, layers.GlobalMaxPool2D()(layers.Conv2D(100, 5)(layers.Rescaling(1.0)(entry))))
    found = first_convolution(model, np.zeros((300, 200, 1), np.uint8))
    assert found.kernels.shape == (64, 5, 5, 1)
    assert len(found.maps) == 64
    assert max(found.maps.shape[1:]) == 64
    assert found.facts["filters"] == 100
    assert not found.maps.any()  # equal values everywhere


def test_a_network_without_convolutions_has_no_pictures():
    entry = keras.Input((4, 4, 1))
    assert first_convolution(keras.Model(entry, layers.Flatten()(entry)), np.zeros((4, 4, 1), np.uint8)) is None


def test_a_network_with_layers_of_our_own_is_loaded_by_its_file_alone(tmp_path):
    task = tasks()["puzzle"]
    preset = task.presets["default"]
    build("seamnet", task.image_shape, 4, preset.network_options).save(tmp_path / "model.keras")
    assert load_network(tmp_path / "model.keras").name == "seamnet"
