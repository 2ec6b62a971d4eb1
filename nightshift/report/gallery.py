"""Answers shown with their images: of classifiers with probabilities, of puzzle solvers with what they put together."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightshift.report.dataset import class_name
from nightshift.report.folder import StepFolder
from nightshift.report.images import data_uri

MOST = {"wrong": 40, "right": 12}
MOST_BARS = 5


def answer_cards(folder: StepFolder, side: str, classes: list[str]) -> list[dict[str, Any]]:
    """Cards of a classifier's `wrong` or `right` answers, in the order of the file: wrong ones by falling loss."""
    names = [f"{side}_{part}" for part in ("images", "labels", "answers", "probabilities", "losses")]
    arrays = folder.arrays("gallery.npz", *names)
    if not arrays:
        return []
    images, labels, answers, probabilities, losses = (arrays[name][: MOST[side]] for name in names)
    return [
        {
            "image": data_uri(image),
            "truth": class_name(classes, int(truth)),
            "answer": class_name(classes, int(answer)),
            "loss": float(loss),
            "bars": _bars(row, int(truth), int(answer), classes),
        }
        for image, truth, answer, row, loss in zip(images, labels, answers, probabilities, losses, strict=False)
    ]


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
            "tiles": _tiles(after, truth, math.isqrt(len(permutation))),
            "probability": float(probability),
        }
        for before, after, truth, permutation, probability in zip(
            shuffled, solved, original, permutations, probabilities, strict=False
        )
    ]


def _tiles(solved: NDArray[Any], original: NDArray[Any], grid: int) -> list[bool]:
    """For every tile, row by row, whether its pixels are right: equal tiles can stand for each other."""
    return [
        bool(np.array_equal(ours, theirs))
        for our_row, their_row in zip(np.array_split(solved, grid), np.array_split(original, grid), strict=True)
        for ours, theirs in zip(
            np.array_split(our_row, grid, axis=1), np.array_split(their_row, grid, axis=1), strict=True
        )
    ]
