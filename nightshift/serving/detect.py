"""Asks a detector what a photograph shows, and where. No TensorFlow."""

from dataclasses import dataclass

import numpy as np

from nightshift.errors import ServingError
from nightshift.serving.ask import PictureRefusedError
from nightshift.serving.client import Client, ServerRefusedError

BOXES, SCORES, NAMES = "detection_boxes", "detection_scores", "detection_class_entities"


@dataclass(frozen=True)
class Detection:
    """One thing: its name, the score (0 to 1), and its box as shares of the picture: ymin, xmin, ymax, xmax."""

    name: str
    score: float
    box: tuple[float, float, float, float]

    def __str__(self) -> str:
        """For people: Human face (99.9%) at x 0.35 to 0.53, y 0.12 to 0.33."""
        top, left, bottom, right = self.box
        return f"{self.name} ({self.score:.1%}) at x {left:.2f} to {right:.2f}, y {top:.2f} to {bottom:.2f}"


@dataclass(frozen=True)
class Detected:
    """A detector's answer, the best first; the version that answered and how long it took."""

    detections: tuple[Detection, ...]
    version: int
    milliseconds: float

    def at_least(self, score: float, most: int) -> tuple[Detection, ...]:
        """The detections of that score or more, so many at most."""
        return tuple(each for each in self.detections if each.score >= score)[:most]


def detect(client: Client, model: str, content: bytes) -> Detected:
    """Ask a detector about a JPEG or PNG file of any size.

    Raises:
        PictureRefusedError: the server does not take the file for a picture.
        ServingError: refused for another reason, no answer, not a detector, or an answer that makes no sense.
    """
    signatures = client.metadata(model).signatures
    outputs = signatures["serve_bytes"].outputs if "serve_bytes" in signatures else {}
    if not {BOXES, SCORES, NAMES} <= outputs.keys():
        found = f"answers {', '.join(sorted(outputs))}" if outputs else "has no signature 'serve_bytes'"
        raise ServingError(f"model {model!r} {found}: not a detector")
    inputs = {"image_bytes": np.array([content], object)}
    try:
        answer = client.predict(model, inputs, signature="serve_bytes", outputs=(BOXES, SCORES, NAMES))
    except ServerRefusedError as refusal:
        if refusal.code != "INVALID_ARGUMENT":
            raise
        # Below the first line TensorFlow tells where in its graph that was.
        raise PictureRefusedError(str(refusal).splitlines()[0]) from refusal
    boxes, scores, names = (answer.outputs[name] for name in (BOXES, SCORES, NAMES))
    if boxes.shape != (len(names), 4) or scores.shape != names.shape or names.ndim != 1:
        raise ServingError(f"model {model!r}: found boxes {boxes.shape}, scores {scores.shape} and names {names.shape}")
    # A model may fill its answer up with boxes of nothing, or say NaN: no box at all then.
    sound = np.isfinite(scores) & np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    order = [index for index in np.argsort(-scores, kind="stable") if sound[index]]
    detections = tuple(_detection(names[index], scores[index], boxes[index]) for index in order)
    return Detected(detections, answer.version, 1000 * answer.seconds)


def _detection(name: bytes, score: float, box: np.ndarray) -> Detection:
    top, left, bottom, right = map(float, box)
    return Detection(name.decode("utf-8", "replace"), float(score), (top, left, bottom, right))
