"""Validates and decodes the examples of a source into a spool; what cannot be used is quarantined."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nightshift.data.decode import decode_image, fit_image
from nightshift.data.examples import Example, Rejected, Source
from nightshift.data.manifest import Quarantine, QuarantinedImage
from nightshift.data.spool import Spool
from nightshift.data.validation import fault_of, fault_of_size
from nightshift.errors import DataError
from nightshift.tasks.base import Task

MAX_QUARANTINED_LISTED = 1000
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
    rejected: list[Rejected] = []
    rejections = seen = 0
    for seen, item in enumerate(source.examples(), 1):
        if task.labelled and isinstance(item, Example) and item.label is None:
            raise DataError(f"{uri}: the images have no classes, expected one for each: task {task.name!r} needs them")
        fault = item.reason if isinstance(item, Rejected) else _add(item, task, decoder, spool)
        if fault:
            rejections += 1
            if len(rejected) < MAX_QUARANTINED_LISTED:
                rejected.append(Rejected(item.key, fault))
        if seen % PROGRESS_EVERY == 0:
            progress(seen, max(seen, expected))
    spool.flush()
    _check(uri, seen, rejections, rejected, spool)
    # Order of reading is the file system's: sorted, the manifest does not depend on it.
    listed = sorted(rejected, key=lambda item: item.key)
    return Quarantine(
        count=rejections,
        examples=[QuarantinedImage(key=printable(item.key), reason=item.reason) for item in listed],
    )


def printable(name: str) -> str:
    """A name that may come from anywhere as text that can be shown and written as UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode()[:500]


def _add(example: Example, task: Task, decoder: Decoder, spool: Spool) -> str:
    """Spool one example; the fault that prevents it, or ''."""
    try:
        pixels = decoder.pixels(example.image)
    except ValueError as error:
        return str(error)
    spool.add(example.key, example.split, example.label if task.labelled else None, pixels)
    return ""


def _check(uri: str, seen: int, rejections: int, rejected: list[Rejected], spool: Spool) -> None:
    if not seen:
        raise DataError(f"{uri}: found no images, expected .jpg, .jpeg or .png files")
    if rejections * 2 > seen:
        first = rejected[0]
        raise DataError(
            f"{uri}: {rejections:,} of {seen:,} images cannot be used, expected at most half; "
            f"the first: {printable(first.key)} {first.reason}"
        )
    if (key := spool.repeated_key()) is not None:
        raise DataError(f"{uri}: two images have the name {key}")


def _in_words(error: Any) -> str:
    """TensorFlow's message without the names of its nodes."""
    text = re.sub(r"\{\{[^}]*\}\}|\[Op:\w+\]|\[\[[^\]]*\]\]", "", str(error.message))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines else "no reason given")[:200]
