"""What the page shows of an evaluation."""

import math
from typing import Any

import numpy as np

from nightshift.report import formats
from nightshift.report.comparison import metric_rows
from nightshift.report.folder import StepFolder
from nightshift.report.gallery import answer_cards, puzzle_cards
from nightshift.report.images import heat_map
from nightshift.report.plots import Series, roc

MOST_CELLS = 20
MOST_CLASSES = 60
MOST_MISTAKES = 8
MARKED_CURVES = 3
MOST_POINTS = 400


def evaluation_view(folder: StepFolder) -> dict[str, Any]:
    """What is shown by evaluation.html."""
    evaluation = folder.json("evaluation.json")
    puzzle = evaluation.get("problem") == "puzzle"
    classes: list[str] = evaluation.get("classes") or []
    curves: list[dict[str, Any]] = evaluation.get("roc") or []
    areas = {curve["positive"]: curve["auc"] for curve in curves}
    per_class: list[dict[str, Any]] = evaluation.get("per_class") or []
    return {
        "evaluation": evaluation,
        "decision": evaluation.get("decision") or {},
        "serving": evaluation.get("serving"),
        "metrics": metric_rows(evaluation),
        "confusion": _confusion(evaluation.get("confusion_matrix"), classes),
        "per_class": [row | {"auc": areas.get(row["name"])} for row in per_class[:MOST_CLASSES]],
        "classes_left_out": max(0, len(per_class) - MOST_CLASSES),
        "roc": _roc(curves),
        "puzzle": puzzle,
        "galleries": {
            side: puzzle_cards(folder, side) if puzzle else answer_cards(folder, side, classes)
            for side in ("wrong", "right")
        },
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


def _roc(curves: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The curves whole and their corner; those of least area stand out and are named."""
    if not curves:
        return None
    by_area = sorted(curves, key=lambda curve: curve["auc"] if curve["auc"] is not None else 1.0)
    points = [_points(curve) for curve in by_area]
    marked, plain = points[:MARKED_CURVES], points[MARKED_CURVES:]
    return {
        "whole": roc(plain, marked, 1.0),
        "corner": roc(plain, marked, 0.1),
        "marked": [(curve["positive"], curve["auc"]) for curve in by_area[:MARKED_CURVES]],
        "others": len(plain),
    }


def _points(curve: dict[str, Any]) -> tuple[Series, Series]:
    """False and true positive rates, thinned evenly, both ends kept."""
    false_rate, true_rate = (np.asarray(curve[name], np.float64) for name in ("fpr", "tpr"))
    kept = np.unique(np.linspace(0, len(false_rate) - 1, min(MOST_POINTS, len(false_rate))).astype(int))
    return false_rate[kept], true_rate[kept]
