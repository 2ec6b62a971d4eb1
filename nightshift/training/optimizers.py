"""The optimizer and the learning rate that a preset asks for."""

import keras

from nightshift.tasks.base import Preset

START_SHARE = 1 / 25  # one-cycle starts at this share of its peak: Smith, arXiv:1803.09820, and its usual settings


def optimizer(preset: Preset, steps: int) -> keras.optimizers.Optimizer:
    """A new optimizer.

    Args:
        preset: optimizer, learning_rate, schedule, warmup, weight_decay.
        steps: of the whole training.
    """
    rate = learning_rate(preset, steps)
    if preset.optimizer == "adam":
        return keras.optimizers.Adam(rate)
    adamw = keras.optimizers.AdamW(rate, weight_decay=preset.weight_decay)
    adamw.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return adamw


def learning_rate(preset: Preset, steps: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate as a function of the step."""
    if preset.schedule == "constant":
        return preset.learning_rate
    if preset.schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(preset.learning_rate, steps)
    rising = max(1, round(preset.warmup * steps))
    return keras.optimizers.schedules.CosineDecay(
        preset.learning_rate * START_SHARE,
        decay_steps=max(1, steps - rising),
        warmup_target=preset.learning_rate,
        warmup_steps=rising,
    )
