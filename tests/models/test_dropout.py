import keras
import numpy as np
import pytest
import tensorflow as tf

from nightshift.models.dropout import Dropout, draws_of, dropping

FEATURES = 400


def kept(ids: list[int], layers: int = 1, seed: int = 0, epoch: int = 1, rate: float = 0.3) -> np.ndarray:
    """Which features the last of some layers keeps, bool [examples, FEATURES]."""
    with dropping(draws_of(tf.constant(ids, tf.int64), seed, tf.constant(epoch, tf.int64))):
        for _ in range(layers):
            found = Dropout(rate)(tf.ones((len(ids), FEATURES)), training=True)
    return found.numpy() > 0


def agreement(first: np.ndarray, second: np.ndarray) -> float:
    return float((first == second).mean())


def test_it_leaves_out_the_share_and_scales_the_others():
    with dropping(draws_of(tf.range(500, dtype=tf.int64), 0, tf.constant(1, tf.int64))):
        found = Dropout(0.3)(tf.fill((500, 5, 5, 8), 7.0), training=True).numpy()
    assert (found == 0).mean() == pytest.approx(0.3, abs=0.005)
    assert np.unique(found) == pytest.approx([0, 10])
    assert (found == 0).mean(axis=0) == pytest.approx(np.full((5, 5, 8), 0.3), abs=0.1)


def test_what_is_left_out_depends_on_the_example_and_not_on_its_batch():
    whole = kept([5, 3, 9, 12])
    np.testing.assert_array_equal(kept([12, 9])[::-1], whole[2:])
    np.testing.assert_array_equal(kept([3]), whole[1:2])


@pytest.mark.parametrize(
    "change",
    [{"ids": [*range(100, 200)]}, {"seed": 1}, {"epoch": 2}, {"layers": 2}],
    ids=lambda change: next(iter(change)),
)
def test_another_example_seed_epoch_or_layer_has_an_independent_mask(change):
    ids = [*range(100)]
    by_chance = 0.3**2 + 0.7**2
    assert agreement(kept(ids), kept(**({"ids": ids} | change))) == pytest.approx(by_chance, abs=0.01)


def test_features_are_left_out_independently():
    masks = kept([*range(2000)]).astype(float)
    correlations = np.corrcoef(masks[:, :100].T)[np.triu_indices(100, 1)]
    assert np.abs(correlations).max() < 0.12
    assert correlations.std() == pytest.approx(2000**-0.5, rel=0.1)


def test_compiled_by_xla_and_in_bfloat16_the_same_features_are_left_out():
    layer, draws = Dropout(0.3), draws_of(tf.constant([4, 5], tf.int64), 0, tf.constant(1, tf.int64))

    @tf.function(jit_compile=True)
    def compiled(features, numbers):
        with dropping(numbers):
            return layer(features, training=True)

    np.testing.assert_array_equal(compiled(tf.ones((2, FEATURES)), draws).numpy() > 0, kept([4, 5]))
    with dropping(draws):
        mixed = Dropout(0.3, dtype="mixed_bfloat16")(tf.ones((2, FEATURES)), training=True)
    assert mixed.dtype == tf.bfloat16
    np.testing.assert_array_equal(tf.cast(mixed, tf.float32).numpy() > 0, kept([4, 5]))


def test_gradients_flow_through_what_stays():
    features = tf.ones((2, FEATURES))
    with tf.GradientTape() as tape, dropping(draws_of(tf.constant([4, 5], tf.int64), 0, tf.constant(1, tf.int64))):
        tape.watch(features)
        found = Dropout(0.3)(features, training=True)
    np.testing.assert_allclose(tape.gradient(found, features), kept([4, 5]) / 0.7, rtol=1e-6)


def test_outside_of_training_it_does_nothing_and_costs_nothing(tmp_path):
    image = keras.Input((FEATURES,))
    keras.Model(image, Dropout(0.3)(image)).save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    assert [type(layer).__name__ for layer in model.layers] == ["InputLayer", "Dropout"]
    assert model.layers[1].rate == 0.3
    assert model.variables == []
    features = tf.random.stateless_uniform((3, FEATURES), (0, 0))
    np.testing.assert_array_equal(model(features, training=False), features)
    graph = tf.function(lambda x: model(x, training=False)).get_concrete_function(features).graph
    assert {operation.type for operation in graph.get_operations()} <= {"Placeholder", "Identity", "NoOp"}


def test_training_without_draws_is_refused():
    with pytest.raises(RuntimeError, match="with dropping"):
        Dropout(0.3)(tf.ones((2, 3)), training=True)
    assert Dropout(0.0)(tf.ones((2, 3)), training=True).shape == (2, 3)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(ValueError, match="rate: found"):
        Dropout(rate)
