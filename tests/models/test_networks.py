import keras
import numpy as np
import pytest
import tensorflow as tf

from nightshift.errors import ConfigurationError
from nightshift.models import networks
from nightshift.problems.registry import problem_of
from nightshift.tasks.registry import preset_of, task, tasks

PRESETS = [(name, preset) for name in tasks() for preset in tasks()[name].presets]


def network(name: str, preset: str = "default") -> keras.Model:
    chosen, wanted = task(name), preset_of(task(name), preset)
    outputs = problem_of(chosen, chosen.classes or ("a", "b")).outputs
    return networks.build(wanted.network, chosen.image_shape, outputs, wanted.network_options)


@pytest.mark.parametrize(
    ("name", "preset", "parameters"),
    [("digits", "blog", 30_762), ("puzzle", "blog", 194_832), ("puzzle", "default", 157_382)],
)
def test_published_sizes(name, preset, parameters):
    assert network(name, preset).count_params() == parameters


def test_the_network_for_digits_is_small():
    assert network("digits").count_params() <= 100_000


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_a_network_goes_from_uint8_images_to_float32_logits_for_any_batch(name, preset):
    model = network(name, preset)
    assert model.inputs[0].dtype == "uint8"
    for count in (1, 3):
        images = np.random.default_rng(0).integers(0, 256, (count, *task(name).image_shape), np.uint8)
        logits = model(tf.constant(images), training=False)
        assert logits.dtype == tf.float32
        assert logits.shape[0] == count
        assert np.isfinite(logits).all()


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_an_images_answer_does_not_depend_on_its_batch(name, preset):
    model = network(name, preset)
    images = np.random.default_rng(0).integers(0, 256, (4, *task(name).image_shape), np.uint8)
    together = model(tf.constant(images), training=False).numpy()
    alone = np.concatenate([model(tf.constant(images[k : k + 1]), training=False).numpy() for k in range(4)])
    assert together == pytest.approx(alone, rel=1e-3, abs=1e-4 * float(np.abs(together).max()))


def test_no_network_has_a_softmax_of_its_own():
    for name, preset in PRESETS:
        logits = network(name, preset)(tf.zeros((1, *task(name).image_shape), tf.uint8), training=False).numpy()
        assert logits.sum(axis=-1) != pytest.approx(1, abs=1e-3)


def test_a_model_of_mixed_precision_still_answers_float32():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        for name, preset in PRESETS:
            assert network(name, preset).outputs[0].dtype == "float32"
    finally:
        keras.mixed_precision.set_global_policy("float32")


@pytest.mark.parametrize("name", ["resnet", "networks", "__init__", "", "../lenet", "os"])
def test_an_unknown_network_is_refused_with_the_known_ones(name):
    with pytest.raises(ConfigurationError, match=r"network: found .*compact_cnn, lenet, seamnet, shuffle_finder"):
        networks.build(name, (28, 28, 1), 10, {})


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("lenet", (28, 28, 1), {"n_dense": 3}),
        ("lenet", (28, 28, 1), {"n_channel_1": 1, "n_channel_2": 1, "n_dense": 3, "width": 2}),
        ("lenet", (4, 4, 1), {"n_channel_1": 1, "n_channel_2": 1, "n_dense": 3}),
        ("compact_cnn", (28, 28, 1), {"width": 0, "dropout": 0.1}),
        ("compact_cnn", (28, 28, 1), {"width": 4, "dropout": 1.5}),
        ("seamnet", (32, 30, 3), {"strip": 4, "width": 8, "embed": 8}),
        ("seamnet", (33, 33, 3), {"strip": 4, "width": 8, "embed": 8}),
        ("seamnet", (32, 32, 3), {"strip": 17, "width": 8, "embed": 8}),
        ("seamnet", (32, 32, 3), {"strip": 0, "width": 8, "embed": 8}),
    ],
)
def test_options_or_shapes_that_do_not_fit_are_refused_by_name(name, shape, options):
    with pytest.raises(ConfigurationError, match=f"network '{name}' cannot be built"):
        networks.build(name, shape, 4, options)
