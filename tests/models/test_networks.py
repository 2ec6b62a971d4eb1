from functools import cache

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from nightshift.errors import ConfigurationError
from nightshift.models import networks
from nightshift.models.dropout import draws_of, dropping
from nightshift.problems.registry import problem_of
from nightshift.tasks.registry import preset_of, task, tasks

PRESETS = [(name, preset) for name in tasks() for preset in tasks()[name].presets]


CLASSIFIERS = [name for name in tasks() if tasks()[name].problem in ("classification", "grouped")]
OWN = {f"{name}.{preset}" for name, preset in PRESETS if name in CLASSIFIERS}
ONE_A_NETWORK = {task(full.partition(".")[0]).presets[full.partition(".")[2]].network: full for full in sorted(OWN)}


def build(name: str, preset: str = "default") -> keras.Model:
    chosen, wanted = task(name), preset_of(task(name), preset)
    outputs = problem_of(chosen, chosen.classes or ("a", "b")).outputs
    return networks.build(wanted.network, chosen.image_shape, outputs, wanted.network_options)


network = cache(build)


def weights_of(model: keras.Model) -> list[int]:
    """Parameters of each layer that has any, in the order of a summary."""
    return [layer.count_params() for layer in model.layers if layer.count_params()]


@pytest.mark.parametrize(
    ("name", "preset", "parameters"),
    [
        ("cats_vs_dogs", "blog", 10_641_441),
        ("cats_vs_dogs", "blog_dropout", 10_641_441),
        ("digits", "blog", 30_762),
        ("digits", "mnist_cnn", 493_130),
        ("digits_parity", "blog", 115_131),
        ("fashion", "blog", 333_526),
        ("fashion", "mnist_cnn", 493_130),
        ("puzzle", "blog", 194_832),
        ("puzzle", "default", 157_382),
        ("rock_paper_scissors", "blog", 30_819),
    ],
)
def test_published_sizes(name, preset, parameters):
    assert network(name, preset).count_params() == parameters


@pytest.mark.parametrize(
    ("name", "preset", "layers"),
    [
        ("fashion", "blog", [320, 18_496, 313_700, 1_010]),
        ("cats_vs_dogs", "blog", [448, 4_640, 18_496, 10_617_344, 513]),
        ("cats_vs_dogs", "blog_dropout", [448, 4_640, 18_496, 10_617_344, 513]),
    ],
)
def test_layers_are_of_the_sizes_that_the_tutorials_print(name, preset, layers):
    assert weights_of(network(name, preset)) == layers


def test_dropout_comes_after_the_first_and_the_last_pooling_of_the_second_network_for_cats():
    kinds = [type(layer).__name__ for layer in network("cats_vs_dogs", "blog_dropout").layers]
    assert [kinds[place - 1] for place, kind in enumerate(kinds) if kind == "Dropout"] == ["MaxPooling2D"] * 2
    assert [kinds[:place].count("MaxPooling2D") for place, kind in enumerate(kinds) if kind == "Dropout"] == [1, 3]
    assert "Dropout" not in [type(layer).__name__ for layer in network("cats_vs_dogs", "blog").layers]


@pytest.mark.parametrize(("name", "unit"), [("cats_vs_dogs", 0), ("digits_parity", 10)])
def test_one_output_unit_is_answered_beside_a_logit_of_zero(name, unit):
    images = np.random.default_rng(0).integers(0, 256, (3, *task(name).image_shape), np.uint8)
    logits = network(name, "blog")(tf.constant(images), training=False).numpy()
    assert (logits[:, unit] == 0).all()
    assert (logits[:, unit + 1] != 0).all()


def test_the_tutorials_parity_is_linear_in_the_pixels():
    model = network("digits_parity", "blog")
    images = np.random.default_rng(0).integers(0, 100, (2, 28, 28, 1), np.uint8)
    one, other, both = (
        model(tf.constant(pixels), training=False).numpy()[0, 11]
        for pixels in (images[:1], images[1:], images[:1] + images[1:])
    )
    assert both == pytest.approx(one + other, rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("preset", sorted(OWN))
def test_a_classifiers_preset_builds_for_every_classification_task(preset):
    lender = task(preset.partition(".")[0])
    shapes = {
        (task(name).image_shape, problem_of(task(name), task(name).classes or tuple("ab")).outputs, name)
        for name in CLASSIFIERS
    }
    for image_shape, outputs, name in sorted(shapes):
        if lender.problem == "grouped" and task(name).problem == "classification":
            with pytest.raises(ConfigurationError, match="trains grouped networks"):
                preset_of(task(name), preset)
            continue
        borrowed = preset_of(task(name), preset)
        model = networks.build(borrowed.network, image_shape, outputs, borrowed.network_options)
        assert model.output_shape == (None, outputs)


@pytest.mark.parametrize("preset", ONE_A_NETWORK.values(), ids=ONE_A_NETWORK)
@settings(deadline=None, max_examples=5)
@given(st.tuples(st.integers(1, 16), st.integers(1, 16), st.sampled_from([1, 3])), st.integers(3, 40))
def test_a_network_is_built_for_small_images_or_refused_in_words(preset, image_shape, outputs):
    lender, _, own = preset.partition(".")
    wanted = preset_of(task(lender), own)
    try:
        model = networks.build(wanted.network, image_shape, outputs, wanted.network_options)
    except ConfigurationError as error:
        refusal = str(error)
    else:
        assert model.output_shape == (None, outputs)
        return
    assert f"network {wanted.network!r} cannot be built for images of" in refusal


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


@pytest.mark.parametrize("preset", sorted(OWN))
def test_a_tasks_batch_is_augmented_and_moves_every_weight_of_its_networks(preset):
    name, _, own = preset.partition(".")
    chosen, wanted, model = task(name), preset_of(task(name), own), network(name, own)
    problem = problem_of(chosen, chosen.classes or ("a", "b"))
    random = np.random.default_rng(0)
    batch = {
        "image": tf.constant(random.integers(0, 256, (4, *chosen.image_shape), np.uint8)),
        "label": tf.constant([0, 1, 1, 0], tf.int64),
        "id": tf.range(4, dtype=tf.int64),
    }
    images, targets = problem.training_batch(batch, wanted.augmentation, 0, tf.constant(0, tf.int64))
    assert images.dtype == tf.uint8
    assert images.shape == batch["image"].shape
    draws = draws_of(batch["id"], 0, tf.constant(0, tf.int64))
    with tf.GradientTape() as tape, dropping(draws):
        losses = problem.loss(targets, model(images, training=True), wanted.label_smoothing)
    assert losses.shape == (4,)
    gradients = tape.gradient(losses, [weight.value for weight in model.trainable_variables])
    assert all(gradient is not None and np.isfinite(gradient).all() for gradient in gradients)


def test_no_network_has_a_softmax_of_its_own():
    for name, preset in PRESETS:
        logits = network(name, preset)(tf.zeros((1, *task(name).image_shape), tf.uint8), training=False).numpy()
        assert logits.sum(axis=-1) != pytest.approx(1, abs=1e-3)


def test_a_model_of_mixed_precision_still_answers_float32():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        for name, preset in PRESETS:
            assert build(name, preset).outputs[0].dtype == "float32"
    finally:
        keras.mixed_precision.set_global_policy("float32")


def test_two_views_answer_the_mean_of_image_and_mirror_image_and_train_on_the_image_alone():
    one, two = (
        networks.build("compact_cnn", (28, 28, 1), 10, {"width": 4, "dropout": 0.0, "views": views}) for views in (1, 2)
    )
    two.set_weights(one.get_weights())
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), np.uint8)
    as_it_is, mirrored = one(images, training=False).numpy(), one(images[:, :, ::-1], training=False).numpy()
    assert not np.allclose(as_it_is, mirrored, atol=1e-3)
    np.testing.assert_allclose(two(images, training=False), (as_it_is + mirrored) / 2, atol=1e-5)
    np.testing.assert_allclose(two(images, training=True), one(images, training=True), atol=1e-5)


@pytest.mark.parametrize("name", ["resnet", "networks", "dropout", "__init__", "", "../lenet", "os"])
def test_an_unknown_network_is_refused_with_the_known_ones(name):
    with pytest.raises(ConfigurationError, match=r"network: found .*compact_cnn, .*lenet, .*seamnet, "):
        networks.build(name, (28, 28, 1), 10, {})


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("lenet", (28, 28, 1), {"n_dense": 3}),
        ("lenet", (28, 28, 1), {"n_channel_1": 1, "n_channel_2": 1, "n_dense": 3, "width": 2}),
        ("lenet", (4, 4, 1), {"n_channel_1": 1, "n_channel_2": 1, "n_dense": 3}),
        ("compact_cnn", (28, 28, 1), {"width": 0, "dropout": 0.1}),
        ("compact_cnn", (28, 28, 1), {"width": 4, "dropout": 1.5}),
        ("compact_cnn", (28, 28, 1), {"width": 4, "dropout": 0.1, "views": 3}),
        ("seamnet", (32, 30, 3), {"strip": 4, "width": 8, "embed": 8}),
        ("seamnet", (33, 33, 3), {"strip": 4, "width": 8, "embed": 8}),
        ("seamnet", (32, 32, 3), {"strip": 17, "width": 8, "embed": 8}),
        ("seamnet", (32, 32, 3), {"strip": 0, "width": 8, "embed": 8}),
    ],
)
def test_options_or_shapes_that_do_not_fit_are_refused_by_name(name, shape, options):
    with pytest.raises(ConfigurationError, match=f"network '{name}' cannot be built"):
        networks.build(name, shape, 4, options)
