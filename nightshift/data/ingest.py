"""Validates and decodes the examples of a source into a spool; what cannot be used is quarantined."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nightshift.data.decode import decode_image, fit_image
from nightshift.data.examples import Example, Rejected, Source
from nightshift.data.manifest import Quarantine
from nightshift.data.quarantine import Rejections, printable
from nightshift.data.spool import Spool
from nightshift.data.validation import fault_of, fault_of_size
from nightshift.errors import DataError
from nightshift.tasks.base import Task

PROGRESS_EVERY = 1000

ImageShape = tuple[int, int, int]


class Decoder:
    """Images of any kind to raw pixels of one shape, as bytes."""

    def __init__(self, task: Task) -> None:
        shape, fit = task.image_shape, task.fit
        self._shape = shape
        # Enlarged, a small picture has hardly anything to see: the tiles of a puzzle would equal each other.
        self._least_size = (1, 1) if fit == "stretch" else shape[:2]
        self._decode = tf.function(
            lambda contents: decode_image(contents, shape, fit),
            input_signature=[tf.TensorSpec([], tf.string)],
        )
        self._fit = tf.function(
            lambda image: fit_image(image, shape, fit),
            input_signature=[tf.TensorSpec([None, None, shape[2]], tf.uint8)],
        )

    def pixels(self, image: bytes | npt.NDArray[np.uint8]) -> bytes:
        """The pixels of an encoded or raw image.

        Raises:
            ValueError: it cannot be decoded, or is smaller than the shape and would be cropped; says why.
        """
        if isinstance(image, bytes):
            return self._decoded(image)
        if fault := fault_of_size(image.shape[0], image.shape[1], self._least_size):
            raise ValueError(fault)
        raw = with_channels(image, self._shape[2])
        if raw.shape != self._shape:
            raw = self._fit(raw).numpy()
        return raw.tobytes()

    def _decoded(self, contents: bytes) -> bytes:
        if fault := fault_of(contents, self._least_size):
            raise ValueError(fault)
        try:
            pixels: bytes = self._decode(contents).numpy().tobytes()
        except tf.errors.InvalidArgumentError as error:
            raise ValueError(f"is damaged or cut short ({_in_words(error)})") from None
        return pixels


def with_channels(image: npt.NDArray[np.uint8], channels: int) -> npt.NDArray[np.uint8]:
    """Grey to RGB by repeating, RGB to grey by luminance (ITU-R BT.601, as JPEG does): uint8 [height, width, channels].

    Raises:
        ValueError: neither 1 nor 3 channels.
    """
    found = image.shape[2]
    if found == channels:
        return image
    if (found, channels) == (1, 3):
        return np.repeat(image, 3, axis=2)
    if (found, channels) == (3, 1):
        luminance = image.astype(np.float32) @ np.array([[0.299], [0.587], [0.114]], np.float32)
        return np.rint(luminance).astype(np.uint8)
    raise ValueError(f"has {found} channels, expected 1 or 3")


def ingest(source: Source, task: Task, spool: Spool, uri: str, progress: Callable[[int, int], None]) -> Quarantine:
    """Put every usable example of a source into the spool.

    Args:
        source: the examples.
        task: gives the shape, and whether labels count.
        spool: empty.
        uri: the source's name, for errors.
        progress: told now and then how many examples of how many were seen.

    Raises:
        DataError: no images, more than half of them quarantined, two of the same name, or one without a class though
            the task needs it.
    """
    decoder = Decoder(task)
    expected = source.count()
    rejections = Rejections()
    seen = 0
    for seen, item in enumerate(source.examples(), 1):
        found = examined(item, task, decoder, uri)
        if isinstance(found, Rejected):
            rejections.add(found)
        else:
            example, pixels = found
            spool.add(example.key, example.split, example.label, pixels)
        if seen % PROGRESS_EVERY == 0:
            progress(seen, max(seen, expected))
    spool.flush()
    check_ingested(uri, seen, rejections, spool.repeated_key())
    return rejections.result()


def examined(item: Example | Rejected, task: Task, decoder: Decoder, uri: str) -> Rejected | tuple[Example, bytes]:
    """One item of a source: left out, or an example, with a label only if the task wants one, and its pixels.

    Raises:
        DataError: it has no class though the task needs it.
    """
    if isinstance(item, Rejected):
        return item
    if task.labelled and item.label is None:
        raise DataError(f"{uri}: the images have no classes, expected one for each: task {task.name!r} needs them")
    try:
        pixels = decoder.pixels(item.image)
    except ValueError as error:
        return Rejected(item.key, str(error))
    return item if task.labelled else replace(item, label=None), pixels


def check_ingested(uri: str, seen: int, rejections: Rejections, repeated: str | None) -> None:
    """Refuse data of which nothing can be made.

    Args:
        uri: the source's name.
        seen: its items, those left out as well.
        rejections: those left out.
        repeated: a name that two usable images have.

    Raises:
        DataError: see `ingest`.
    """
    if not seen:
        raise DataError(f"{uri}: found no images, expected .jpg, .jpeg or .png files")
    if rejections.count * 2 > seen:
        first = rejections.listed()[0]
        raise DataError(
            f"{uri}: {rejections.count:,} of {seen:,} images cannot be used, expected at most half; "
            f"the first: {printable(first.key)} {first.reason}"
        )
    if repeated is not None:
        raise DataError(f"{uri}: two images have the name {repeated}")


def _in_words(error: Any) -> str:
    """TensorFlow's message without the names of its nodes."""
    text = re.sub(r"\{\{[^}]*\}\}|\[Op:\w+\]|\[\[[^\]]*\]\]", "", str(error.message))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines else "no reason given")[:200]
