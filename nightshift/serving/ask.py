"""Questions to an endpoint as a person would put them. No TensorFlow."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from nightshift.errors import ServingError
from nightshift.serving.client import Client
from nightshift.serving.pictures import rearrange, reduce_tiles


@dataclass(frozen=True)
class Classified:
    """A classifier's answer: the label and its probability; the version that answered and how long it took."""

    label: str
    probability: float
    version: int
    milliseconds: float


@dataclass(frozen=True)
class Solved:
    """A puzzle solver's answer.

    Attributes:
        permutation: slot k of the picture holds tile permutation[k] of the original.
        probability: of that permutation.
        shuffled_probability: that the picture is not in order.
        picture: the tiles put in order, at the size they came in; uint8 [S, S, 3].
        version: that answered.
        milliseconds: of the call.
    """

    permutation: list[int]
    probability: float
    shuffled_probability: float
    picture: np.ndarray
    version: int
    milliseconds: float


def classify(client: Client, model: str, files: list[bytes]) -> list[Classified]:
    """Ask a classifier about JPEG or PNG files of any size.

    Raises:
        ServingError: refused, no answer, or not a classifier.
    """
    answer = client.predict(model, {"image_bytes": np.array(files, object)}, signature="serve_bytes")
    if not {"label", "probabilities"} <= set(answer.outputs):
        raise ServingError(f"model {model!r} answers {', '.join(sorted(answer.outputs))}: not a classifier")
    return [
        Classified(label.decode(), float(row.max()), answer.version, 1000 * answer.seconds)
        for label, row in zip(answer.outputs["label"], answer.outputs["probabilities"], strict=True)
    ]


def solve(client: Client, model: str, picture: np.ndarray) -> Solved:
    """Ask a puzzle solver about a square picture, uint8 [S, S, 3], S a multiple of the tiles a side.

    Raises:
        ServingError: refused, no answer, or not a puzzle solver.
    """
    side, grid = puzzle_size(client, model)
    answer = client.predict(
        model,
        {"images": reduce_tiles(picture, grid, side)[None]},
        outputs=("permutation", "probability", "shuffled_probability"),
    )
    outputs: dict[str, Any] = answer.outputs
    permutation = outputs["permutation"][0]
    return Solved(
        permutation=permutation.tolist(),
        probability=float(outputs["probability"][0]),
        shuffled_probability=float(outputs["shuffled_probability"][0]),
        picture=rearrange(picture, np.argsort(permutation)),
        version=answer.version,
        milliseconds=1000 * answer.seconds,
    )


def puzzle_size(client: Client, model: str) -> tuple[int, int]:
    """The side in pixels of the pictures that a puzzle solver reads, and its tiles a side.

    Raises:
        ServingError: it is not a puzzle solver.
    """
    signature = client.metadata(model).signatures.get("serving_default")
    if signature is None or "permutation" not in signature.outputs:
        raise ServingError(f"model {model!r} has no output 'permutation': not a puzzle solver")
    shape, tiles = signature.inputs["images"].shape, signature.outputs["position_probabilities"].shape
    if not shape or not tiles or not shape[1] or not tiles[1]:
        raise ServingError(f"model {model!r} does not say how large its pictures are")
    return shape[1], round(tiles[1] ** 0.5)
