"""What the page shows of a dataset."""

from typing import Any

import numpy as np

from nightshift.data.manifest import MANIFEST_NAME, DatasetManifest
from nightshift.report import formats, plots
from nightshift.report.drift import drift_view
from nightshift.report.folder import StepFolder
from nightshift.report.images import data_uri

MOST_SAMPLES = 40
MOST_CLASSES = 60

FACTS = {
    "task": "task",
    "model": "model",
    "preset": "preset",
    "settings": "settings",
    "seed": "seed",
    "source": "source",
    "dataset": "dataset",
    "dataset_path": "kept at",
    "reused": "reused",
    "serving_version": "serving before",
    "key": "key of the training",
}


def dataset_view(folder: StepFolder) -> dict[str, Any]:
    """What is shown by dataset.html."""
    manifest = folder.described(MANIFEST_NAME, DatasetManifest)
    return {
        "facts": formats.facts(folder.figures, FACTS),
        "reason": folder.figures.get("reason", ""),
        "drift": drift_view(folder),
        "samples": _samples(folder, manifest.classes if manifest else []),
        "manifest": manifest,
        "balance": _balance(manifest) if manifest else [],
        "classes_left_out": max(0, len(manifest.classes) - MOST_CLASSES) if manifest else 0,
        "brightness": plots.brightness({name: s.brightness for name, s in manifest.statistics.items()})
        if manifest and manifest.statistics
        else "",
    }


def _samples(folder: StepFolder, classes: list[str]) -> list[dict[str, str]]:
    """Image and name of its class, empty where there is none."""
    sample = folder.arrays("sample.npz", "images", "labels")
    if not sample:
        return []
    pairs = zip(sample["images"][:MOST_SAMPLES], sample["labels"], strict=False)
    return [{"image": data_uri(image), "name": class_name(classes, int(label))} for image, label in pairs]


def class_name(classes: list[str], label: int) -> str:
    """The name of a label; empty for -1, the number itself for one that has no name."""
    if label < 0:
        return ""
    return classes[label] if label < len(classes) else str(label)


def _balance(manifest: DatasetManifest) -> list[dict[str, Any]]:
    """A row a class: its count in every split, and the width of its bar relative to the split's largest class."""
    splits = [split.class_counts for split in manifest.splits.values()]
    if not manifest.classes or not any(splits):
        return []
    rows = []
    for label, name in enumerate(manifest.classes[:MOST_CLASSES]):
        counts = [split[label] if label < len(split) else 0 for split in splits]
        widths = [count / max(1, *split, 1) for count, split in zip(counts, splits, strict=True)]
        rows.append({"name": name, "cells": list(zip(counts, np.round(widths, 4).tolist(), strict=True))})
    return rows
