"""What the page shows of an evaluation."""

import math
from typing import Any

import numpy as np

from nightshift.report import formats
from nightshift.report.comparison import MOST_ROWS, decision_in_words, metric_rows, slice_rows
from nightshift.report.convolution import convolution_view
from nightshift.report.folder import StepFolder
from nightshift.report.gallery import answer_cards, puzzle_cards
from nightshift.report.images import heat_map
from nightshift.report.judged import Curve, Evaluation
from nightshift.report.plots import roc
from nightshift.report.questions import question_rows
from nightshift.report.seams import DOUBTFUL, FITS

MOST_CELLS = 20
MOST_CLASSES = 60
MOST_MISTAKES = 8
MARKED_CURVES = 3


def evaluation_view(folder: StepFolder) -> dict[str, Any]:
    """What is shown by evaluation.html."""
    evaluation = folder.described("evaluation.json", Evaluation)
    if evaluation is None:
        return {"evaluation": None, "metrics": []}
    puzzle = evaluation.problem == "puzzle"
    areas = {curve.positive: curve.auc for curve in evaluation.roc}
    questions = question_rows(evaluation.metrics)
    return {
        "evaluation": evaluation,
        "decision": decision_in_words(evaluation.decision),
        "metrics": metric_rows(evaluation),
        "slices": slice_rows(evaluation),
        "slices_left_out": max(0, len(evaluation.slices) - MOST_ROWS),
        "confusion": _confusion(evaluation.confusion_matrix, evaluation.classes),
        "per_class": [(row, areas.get(row.name)) for row in evaluation.per_class[:MOST_CLASSES]],
        "classes_left_out": max(0, len(evaluation.per_class) - MOST_CLASSES),
        "roc": _roc(evaluation.roc),
        "questions": questions,
        "puzzle": puzzle,
        "seam_scores": (formats.plain(FITS), formats.plain(DOUBTFUL)),
        "galleries": {
            side: puzzle_cards(folder, side)
            if puzzle
            else answer_cards(folder, side, evaluation.classes, [row.question for row in questions])
            for side in ("wrong", "right")
        },
        "convolution": convolution_view(folder),
    }


def _confusion(matrix: list[list[int]] | None, classes: list[str]) -> dict[str, Any] | None:
    """Counts as a table for few classes, as a picture for many; the most frequent mistakes for both."""
    if not matrix:
        return None
    counts = np.asarray(matrix, np.int64)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    names = classes if len(classes) == len(counts) else [str(label) for label in range(len(counts))]
    small = len(counts) <= MOST_CELLS
    rows = [
        {
            "name": name,
            "cells": [
                # The square root lets one mistake in a hundred still be seen.
                {"count": int(count), "right": row == column, "depth": round(math.sqrt(share), 3)}
                for column, (count, share) in enumerate(zip(counts[row], shares[row], strict=True))
            ],
        }
        for row, name in enumerate(names if small else [])
    ]
    return {
        "names": names,
        "rows": rows,
        "picture": "" if small else heat_map(shares),
        "mistakes": _mistakes(counts, names),
    }


def _mistakes(counts: Any, names: list[str]) -> list[dict[str, str]]:
    """The pairs of classes most often confused: truth, answer, count and share of the truth's images."""
    wrong = counts * (1 - np.eye(len(counts), dtype=np.int64))
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_MISTAKES]
    pairs = [divmod(int(place), len(counts)) for place in order]
    return [
        {
            "truth": names[truth],
            "answer": names[answer],
            "count": formats.number(int(wrong[truth, answer])),
            "share": formats.percent(float(wrong[truth, answer] / counts[truth].sum())),
        }
        for truth, answer in pairs
        if wrong[truth, answer] > 0
    ]


def _roc(curves: list[Curve]) -> dict[str, Any] | None:
    """The curves whole and their corner; those of least area stand out and are named."""
    if not curves:
        return None
    by_area = sorted(curves, key=lambda curve: curve.auc)
    points = [(np.asarray(curve.fpr), np.asarray(curve.tpr)) for curve in by_area]
    marked, plain = points[:MARKED_CURVES], points[MARKED_CURVES:]
    return {
        "whole": roc(plain, marked, 1.0),
        "corner": roc(plain, marked, 0.1),
        "marked": [(curve.positive, curve.auc) for curve in by_area[:MARKED_CURVES]],
        "others": len(plain),
    }
