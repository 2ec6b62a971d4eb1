"""Where a training runs: one device, all the GPUs of this machine, or those of several machines."""

from functools import cache

import tensorflow as tf

from nightshift.training.place import ALONE, Place
from nightshift.training.workers import join


def strategy(place: Place = ALONE, devices: list[str] | None = None) -> tf.distribute.Strategy:
    """The distribution strategy of this process.

    Args:
        place: which of the workers this is.
        devices: of one worker that trains alone, names of the devices to share every batch; None: all GPUs.

    Returns:
        MultiWorkerMirroredStrategy for several workers, MirroredStrategy over several devices, else TensorFlow's
        default for one.

    Raises:
        WorkerLostError: not all workers have come together in time.
    """
    if place.count > 1:
        return join(place)
    if devices is None:
        devices = [f"GPU:{index}" for index, _ in enumerate(tf.config.list_physical_devices("GPU"))]
    return _mirrored(tuple(devices)) if len(devices) > 1 else tf.distribute.get_strategy()


@cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    """One a process: the collectives of a second one would take up the keys of the first, of other shapes."""
    return tf.distribute.MirroredStrategy(devices)
