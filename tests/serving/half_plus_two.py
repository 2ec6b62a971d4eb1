"""A SavedModel that answers y = x / 2 + 2, small enough to be made in a test."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from nightshift.protos import example_pb2, prediction_log_pb2
from nightshift.serving.tensors import to_proto


class HalfPlusTwo(tf.Module):
    """The model; every signature but `slow` takes a batch.

    serving_default: x float32 [None] -> y. two_outputs: x -> y, twice. classify: tf.Examples with the feature x.
    text: s string [None] -> same, joined (a scalar). slow: steps int64 [] -> total, about 0.2 ms a step.
    """

    def __init__(self) -> None:
        super().__init__()
        self.half = tf.Variable(0.5, name="half")

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32, name="x")])
    def predict(self, x):
        return {"y": tf.ensure_shape(x, [None]) * self.half + 2.0}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32, name="x")])
    def two_outputs(self, x):
        y = tf.ensure_shape(x, [None]) * self.half + 2.0
        return {"y": y, "twice": 2.0 * y}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def classify(self, inputs):
        x = tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([], tf.float32)})["x"]
        scores = tf.stack([x * self.half + 2.0, x], axis=1)
        return {"classes": tf.tile([["half", "whole"]], [tf.size(x), 1]), "scores": scores}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="s")])
    def text(self, s):
        return {"same": tf.identity(s), "joined": tf.strings.reduce_join(s)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.int64, name="steps")])
    def slow(self, steps):
        total = tf.constant(0.0)
        for step in tf.range(tf.minimum(steps, 10_000)):
            total += tf.reduce_sum(tf.random.stateless_uniform([100_000], seed=[step, 2]))
        return {"total": total}


def write_half_plus_two(folder: Path) -> None:
    """Write the SavedModel to a folder."""
    module = HalfPlusTwo()
    signatures = {
        "serving_default": module.predict,
        "two_outputs": module.two_outputs,
        "classify": module.classify,
        "text": module.text,
        "slow": module.slow,
    }
    tf.saved_model.save(module, str(folder), signatures=signatures)


def write_warmup(folder: Path, x: np.ndarray, count: int = 1) -> None:
    """Write a warm-up file that sends x to serving_default, `count` times."""
    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir(exist_ok=True)
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.name = "half_plus_two"
    log.predict_log.request.inputs["x"].CopyFrom(to_proto(x))
    with tf.io.TFRecordWriter(str(path)) as writer:
        for _ in range(count):
            writer.write(log.SerializeToString())


def example(x: float) -> bytes:
    """A serialised tf.Example with the feature x."""
    message = example_pb2.Example()
    message.features.feature["x"].float_list.value.append(x)
    return message.SerializeToString()
