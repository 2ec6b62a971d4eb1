"""Makes version folders as the export step does, small enough to be made in a test: y = factor * x."""

import numpy as np
import tensorflow as tf

from nightshift.serving.card import write_card
from nightshift.serving.golden import Golden
from nightshift.serving.manifest import write_manifest
from nightshift.tasks.registry import task

X = np.array([1.0, 2.0, 3.0], np.float32)


class Times(tf.Module):
    """serving_default: x float32 [None] -> y."""

    def __init__(self, factor):
        super().__init__()
        self.factor = tf.Variable(factor, dtype=tf.float32)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def predict(self, x):
        return {"y": x * self.factor}


def write_version(folder, factor, *, golden_factor=None):
    """A complete version; its golden batch is that of another factor if one is given."""
    module = Times(factor)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.predict})
    answers = {"y": X * np.float32(factor if golden_factor is None else golden_factor)}
    Golden({"serving_default": {"x": X}}, {"serving_default": answers}).save(folder)
    write_card(folder, task("digits"), facts(factor))
    write_manifest(folder)
    return folder


def facts(factor):
    """A model card's facts; the recipe's key names the factor."""
    recipe = {"preset": "p", "seed": 0, "sources": "0" * 64, "settings": {}, "versions": {}, "dataset": "d" * 16}
    return {
        "recipe": recipe,
        "recipe_key": f"times-{factor:g}",
        "classes": [],
        "parameters": 1,
        "epochs": 1,
        "best_epoch": 1,
        "seconds": 0.0,
        "dataset": {"source": "none", "counts": {"train": 1}},
        "metrics": {"accuracy": 0.5},
        "code_version": "0",
    }
