"""Trains a task, as one of the workers if TF_CONFIG names some, and prints the losses of the first batches as JSON."""

import argparse
import dataclasses
import functools
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from nightshift.data.manifest import Dataset
from nightshift.models import networks
from nightshift.tasks.registry import preset_of, task
from nightshift.training import devices
from nightshift.training.kept import InFolder
from nightshift.training.loop import fit
from nightshift.training.place import place_from_environment


class Losses(keras.callbacks.Callback):
    """Keeps the mean loss of each batch, and ends the training after some."""

    def __init__(self, batches: int, batch_size: int) -> None:
        super().__init__()
        self.batches, self.batch_size = batches, batch_size
        self.found: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.found.append(float(logs["sums"][0]) / self.batch_size)
        if len(self.found) == self.batches:
            raise StopIteration


def in_float64(model: keras.Model) -> keras.Model:
    """The same network, whose every weight and sum is of that precision."""

    def layer_of(layer: keras.layers.Layer) -> keras.layers.Layer:
        own = {} if isinstance(layer, keras.layers.InputLayer) else {"dtype": "float64"}
        return type(layer).from_config(layer.get_config() | own)

    copy = keras.models.clone_model(model, clone_function=layer_of)
    copy.set_weights(model.get_weights())
    return copy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task")
    parser.add_argument("data", type=Path)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--set", action="append", default=[], type=lambda text: text.split("="))
    parser.add_argument("--float64", action="store_true", help="Compute so that rounding cannot be seen.")
    parser.add_argument("--batches", type=int, default=50)
    chosen = parser.parse_args()
    preset = preset_of(task(chosen.task), chosen.preset, dict(chosen.set))
    if chosen.float64:
        preset = dataclasses.replace(preset, jit_compile=False)
        tf.one_hot = functools.partial(tf.one_hot, dtype=tf.float64)
        keras.ops.cast = lambda found, _: tf.cast(found, tf.float64)
        build = networks.build
        networks.build = lambda *arguments: in_float64(build(*arguments))
    place = place_from_environment()
    losses = Losses(chosen.batches, preset.batch_size)
    try:
        fit(
            task(chosen.task),
            preset,
            Dataset.open(chosen.data),
            seed=0,
            kept=InFolder(Path(tempfile.mkdtemp())),
            callbacks=[losses],
            strategy=devices.strategy(place),
            place=place,
        )
    except StopIteration:
        json.dump(losses.found, sys.stdout)


if __name__ == "__main__":
    main()
