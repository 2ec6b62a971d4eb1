"""Sampled live requests as figures: the images that were asked about, and what was answered. No TensorFlow."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightshift.drift.again import in_order
from nightshift.drift.comparison import Sample
from nightshift.drift.features import features, seams
from nightshift.drift.pictures import decoded, pixels_of
from nightshift.drift.reference import Reference
from nightshift.errors import DataError
from nightshift.serving.tensors import TensorError, to_array

MAX_IMAGES = 2_000
MAX_DECODED_PIXELS = 1_000_000_000
"""Of all the encoded images of one comparison."""

Answers = Mapping[str, NDArray[Any]]
_ANSWERS = {
    "probabilities": ("f", 2),
    "class_id": ("iu", 1),
    "label": ("O", 1),
    "probability": ("f", 1),
    "permutation": ("iu", 2),
}
"""What is read of answers: the kinds of dtypes and the rank."""
_ABOVE_ONE = 1e-3
"""By so much rounding may take a probability beyond it."""


@dataclass(frozen=True)
class Live:
    """What was asked of a model.

    Attributes:
        sample: an image each, repeated ones once.
        pictures: as the network saw them, puzzles as they were solved; uint8 [N, H, W, C].
        repeated: images that had been seen before.
        unreadable: images that are none, of another shape than the reference's, or whose answer is not a model's of
            ours.
    """

    sample: Sample
    pictures: NDArray[np.uint8]
    repeated: int
    unreadable: int


@dataclass(frozen=True)
class _Asked:
    """One image and its answer."""

    image: NDArray[np.uint8]
    predicted: int
    confidence: float
    permutation: NDArray[np.int64] | None


class _Reader:
    """Reads images within bounds and counts those that cannot be read."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self._left = MAX_DECODED_PIXELS
        self._numbers = {name: number for number, name in enumerate(reference.classes)}
        self.unreadable = 0

    def asked(self, log: Any) -> Iterator[_Asked]:
        """The images of one PredictionLog that can be read, with their answers."""
        kind = log.WhichOneof("log_type")
        try:
            if kind == "predict_log":
                yield from self._predicted(log.predict_log)
            elif kind == "classify_log":
                yield from self._classified(log.classify_log)
        except TensorError:  # a client of another making may keep what it likes
            self.unreadable += 1

    def _predicted(self, log: Any) -> Iterator[_Asked]:
        outputs = {name: to_array(proto) for name, proto in log.response.outputs.items()}
        for name in ("images", "image_bytes"):
            if name in log.request.inputs:
                images = to_array(log.request.inputs[name])
                known = {output: array for output, array in outputs.items() if array.shape[:1] == images.shape[:1]}
                if not self._fits(images) or not _usable(known):
                    self.unreadable += len(images) if images.ndim else 0
                    continue
                for row, image in enumerate(images[:MAX_IMAGES]):
                    yield from self._one(image, *self._answer(known, row))

    def _fits(self, images: NDArray[Any]) -> bool:
        """Whether they may be images, before one of what may be very many is looked at."""
        pixels = images.dtype == np.uint8 and images.shape[1:] == self._reference.image_shape
        return pixels or (images.dtype.kind == "O" and images.ndim == 1)

    def _classified(self, log: Any) -> Iterator[_Asked]:
        answers = log.response.result.classifications
        for example, answer in zip(log.request.input.example_list.examples, answers, strict=False):
            best = max(answer.classes, key=lambda one: one.score, default=None)
            predicted = self._numbers.get(best.label, -1) if best else -1
            confidence = float(best.score) if best and predicted >= 0 else np.nan
            for content in example.features.feature["image_bytes"].bytes_list.value:
                yield from self._one(content, predicted, confidence, None)

    def _answer(self, outputs: Answers, row: int) -> tuple[int, float, NDArray[np.int64] | None]:
        """Class, confidence and permutation of a row of usable answers; -1, NaN and None for what was not answered."""
        predicted, confidence, permutation = -1, float("nan"), None
        chances = outputs.get("probabilities")
        if chances is not None and chances.shape[1]:
            predicted, confidence = int(chances[row].argmax()), float(chances[row].max())
        elif "class_id" in outputs:
            predicted = int(outputs["class_id"][row])
        elif "label" in outputs:
            predicted = self._numbers.get(bytes(outputs["label"][row]).decode(errors="replace"), -1)
        if "probability" in outputs:
            confidence = float(outputs["probability"][row])
        order = outputs.get("permutation")
        tiles = self._reference.grid**2
        if order is not None and order.shape[1] == tiles and sorted(order[row].tolist()) == list(range(tiles)):
            permutation = order[row].astype(np.int64)
        return predicted, confidence, permutation

    def _one(
        self, image: Any, predicted: int, confidence: float, permutation: NDArray[np.int64] | None
    ) -> Iterator[_Asked]:
        # Classes are counted up to the highest, and an impossible confidence would outweigh all others.
        sound = -1 <= predicted < len(self._reference.classes) or self._reference.grid > 1
        sound &= np.isnan(confidence) or 0 <= confidence <= 1 + _ABOVE_ONE
        pixels = self._pixels(image) if sound else None
        if pixels is None:
            self.unreadable += 1
        else:
            yield _Asked(pixels, predicted, confidence, permutation)

    def _pixels(self, image: Any) -> NDArray[np.uint8] | None:
        shape = self._reference.image_shape
        if isinstance(image, np.ndarray):
            return image if image.dtype == np.uint8 and image.shape == shape else None
        if not isinstance(image, bytes):
            return None
        self._left -= pixels_of(image)
        if self._left < 0:
            return None
        try:
            return decoded(image, shape, self._reference.fit)
        except DataError:
            return None


def _usable(outputs: Answers) -> bool:
    """Whether the answers are such as a model of ours gives; other clients may keep what they like."""
    return all(
        outputs[name].dtype.kind in kinds and outputs[name].ndim == rank
        for name, (kinds, rank) in _ANSWERS.items()
        if name in outputs
    )


def live_of(logs: Iterable[Any], reference: Reference) -> Live:
    """The images of sampled requests, at most MAX_IMAGES of them.

    Args:
        logs: PredictionLogs, the newest first.
        reference: of the model that was asked.
    """
    reader = _Reader(reference)
    asked: dict[bytes, _Asked] = {}
    repeated = 0
    for log in logs:
        for one in reader.asked(log):
            key = hashlib.sha256(one.image.tobytes()).digest()
            repeated += key in asked
            asked.setdefault(key, one)
        if len(asked) >= MAX_IMAGES:
            break
    return _live(list(asked.values())[:MAX_IMAGES], reference, repeated, reader.unreadable)


def _live(asked: Sequence[_Asked], reference: Reference, repeated: int, unreadable: int) -> Live:
    images = np.zeros((len(asked), *reference.image_shape), np.uint8)
    for row, one in enumerate(asked):
        images[row] = one.image
    columns = features(images, reference.grid)
    columns["confidence"] = np.array([one.confidence for one in asked], np.float32)
    if reference.grid == 1:
        predicted = np.array([one.predicted for one in asked], np.int64)
        return Live(Sample(columns, predicted), images, repeated, unreadable)
    known = [row for row, one in enumerate(asked) if one.permutation is not None]
    columns["seams"] = np.full(len(asked), np.nan, np.float32)
    solved = images[known]
    if known:
        solved = in_order(solved, np.stack([one.permutation for one in asked if one.permutation is not None]))
        columns["seams"][known] = seams(solved, reference.grid)
    return Live(Sample(columns), solved, repeated, unreadable)
