"""Judges answers of one class an image. No TensorFlow."""

import numpy as np

from nightshift.evaluation.judgement import Answered, Gallery, Judgement, Trait, TraitColumns, roc_curve
from nightshift.evaluation.slices import picture_traits

CURVE_POINTS = 20_000
"""Of all classes' ROC curves together, so that hundreds of classes do not fill the record."""


class ClassificationJudge:
    """Adds up batches of a classifier's answers."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.classes = classes
        self._gallery = Gallery()
        self._labels: list[np.ndarray] = []
        self._answers: list[np.ndarray] = []
        self._probabilities: list[np.ndarray] = []
        self._losses: list[np.ndarray] = []
        self._correct: list[np.ndarray] = []
        self._traits = TraitColumns()

    def add(self, batch: Answered) -> None:
        """Look at a batch; its targets are labels, int64 [B]."""
        correct, losses = self.correct(batch), self.losses(batch)
        columns = {
            "images": batch.inputs,
            "labels": batch.targets,
            "answers": batch.answers["class_id"],
            "probabilities": batch.answers["probabilities"],
            "losses": losses.astype(np.float32),
        }
        self._gallery.add(correct, losses, columns | self.columns(batch))
        self._labels.append(batch.targets)
        self._answers.append(batch.answers["class_id"])
        self._probabilities.append(batch.answers["probabilities"])
        self._losses.append(losses)
        self._correct.append(correct)
        self._traits.add(picture_traits(batch.originals))

    def correct(self, batch: Answered) -> np.ndarray:
        """Whether each answer is right, bool [B]."""
        right: np.ndarray = batch.answers["class_id"] == batch.targets
        return right

    def losses(self, batch: Answered) -> np.ndarray:
        """The cross-entropy of each answer, float [B]."""
        return cross_entropies(batch.answers["probabilities"], batch.targets)

    def columns(self, batch: Answered) -> dict[str, np.ndarray]:
        """What the gallery keeps of each example besides, [B, ...] each."""
        return {}

    def metrics(self) -> dict[str, float]:
        """Figures besides accuracy, balanced accuracy, kappa and loss, by plain name."""
        return {}

    def judgement(self) -> Judgement:
        """Accuracy, loss, mean recall, Cohen's kappa; precision, recall and a ROC curve a class; confusion matrix."""
        from sklearn import metrics

        labels, answers = np.concatenate(self._labels), np.concatenate(self._answers)
        probabilities, names = np.concatenate(self._probabilities), range(len(self.classes))
        precision, recall, f1, support = metrics.precision_recall_fscore_support(
            labels, answers, labels=names, zero_division=0.0
        )
        right = answers == labels
        points = max(10, min(200, CURVE_POINTS // len(self.classes)))
        return Judgement(
            count=len(labels),
            metrics={
                "accuracy": float(right.mean()),
                "loss": float(np.concatenate(self._losses).mean()),
                "balanced_accuracy": float(recall[support > 0].mean()),
                # All right and all of one class is 0/0 to scikit-learn.
                "kappa": 1.0 if right.all() else float(metrics.cohen_kappa_score(labels, answers)),
            }
            | self.metrics(),
            correct=np.concatenate(self._correct),
            confusion_matrix=metrics.confusion_matrix(labels, answers, labels=names),
            per_class=[
                {"name": name, "count": int(s), "precision": float(p), "recall": float(r), "f1": float(f)}
                for name, s, p, r, f in zip(self.classes, support, precision, recall, f1, strict=True)
            ],
            roc=[
                roc_curve(name, labels == k, probabilities[:, k], points)
                for k, name in enumerate(self.classes)
                if 0 < support[k] < len(labels)
            ],
            gallery=self._gallery.arrays(),
            traits=[Trait("class", labels, self.classes), *self._traits.traits()],
        )


def cross_entropies(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """-log of what was given to the truth, float [B]; finite where that is 0.

    Args:
        probabilities: float [B, K].
        labels: int [B].
    """
    losses: np.ndarray = -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12))
    return losses
