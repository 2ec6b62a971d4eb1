"""What judging a model on the test split comes to. No TensorFlow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Trait:
    """Something that is known of every test example, to cut the split by.

    Attributes:
        name: for people.
        values: [N], in the order of the test split: of any size, or places in
        names: of the values that there can be; empty where there are too many to name.
    """

    name: str
    values: np.ndarray
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judgement:
    """A model's answers to the test split, added up.

    Attributes:
        count: test examples.
        metrics: by plain name.
        correct: bool [count], in the order of the test split.
        confusion_matrix: int [K, K], rows truth, columns answer; None where there are no classes.
        per_class: a row a class: name, count, precision, recall, f1.
        roc: a curve each: positive, fpr, tpr, thresholds, auc; none for a class of no or of all test examples.
        gallery: arrays of pictures and answers for the report, those answered wrong first by loss.
        traits: of the examples, each [count].
    """

    count: int
    metrics: Mapping[str, float]
    correct: np.ndarray
    confusion_matrix: np.ndarray | None = None
    per_class: Sequence[Mapping[str, Any]] = ()
    roc: Sequence[Mapping[str, Any]] = ()
    gallery: Mapping[str, np.ndarray] = field(default_factory=dict)
    traits: Sequence[Trait] = ()


@dataclass(frozen=True)
class Answered:
    """A batch of test examples and what a model answered.

    Attributes:
        originals: uint8 [B, H, W, C], as in the dataset.
        inputs: uint8 [B, H, W, C], as the model saw them; a puzzle's are shuffled.
        targets: [B], the truth.
        answers: the endpoint's outputs for the inputs.
        answers_to_originals: its outputs for the originals.
    """

    originals: np.ndarray
    inputs: np.ndarray
    targets: np.ndarray
    answers: Mapping[str, np.ndarray]
    answers_to_originals: Mapping[str, np.ndarray]


@dataclass
class Gallery:
    """Keeps the wrong answers of the highest loss and the first right ones, in bounded memory."""

    wrong: int = 40
    right: int = 12
    _wrong: list[tuple[float, dict[str, np.ndarray]]] = field(default_factory=list)
    _right: list[dict[str, np.ndarray]] = field(default_factory=list)

    def add(self, correct: np.ndarray, losses: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
        """Look at a batch: bool [B], float [B] and what is to be kept of each example, [B, ...] each."""
        for index in np.flatnonzero(~correct):
            # Copies: a view would keep its whole batch.
            self._wrong.append((float(losses[index]), {name: column[index].copy() for name, column in columns.items()}))
        self._wrong = sorted(self._wrong, key=lambda entry: -entry[0])[: self.wrong]
        for index in np.flatnonzero(correct)[: max(0, self.right - len(self._right))]:
            self._right.append({name: column[index].copy() for name, column in columns.items()})

    def arrays(self) -> dict[str, np.ndarray]:
        """wrong_NAME and right_NAME for every column."""
        groups = {"wrong": [row for _, row in self._wrong], "right": self._right}
        return {
            f"{group}_{name}": np.stack([row[name] for row in rows])
            for group, rows in groups.items()
            if rows
            for name in rows[0]
        }


@dataclass
class TraitColumns:
    """Keeps what is known of the examples, batch by batch."""

    _columns: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def add(self, columns: Mapping[str, np.ndarray]) -> None:
        """Of a batch, by name, [B] each."""
        for name, values in columns.items():
            self._columns.setdefault(name, []).append(values)

    def traits(self) -> list[Trait]:
        """Of all batches."""
        return [Trait(name, np.concatenate(values)) for name, values in self._columns.items()]


def roc_curve(positive: str, truth: np.ndarray, scores: np.ndarray, points: int = 200) -> dict[str, Any]:
    """One class against the rest, at most `points` points; thresholds are finite, as the Kubeflow UI needs them.

    Args:
        positive: the class's name.
        truth: bool [N], both kinds in it.
        scores: float [N], higher for the class.
    """
    from sklearn import metrics

    fpr, tpr, thresholds = metrics.roc_curve(truth, scores)
    area = float(metrics.auc(fpr, tpr))
    chosen = np.unique(np.linspace(0, len(fpr) - 1, min(points, len(fpr))).round().astype(int))
    finite = np.where(np.isfinite(thresholds), thresholds, thresholds[np.isfinite(thresholds)].max() + 1e-6)
    return {
        "positive": positive,
        "fpr": fpr[chosen].tolist(),
        "tpr": tpr[chosen].tolist(),
        "thresholds": finite[chosen].tolist(),
        "auc": area,
    }
