"""Questions to an endpoint as a person would put them. No TensorFlow."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nightshift.errors import ServingError
from nightshift.serving.client import Client, ServerRefusedError
from nightshift.serving.pictures import read_file, rearrange, reduce_tiles


class PictureRefusedError(ServingError):
    """A model server refused a picture; others it may answer."""


@dataclass(frozen=True)
class Classified:
    """A classifier's answer.

    Attributes:
        label: the most probable class.
        probability: of it.
        version: that answered.
        milliseconds: of the call.
        translations: language -> the label in it.
        questions: further question -> what the network answers to it, and what the label implies.
    """

    label: str
    probability: float
    version: int
    milliseconds: float
    translations: Mapping[str, str] = field(default_factory=dict)
    questions: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """Flat, by the names of the endpoint's outputs."""
        facts = {"label": self.label, "probability": self.probability}
        facts |= {f"label_{language}": label for language, label in self.translations.items()}
        for question, (said, implied) in self.questions.items():
            facts |= {f"{question}_label": said, f"{question}_of_class": implied}
        return facts | {"version": self.version, "milliseconds": self.milliseconds}

    def in_words(self) -> str:
        """The label in every language, its probability and the further answers: 7 (99.8%), parity odd."""
        label = " / ".join([self.label, *self.translations.values()])
        further = "".join(
            f", {question} {said}" + ("" if said == implied else f" (though {self.label} is {implied})")
            for question, (said, implied) in self.questions.items()
        )
        return f"{label} ({self.probability:.1%}){further}"


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
    labels = {name: column for name, column in answer.outputs.items() if column.dtype == object and column.ndim == 1}
    rows = [{name: column[row].decode() for name, column in labels.items()} for row in range(len(files))]
    return [
        Classified(
            label=row["label"],
            probability=float(probabilities.max()),
            version=answer.version,
            milliseconds=1000 * answer.seconds,
            translations=_translations(row),
            questions=_questions(row),
        )
        for row, probabilities in zip(rows, answer.outputs["probabilities"], strict=True)
    ]


def _translations(labels: Mapping[str, str]) -> dict[str, str]:
    """label_LANGUAGE by language."""
    return {name.removeprefix("label_"): label for name, label in labels.items() if name.startswith("label_")}


def _questions(labels: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """QUESTION_label and QUESTION_of_class by question."""
    questions = [name.removesuffix("_of_class") for name in labels if name.endswith("_of_class")]
    return {name: (labels[f"{name}_label"], labels[f"{name}_of_class"]) for name in questions}


def classify_file(client: Client, model: str, path: Path) -> Classified:
    """Ask a classifier about one picture's file.

    Raises:
        DataError: the file is not there, or too large.
        PictureRefusedError: the server does not take it for a picture.
        ServingError: refused for another reason, no answer, or not a classifier.
    """
    content = read_file(path)
    try:
        return classify(client, model, [content])[0]
    except ServerRefusedError as refusal:
        # Below the first line TensorFlow tells where in its graph that was.
        said = str(refusal).splitlines()[0]
        if refusal.code != "INVALID_ARGUMENT" or "version label" in said:
            raise ServingError(said) from refusal
        raise PictureRefusedError(f"{path}: {said}") from refusal


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
