"""Answers shown with their images: of classifiers with probabilities, of puzzle solvers with what they put together."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightshift.report.dataset import class_name
from nightshift.report.folder import StepFolder
from nightshift.report.images import data_uri
from nightshift.report.seams import Seam, seams

MOST = {"wrong": 40, "right": 12}
MOST_BARS = 5


def answer_cards(
    folder: StepFolder, side: str, classes: list[str], questions: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Cards of a classifier's `wrong` or `right` answers, in the order of the file: wrong ones by falling loss.

    For a question Q the file may hold SIDE_Q_label, what the network answers, and SIDE_Q_of_class, what its class
    implies, and SIDE_Q_truth: texts, one a card.
    """
    names = [f"{side}_{part}" for part in ("images", "labels", "answers", "probabilities", "losses")]
    arrays = folder.arrays("gallery.npz", *names)
    if not arrays:
        return []
    images, labels, answers, probabilities, losses = (arrays[name][: MOST[side]] for name in names)
    asked = {question: _said(folder, side, question) for question in questions}
    return [
        {
            "questions": [(name, *said[place]) for name, said in asked.items() if place < len(said)],
            "image": data_uri(image),
            "truth": class_name(classes, int(truth)),
            "answer": class_name(classes, int(answer)),
            "loss": float(loss),
            "bars": _bars(row, int(truth), int(answer), classes),
        }
        for place, (image, truth, answer, row, loss) in enumerate(
            zip(images, labels, answers, probabilities, losses, strict=False)
        )
    ]


def _said(folder: StepFolder, side: str, question: str) -> list[tuple[str, str, str]]:
    """The truth, the network's own answer and that of its class to a question, a card each; none if missing."""
    names = [f"{side}_{question}_{part}" for part in ("truth", "label", "of_class")]
    arrays = folder.arrays("gallery.npz", *names)
    if not arrays:
        return []
    return list(zip(*(arrays[name].astype(str).tolist() for name in names), strict=False))


def _bars(probabilities: NDArray[Any], truth: int, answer: int, classes: list[str]) -> list[dict[str, str | float]]:
    """The most probable classes, falling; the truth takes the last place if it is not among them."""
    shown = [int(label) for label in np.argsort(-probabilities, kind="stable")[:MOST_BARS]]
    if 0 <= truth < len(probabilities) and truth not in shown:
        shown[-1] = truth
    kinds = {answer: "answer", truth: "truth"}
    return [
        {
            "name": class_name(classes, label),
            "probability": float(probabilities[label]),
            "kind": kinds.get(label, ""),
        }
        for label in shown
    ]


def puzzle_cards(folder: StepFolder, side: str) -> list[dict[str, Any]]:
    """Cards of a puzzle solver's `wrong` or `right` answers: shuffled, put together, original."""
    names = [f"{side}_{part}" for part in ("shuffled", "solved", "original", "permutation", "probability")]
    arrays = folder.arrays("gallery.npz", *names)
    if not arrays:
        return []
    shuffled, solved, original, permutations, probabilities = (arrays[name][: MOST[side]] for name in names)
    return [
        {
            "shuffled": data_uri(before),
            "solved": data_uri(after),
            "original": data_uri(truth),
            "grid": math.isqrt(len(permutation)),
            "seams": {
                name: _seams(picture, math.isqrt(len(permutation)))
                for name, picture in (("shuffled", before), ("solved", after))
            },
            "tiles": _tiles(after, truth, math.isqrt(len(permutation))),
            "probability": float(probability),
        }
        for before, after, truth, permutation, probability in zip(
            shuffled, solved, original, permutations, probabilities, strict=False
        )
    ]


def _seams(picture: NDArray[Any], grid: int) -> dict[str, Any]:
    """The seams of a picture and how many of them continue what is on both sides."""
    found: list[Seam] = seams(picture, grid)
    return {"all": found, "fit": sum(seam.kind == "fits" for seam in found)}


def _tiles(solved: NDArray[Any], original: NDArray[Any], grid: int) -> list[bool]:
    """For every tile, row by row, whether its pixels are right: equal tiles can stand for each other."""
    return [
        bool(np.array_equal(ours, theirs))
        for our_row, their_row in zip(np.array_split(solved, grid), np.array_split(original, grid), strict=True)
        for ours, theirs in zip(
            np.array_split(our_row, grid, axis=1), np.array_split(their_row, grid, axis=1), strict=True
        )
    ]
