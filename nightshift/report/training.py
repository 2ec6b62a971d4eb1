"""What the page shows of a training."""

from collections.abc import Callable
from typing import Any

import numpy as np

from nightshift.report import formats, plots
from nightshift.report.folder import StepFolder
from nightshift.report.images import data_uri
from nightshift.report.network import network_view
from nightshift.report.plots import Series

MOST_IMAGES = 5

FACTS = {
    "stopped": "stopped",
    "precision": "precision",
    "jit_compile": "compiled with XLA",
}


def training_view(folder: StepFolder) -> dict[str, Any]:
    """What is shown by training.html."""
    changed = folder.arrays("augmentation.npz", "images")
    return {
        "tiles": _tiles(folder.figures),
        "facts": formats.facts(folder.figures, FACTS),
        "plots": _plots(folder),
        "best_epoch": folder.figures.get("best_epoch"),
        "network": network_view(folder),
        "augmentation": [data_uri(image) for image in changed["images"][:MOST_IMAGES]] if changed else [],
    }


def _tiles(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """The figures that matter most, as (label, text)."""
    score = formats.words(str(figures.get("score", "score")))
    shown: dict[str, tuple[str, Callable[[Any], str]]] = {
        f"best validation {score}": ("best_score", formats.number),
        "network": ("network", str),
        "parameters": ("parameters", formats.number),
        "epochs": ("epochs", formats.number),
        "best epoch": ("best_epoch", formats.number),
        "time": ("seconds", formats.duration),
        "CPU time": ("cpu_seconds", formats.duration),
    }
    return [(label, form(figures[name])) for label, (name, form) in shown.items() if name in figures]


def _plots(folder: StepFolder) -> list[dict[str, Any]]:
    """Loss, score and learning rate by epoch; a plot whose columns are missing is left out."""
    rows = folder.rows("history.csv")
    if not rows:
        return []
    columns = {name: _numbers([row[name] for row in rows]) for name in rows[0]}
    epochs = columns.get("epoch", np.arange(1.0, len(rows) + 1))
    score = next((name for name in columns if name != "loss" and f"validation_{name}" in columns), "")
    wanted = {
        "loss": ("loss", "validation_loss"),
        formats.words(score): (score, f"validation_{score}"),
        "learning rate": ("learning_rate",),
    }
    best = folder.figures.get("best_epoch")
    return [
        {
            "title": title,
            "svg": plots.curves(epochs, [columns[name] for name in names], title.capitalize(), best),
        }
        for title, names in wanted.items()
        if all(name in columns for name in names)
    ]


def _numbers(texts: list[str]) -> Series:
    """A column as float64 [n]; NaN where there is no number."""
    return np.array([_number(text) for text in texts], np.float64)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
