"""Judges answers of a class and of further questions that the class decides. No TensorFlow."""

from collections.abc import Mapping, Sequence

import numpy as np

from nightshift.evaluation.classification import ClassificationJudge, cross_entropies
from nightshift.evaluation.judgement import Answered


class GroupedJudge(ClassificationJudge):
    """Adds up batches; an example counts as right if the class and the answer to every question are.

    Args:
        classes: names of the classes.
        answers_of: question -> its answers' names.
        group_of_class: question -> the index of its answer for each class.
    """

    def __init__(
        self,
        classes: tuple[str, ...],
        answers_of: Mapping[str, Sequence[str]],
        group_of_class: Mapping[str, Sequence[int]],
    ) -> None:
        super().__init__(classes)
        self.answers_of = answers_of
        self.group_of_class = {question: np.asarray(of_class) for question, of_class in group_of_class.items()}
        self._said: dict[str, list[np.ndarray]] = {question: [] for question in answers_of}
        self._implied: dict[str, list[np.ndarray]] = {question: [] for question in answers_of}
        self._agreed: dict[str, list[np.ndarray]] = {question: [] for question in answers_of}

    def add(self, batch: Answered) -> None:
        """Look at a batch; its targets are labels of classes, int64 [B]."""
        super().add(batch)
        for question in self.answers_of:
            said, implied = batch.answers[f"{question}_label"], batch.answers[f"{question}_of_class"]
            truth = self._truth(question, batch.targets)
            self._said[question].append(said == truth)
            self._implied[question].append(implied == truth)
            self._agreed[question].append(said == implied)

    def correct(self, batch: Answered) -> np.ndarray:
        """Whether the class and all further answers are right, bool [B]."""
        right = super().correct(batch)
        for question in self.answers_of:
            right = right & (batch.answers[f"{question}_label"] == self._truth(question, batch.targets))
        return right

    def losses(self, batch: Answered) -> np.ndarray:
        """The sum of the cross-entropies of the class and of every question, float [B], as in training."""
        losses = super().losses(batch)
        for question, of_class in self.group_of_class.items():
            losses = losses + cross_entropies(batch.answers[f"{question}_probabilities"], of_class[batch.targets])
        return losses

    def columns(self, batch: Answered) -> dict[str, np.ndarray]:
        """For every question Q, texts [B]: Q_truth; Q_label, the answer given; Q_of_class, what its class implies."""
        kept: dict[str, np.ndarray] = {}
        for question in self.answers_of:
            said = {part: batch.answers[f"{question}_{part}"] for part in ("label", "of_class")}
            for part, names in {"truth": self._truth(question, batch.targets), **said}.items():
                kept[f"{question}_{part}"] = np.array([name.decode() for name in names])
        return kept

    def metrics(self) -> dict[str, float]:
        """exact_match: class and answers right. For each question Q: Q_accuracy, what the network's own output says;
        Q_of_class_accuracy, what its class implies; Q_agreement, the share of examples where these two are the same.
        """
        figures = {"exact_match": float(np.concatenate(self._correct).mean())}
        for question in self.answers_of:
            figures[f"{question}_accuracy"] = float(np.concatenate(self._said[question]).mean())
            figures[f"{question}_of_class_accuracy"] = float(np.concatenate(self._implied[question]).mean())
            figures[f"{question}_agreement"] = float(np.concatenate(self._agreed[question]).mean())
        return figures

    def _truth(self, question: str, labels: np.ndarray) -> np.ndarray:
        """The right answers as the endpoint writes them, bytes [B]."""
        names = np.array([name.encode() for name in self.answers_of[question]], object)
        truth: np.ndarray = names[self.group_of_class[question][labels]]
        return truth
