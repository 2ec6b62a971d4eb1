"""Between a photograph in bytes and a published signature: what it takes, and what of its answers the task declares."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from nightshift.data.decode import decode_image, decode_pixels
from nightshift.importing.contract import Contract, published_names
from nightshift.serving.golden import Golden
from nightshift.tasks.imported import ImportedTask

BYTES_SIGNATURE, BYTES_INPUT = "serve_bytes", "image_bytes"

Answers = Mapping[str, tf.Tensor]
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Rebuilt:
    """A published model in memory with the bytes signature added: what it answers to a photograph, and how to save it.

    Attributes:
        golden: the photograph as pixels and as bytes, and what the model answers of that which the task declares.
        save: writes the SavedModel into an empty folder.
    """

    golden: Golden
    save: Callable[[Path], None]


def image_for(contract: Contract, image_bytes: tf.Tensor) -> tf.Tensor:
    """Decode the one image of string [1] as the signature takes it, [1, H, W, 3].

    Boxes are shares of the image, so where the signature fixes its size it may be stretched.
    """
    contents = tf.ensure_shape(image_bytes, (1,))[0]
    height, width = contract.size
    shape = (height, width, 3) if height and width else None
    pixels = decode_image(contents, shape, "stretch") if shape else decode_pixels(contents, 3)
    images = pixels[tf.newaxis]
    return tf.image.convert_image_dtype(images, tf.float32) if contract.dtype == "float32" else images


def declared_answers(task: ImportedTask, answers: Answers, batched: bool) -> dict[str, tf.Tensor]:
    """All answers, those that the task declares in its shapes: without a batch, names instead of numbers."""
    adapted = dict(answers)
    for name, published in published_names(task, answers).items():
        tensor = answers[published][0] if batched else answers[published]
        named = tensor if name == published else _names(tensor)
        adapted[name] = tf.ensure_shape(named, task.outputs[name].shape)
    return adapted


def golden_of(
    task: ImportedTask, contract: Contract, image: np.ndarray, contents: bytes, published: Arrays, added: Arrays
) -> Golden:
    """The golden batch of one photograph.

    Args:
        task: declares the outputs that count.
        contract: of the published signature.
        image: the photograph as that takes it.
        contents: its file.
        published: what that signature answers.
        added: what the bytes signature answers.
    """
    names = published_names(task, published)
    requests = {
        contract.signature: {contract.input: image},
        BYTES_SIGNATURE: {BYTES_INPUT: np.array([contents], object)},
    }
    answers = {
        contract.signature: {published_name: published[published_name] for published_name in names.values()},
        BYTES_SIGNATURE: {name: added[name] for name in names},
    }
    return Golden(requests, answers)


def _names(numbers: tf.Tensor) -> tf.Tensor:
    return tf.strings.join(["class ", tf.strings.as_string(tf.cast(numbers, tf.int64))])
