"""SavedModels that are one by their files alone: no TensorFlow, nothing that runs."""

import numpy as np

from nightshift.serving.card import write_card
from nightshift.serving.golden import Golden
from nightshift.serving.manifest import write_manifest
from nightshift.tasks.registry import task

RECIPE = {"preset": "p", "seed": 0, "sources": "0" * 64, "settings": {}, "versions": {}, "dataset": "d" * 16}


def write_candidate(folder, number):
    """A folder that the store takes; another number is another model."""
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(f"graph {number}".encode())
    x = np.array([float(number)], np.float32)
    Golden({"serving_default": {"x": x}}, {"serving_default": {"y": x}}).save(folder)
    facts = {
        "recipe": RECIPE,
        "recipe_key": f"recipe-{number}",
        "classes": [],
        "parameters": 1,
        "epochs": 1,
        "best_epoch": 1,
        "seconds": 0.0,
        "dataset": {"source": "none", "counts": {"train": 1}},
        "metrics": {"accuracy": 0.5},
        "code_version": "0",
    }
    write_card(folder, task("digits"), facts)
    write_manifest(folder)
    return folder
