"""Where a training runs: one device, or all the GPUs of this machine."""

from functools import cache

import tensorflow as tf


def strategy(devices: list[str] | None = None) -> tf.distribute.Strategy:
    """The distribution strategy of this machine.

    Args:
        devices: names of the devices to share every batch; None: all GPUs.

    Returns:
        MirroredStrategy over several devices, else TensorFlow's default for one.
    """
    if devices is None:
        devices = [f"GPU:{index}" for index, _ in enumerate(tf.config.list_physical_devices("GPU"))]
    return _mirrored(tuple(devices)) if len(devices) > 1 else tf.distribute.get_strategy()


@cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    """One a process: the collectives of a second one would take up the keys of the first, of other shapes."""
    return tf.distribute.MirroredStrategy(devices)
