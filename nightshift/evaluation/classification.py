"""Judges answers of one class an image. No TensorFlow."""

import numpy as np

from nightshift.evaluation.judgement import Answered, Gallery, Judgement, roc_curve


class ClassificationJudge:
    """Adds up batches of a classifier's answers."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.classes = classes
        self._gallery = Gallery()
        self._labels: list[np.ndarray] = []
        self._probabilities: list[np.ndarray] = []

    def add(self, batch: Answered) -> None:
        """Look at a batch; its targets are labels, int64 [B]."""
        labels, probabilities, answer = batch.targets, batch.answers["probabilities"], batch.answers["class_id"]
        losses = -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12))
        columns = {
            "images": batch.inputs,
            "labels": labels,
            "answers": answer,
            "probabilities": probabilities,
            "losses": losses.astype(np.float32),
        }
        self._gallery.add(answer == labels, losses, columns)
        self._labels.append(labels)
        self._probabilities.append(probabilities)

    def judgement(self) -> Judgement:
        """Accuracy, loss, mean recall; precision, recall and a ROC curve a class; the confusion matrix."""
        from sklearn import metrics

        labels, probabilities = np.concatenate(self._labels), np.concatenate(self._probabilities)
        answers, names = probabilities.argmax(axis=1), range(len(self.classes))
        precision, recall, f1, support = metrics.precision_recall_fscore_support(
            labels, answers, labels=names, zero_division=0.0
        )
        truth = probabilities[np.arange(len(labels)), labels]
        return Judgement(
            count=len(labels),
            metrics={
                "accuracy": float(np.mean(answers == labels)),
                "loss": float(-np.log(np.maximum(truth, 1e-12)).mean()),
                "balanced_accuracy": float(recall[support > 0].mean()),
            },
            correct=answers == labels,
            confusion_matrix=metrics.confusion_matrix(labels, answers, labels=names),
            per_class=[
                {"name": name, "count": int(s), "precision": float(p), "recall": float(r), "f1": float(f)}
                for name, s, p, r, f in zip(self.classes, support, precision, recall, f1, strict=True)
            ],
            roc=[
                roc_curve(name, labels == k, probabilities[:, k])
                for k, name in enumerate(self.classes)
                if 0 < support[k] < len(labels)
            ],
            gallery=self._gallery.arrays(),
        )
