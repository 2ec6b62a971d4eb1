"""The SavedModel's signatures, every input guarded: a wrong shape is an error of the request, never of the process."""

from collections.abc import Callable, Mapping

import keras
import tensorflow as tf

from nightshift.data.decode import decode_image
from nightshift.problems.base import Problem
from nightshift.tasks.base import Task

Answers = Mapping[str, tf.Tensor]


def signatures(
    model: keras.Model, problem: Problem, task: Task
) -> dict[str, tuple[Callable[..., Answers], tf.TensorSpec]]:
    """The functions that the SavedModel offers, with their input.

    What the problem answers, and for every language that the task names its classes in label_LANGUAGE, string [B].

    serving_default: images, uint8 [B, H, W, C]. serve_bytes: image_bytes, string [B], JPEG or PNG of any size; a
    puzzle's solved pictures also as PNG. classify: inputs, string [B], tf.Example with a feature image_bytes.
    """
    shape = task.image_shape

    def answer(images: tf.Tensor) -> Answers:
        answers = dict(problem.answers(images, model(images, training=False)))
        for language, names in task.translations.items():
            answers[f"label_{language}"] = tf.gather(tf.constant(names), answers["class_id"])
        return answers

    def decoded(image_bytes: tf.Tensor) -> tf.Tensor:
        def decode(contents: tf.Tensor) -> tf.Tensor:
            return tf.ensure_shape(decode_image(contents, shape, task.fit), shape)

        return tf.map_fn(decode, image_bytes, fn_output_signature=tf.TensorSpec(shape, tf.uint8))

    def serving_default(images: tf.Tensor) -> Answers:
        return answer(tf.ensure_shape(images, (None, *shape)))

    def serve_bytes(image_bytes: tf.Tensor) -> Answers:
        answers = dict(answer(decoded(tf.ensure_shape(image_bytes, (None,)))))
        if "solved" in answers:
            png = tf.map_fn(tf.io.encode_png, answers["solved"], fn_output_signature=tf.TensorSpec((), tf.string))
            answers["solved_png_bytes"] = png
        return answers

    def classify(inputs: tf.Tensor) -> Answers:
        features = {"image_bytes": tf.io.FixedLenFeature([], tf.string)}
        parsed = tf.io.parse_example(tf.ensure_shape(inputs, (None,)), features)
        return problem.classify(answer(decoded(parsed["image_bytes"])))

    return {
        "serving_default": (serving_default, tf.TensorSpec((None, *shape), tf.uint8, "images")),
        "serve_bytes": (serve_bytes, tf.TensorSpec((None,), tf.string, "image_bytes")),
        "classify": (classify, tf.TensorSpec((None,), tf.string, "inputs")),
    }
