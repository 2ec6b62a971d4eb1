import math

import keras
import numpy as np
import pytest
import synthetic

from nightshift.models import networks
from nightshift.tasks.base import Preset
from nightshift.tasks.registry import preset_of
from nightshift.training.optimizers import learning_rate, optimizer

PEAK, STEPS = 0.01, 1000


def preset(**settings: object) -> Preset:
    return preset_of(synthetic.CORNERS, "default", {"learning_rate": PEAK, **settings})


def rate(step: int, **settings: object) -> float:
    schedule = learning_rate(preset(**settings), STEPS)
    return float(schedule(step)) if callable(schedule) else schedule


def test_constant():
    assert {rate(step, schedule="constant") for step in (0, 500, 1000)} == {PEAK}


def test_cosine_falls_from_the_peak_to_nothing():
    assert rate(0, schedule="cosine") == pytest.approx(PEAK)
    assert rate(500, schedule="cosine") == pytest.approx(PEAK / 2)
    assert rate(250, schedule="cosine") == pytest.approx(PEAK * (1 + math.cos(math.pi / 4)) / 2)
    assert rate(STEPS, schedule="cosine") == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("warmup", [0.1, 0.25, 0.5])
def test_one_cycle_rises_to_the_peak_then_falls_to_nothing(warmup):
    rates = [rate(step, schedule="one_cycle", warmup=warmup) for step in range(0, STEPS + 1, 50)]
    top = round(warmup * STEPS) // 50
    assert rates[0] == pytest.approx(PEAK / 25)
    assert rates[top] == pytest.approx(PEAK) == max(rates)
    assert rates[-1] == pytest.approx(0, abs=1e-9)
    assert (np.diff(rates[: top + 1]) > 0).all()
    assert (np.diff(rates[top:]) < 0).all()


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("warmup", [0.0, 0.5, 1.0])
def test_a_training_of_few_steps_has_a_schedule_too(steps, warmup):
    schedule = learning_rate(preset(schedule="one_cycle", warmup=warmup), steps)
    assert all(0 <= float(schedule(step)) <= PEAK * 1.0001 for step in range(steps + 1))


@pytest.mark.parametrize("network", ["compact_cnn", "lenet"])
def test_only_kernels_decay(network):
    """With no gradients, all that moves is what decays."""
    options = synthetic.CORNERS.presets["default" if network == "compact_cnn" else "plain"].network_options
    model = networks.build(network, (12, 12, 1), 4, options)
    for variable in model.trainable_variables:
        variable.assign(keras.ops.ones(variable.shape))
    wanted = optimizer(preset(optimizer="adamw", weight_decay=0.1, schedule="constant"), STEPS)
    wanted.apply([keras.ops.zeros(v.shape) for v in model.trainable_variables], model.trainable_variables)
    for variable in model.trainable_variables:
        expected = 1 - PEAK * 0.1 if variable.name == "kernel" else 1
        assert variable.numpy() == pytest.approx(expected, rel=1e-6), variable.path
    assert {v.name for v in model.trainable_variables} >= {"kernel", "bias"}


def test_adam_does_not_decay():
    model = networks.build("lenet", (12, 12, 1), 4, synthetic.CORNERS.presets["plain"].network_options)
    before = model.get_weights()
    wanted = optimizer(preset(optimizer="adam", weight_decay=0.1), STEPS)
    wanted.apply([keras.ops.zeros(v.shape) for v in model.trainable_variables], model.trainable_variables)
    for old, new in zip(before, model.get_weights(), strict=True):
        assert np.array_equal(old, new)
