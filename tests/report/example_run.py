"""Folders of runs as the steps write them, small but complete."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightshift.workspace import Run

CLASSES = ["cat", "dog", "개구리"]
STARTED = 1_790_000_000.0


def write_status(step: Path, offset: float = 0.0, **changes: Any) -> None:
    status = {
        "step": step.name,
        "state": "succeeded",
        "started": STARTED + offset,
        "seconds": 60.0,
        "cpu_seconds": 100.0,
        "process": 1,
        "progress": 1.0,
        "message": "done",
        "figures": {},
        "error": "",
    }
    step.mkdir(parents=True, exist_ok=True)
    (step / "status.json").write_text(json.dumps(status | changes))


def images(count: int, shape: tuple[int, int, int] = (28, 28, 1)) -> NDArray[np.uint8]:
    """Noise: the images that compress worst."""
    return np.random.default_rng(count).integers(0, 256, (count, *shape), np.uint8)


def dataset_json(classes: list[str]) -> dict[str, Any]:
    counts = [100 + 7 * label for label in range(len(classes))]
    statistics = {
        "mean": [33.3],
        "standard_deviation": [78.5],
        "brightness": [int(400 * np.exp(-(((bin - 5) / 4) ** 2))) for bin in range(32)],
        "contrast": 70.2,
    }
    splits = ("train", "validation", "test")
    return {
        "schema_version": 1,
        "fingerprint": "0123456789abcdef",
        "task": "pets",
        "source": {"uri": "bundled:pets", "identity": "v1"},
        "seed": 0,
        "classes": classes,
        "image_shape": [28, 28, 1],
        "splits": {name: {"count": sum(counts), "class_counts": counts, "shards": []} for name in splits},
        "statistics": dict.fromkeys(splits, statistics),
        "quarantined": {"count": 1, "examples": [{"key": "cat/broken.png", "reason": "not an image"}]},
        "duplicates": {
            "within_splits": dict.fromkeys(splits, 1),
            "across_splits": 2,
            "pairs": [["cat/1.png", "dog/7.png"]],
        },
    }


def write_prepare_data(step: Path, classes: list[str], shape: tuple[int, int, int]) -> None:
    figures = {
        "task": "pets",
        "model": "pets",
        "preset": "default",
        "settings": {"epochs": 12, "learning_rate": 0.004},
        "seed": 3,
        "source": "gs://bucket/pets.zip",
        "dataset": "0123456789abcdef",
        "dataset_path": "datasets/0123456789abcdef",
        "reused": False,
        "train": True,
        "reason": "the data changed since version 20260101000000 was trained",
        "serving_version": 20260101000000,
        "key": "00112233445566778899",
    }
    write_status(step, 0, figures=figures)
    (step / "dataset.json").write_text(json.dumps(dataset_json(classes)))
    np.savez(step / "sample.npz", images=images(40, shape), labels=np.arange(40) % len(classes))


def layer(kind: str, inputs: list[int], shape: list[int | None], parameters: int = 0, **changes: Any) -> dict[str, Any]:
    """A row of architecture.json."""
    row = {"name": kind.lower(), "type": kind, "settings": {}, "output_shape": shape, "parameters": parameters}
    return row | {"inputs": inputs, "again": False, "output": False} | changes


def architecture_json() -> dict[str, Any]:
    """A network of two branches and one output."""
    window = {"kernel_size": "3\u00d73", "filters": "8"}
    layers = [
        layer("InputLayer", [], [28, 28, 1]),
        layer("Conv2D", [0], [28, 28, 8], 80, settings=window),
        layer("ReLU", [1], [28, 28, 8]),
        layer("GlobalAveragePooling2D", [2], [8]),
        layer("GlobalMaxPooling2D", [2], [8]),
        layer("Concatenate", [3, 4], [16]),
        layer("Dense", [5], [3], 51, output=True, name="<b>species</b>"),
    ]
    return {"name": "<i>net</i>", "parameters": 131, "layers": layers, "left_out": 0}


def write_first_convolution(step: Path, shape: tuple[int, int, int], filters: int = 64) -> None:
    facts = {
        "layer": "conv2d",
        "filters": 2 * filters,
        "kernel": [3, 3],
        "strides": [1, 1],
        "padding": "same",
        "input": shape[:2],
        "output": shape[:2],
        "then": ["ReLU"],
        "tiles": 1,
    }
    (step / "first_convolution.json").write_text(json.dumps(facts))
    maps = images(filters, (64, 64, 1))[..., 0]
    arrays = {"image": images(1, shape)[0], "kernels": images(filters, (3, 3, shape[2])), "maps": maps}
    np.savez(step / "first_convolution.npz", **arrays)


def write_train(step: Path, shape: tuple[int, int, int], epochs: int = 12) -> None:
    figures = {
        "network": "compact_cnn",
        "parameters": 98_310,
        "epochs": epochs,
        "best_epoch": epochs - 1,
        "best_score": 0.9871,
        "score": "accuracy",
        "seconds": 321.5,
        "cpu_seconds": 612.25,
        "stopped": "all epochs done",
        "precision": "float32",
        "jit_compile": True,
    }
    write_status(step, 65, seconds=330.0, cpu_seconds=640.0, figures=figures)
    columns = ("epoch", "loss", "accuracy", "validation_loss", "validation_accuracy", "learning_rate")
    with open(step / "history.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow((*columns, "seconds", "cpu_seconds"))
        for epoch in range(1, epochs + 1):
            falling = np.exp(-epoch / 4)
            rate = 0.004 * np.sin(np.pi * epoch / (epochs + 1))
            figures_of_epoch = (2 * falling, 1 - falling, 0.1 + 2 * falling, 0.98 - falling, rate, 26.0, 50.0)
            writer.writerow((epoch, *figures_of_epoch))
    np.savez(step / "augmentation.npz", images=images(5, shape))
    (step / "architecture.json").write_text(json.dumps(architecture_json()))


def evaluation_json(classes: list[str], *, blessed: bool = True) -> dict[str, Any]:
    number = len(classes)
    matrix = np.full((number, number), 2) + 95 * np.eye(number, dtype=int)
    matrix[0, -1] = 0
    rates = np.linspace(0, 1, 50)
    return {
        "task": "pets",
        "problem": "classification",
        "count": int(matrix.sum()),
        "classes": classes,
        "metrics": {"accuracy": 0.9712, "loss": 0.0911, "calibration_error": 0.0123},
        "serving": {"version": 20260101000000, "metrics": {"accuracy": 0.9655, "loss": 0.0911}},
        "decision": {
            "blessed": blessed,
            "reason": "12 answers better, 5 worse, p = 0.04" if blessed else "recall of dog 0.81, floor 0.9",
        },
        "confusion_matrix": matrix.tolist(),
        "per_class": [{"name": name, "count": 99, "precision": 0.96, "recall": 0.97, "f1": 0.965} for name in classes],
        "roc": [
            {
                "positive": name,
                "fpr": rates.tolist(),
                "tpr": (rates ** (0.02 + 0.02 * label)).tolist(),
                "thresholds": (1 - rates).tolist(),
                "auc": 1 / (1.02 + 0.02 * label),
            }
            for label, name in enumerate(classes)
        ],
    }


def write_evaluate(
    step: Path, classes: list[str], shape: tuple[int, int, int], *, blessed: bool = True, wrong: int = 40
) -> None:
    write_status(step, 400, seconds=25.0, cpu_seconds=40.0)
    (step / "evaluation.json").write_text(json.dumps(evaluation_json(classes, blessed=blessed)))
    random = np.random.default_rng(0)
    gallery: dict[str, Any] = {}
    for side, count in (("wrong", wrong), ("right", 12)):
        truth = random.integers(0, len(classes), count)
        answer = (truth + (side == "wrong")) % len(classes)
        odds = random.dirichlet(np.full(len(classes), 0.3), count) + 1.2 * np.eye(len(classes))[answer]
        probabilities = (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)
        gallery |= {
            f"{side}_images": images(count, shape),
            f"{side}_labels": truth,
            f"{side}_answers": answer,
            f"{side}_probabilities": probabilities,
            f"{side}_losses": -np.log(probabilities[np.arange(count), truth]),
        }
    np.savez(step / "gallery.npz", **gallery)
    write_first_convolution(step, shape)


def write_grouped_evaluation(step: Path) -> None:
    """Digits and their parity: every wrong answer says `even` where its class implies `odd`, which is right."""
    digits = [str(digit) for digit in range(10)]
    write_evaluate(step, digits, (28, 28, 1), wrong=6)
    figures = {"accuracy": 0.99, "parity_accuracy": 0.91, "parity_of_class_accuracy": 0.97, "parity_agreement": 0.93}
    (step / "evaluation.json").write_text(
        json.dumps(evaluation_json(digits) | {"problem": "grouped", "metrics": figures})
    )
    with np.load(step / "gallery.npz") as gallery:
        arrays = dict(gallery)
    for part, word in (("truth", "odd"), ("label", "even"), ("of_class", "odd")):
        arrays[f"wrong_parity_{part}"] = np.array([word] * 6)
    np.savez(step / "gallery.npz", **arrays)


def write_puzzle_evaluation(step: Path, original: NDArray[np.uint8]) -> None:
    """Wrong answers have the two upper tiles of four exchanged."""
    write_status(step, 400)
    exact = {"exact": 0.9931, "tiles": 0.9962}
    evaluation = evaluation_json(["none"]) | {
        "task": "puzzle",
        "problem": "puzzle",
        "metrics": exact,
        "roc": [],
        "classes": [],
        "count": 500,
    }
    (step / "evaluation.json").write_text(json.dumps(evaluation | {"confusion_matrix": None, "per_class": []}))
    half = original.shape[1] // 2
    exchanged = original.copy()
    exchanged[:, :half] = np.roll(original[:, :half], half, axis=2)
    count = len(original)
    gallery: dict[str, Any] = {}
    for side, solved in (("wrong", exchanged), ("right", original)):
        gallery |= {
            f"{side}_shuffled": np.roll(original, half, axis=1),
            f"{side}_solved": solved,
            f"{side}_original": original,
            f"{side}_permutation": np.tile(np.array([2, 3, 0, 1], np.int32), (count, 1)),
            f"{side}_truth": np.tile(np.array([2, 3, 0, 1], np.int32), (count, 1)),
            f"{side}_probability": np.linspace(0.4, 0.9, count, dtype=np.float32),
        }
    np.savez(step / "gallery.npz", **gallery)


CARD = """# pets, version 20260728010203

A classifier of **three** animals. <b>Not HTML.</b>

| metric | value |
| --- | ---: |
| accuracy | 0.9712 |

![a picture](https://example.org/picture.png)
"""


def write_release(run: Path) -> None:
    export = {
        "saved_model": "models/pets/20260728010203",
        "signatures": ["serving_default", "serve_bytes", "classify"],
        "bytes": 1_234_567,
        "parity": {"serving_default": 1.2e-7, "serve_bytes": 2.4e-7, "classify": 0.0},
    }
    write_status(run / "export", 430, seconds=30.0, figures=export)
    (run / "export" / "card.md").write_text(CARD)
    deploy = {
        "model": "pets",
        "version": 20260728010203,
        "predecessor": 20260101000000,
        "released": True,
        "reason": "answered its golden batch over gRPC",
    }
    write_status(run / "deploy", 465, seconds=8.0, figures=deploy)


def write_run(path: Path, classes: list[str] = CLASSES, shape: tuple[int, int, int] = (28, 28, 1)) -> Run:
    """A run in which every step succeeded and a version was released."""
    path.mkdir(parents=True)
    write_prepare_data(path / "prepare_data", classes, shape)
    write_train(path / "train", shape)
    write_evaluate(path / "evaluate", classes, shape)
    write_release(path)
    write_status(path / "report", 480, state="running")
    return Run(path)
