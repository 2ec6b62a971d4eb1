"""One class an image, and further questions whose answer the class decides: which digit, and is it odd or even?

Each question has outputs of the network of its own. What the class implies is answered beside what the network says, so
that the two can be compared.
"""

from collections.abc import Mapping

import tensorflow as tf

from nightshift.problems.classification import Classification


class GroupedClassification(Classification):
    """Networks answer logits, float32 [B, K + G1 + ...]: of the classes, then of each question's answers in turn."""

    def __init__(self, classes: tuple[str, ...], groups: Mapping[str, tuple[str, ...]]) -> None:
        super().__init__(classes)
        self.answers_of = {question: tuple(dict.fromkeys(of_classes)) for question, of_classes in groups.items()}
        self.group_of_class = {
            question: [self.answers_of[question].index(name) for name in of_classes]
            for question, of_classes in groups.items()
        }

    @property
    def outputs(self) -> int:
        """The number of classes and of answers to all questions."""
        return len(self.classes) + sum(map(len, self.answers_of.values()))

    def loss(self, targets: tf.Tensor, logits: tf.Tensor, label_smoothing: float) -> tf.Tensor:
        """The sum of the cross-entropies of the class and of every question, float32 [B]."""
        of_class, of_groups = self._split(logits)
        losses = _cross_entropy(targets, of_class, label_smoothing)
        for question, of_group in of_groups.items():
            losses += _cross_entropy(tf.gather(self.group_of_class[question], targets), of_group, label_smoothing)
        return losses

    def score(self, targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """1 where the class and every answer are right."""
        of_class, of_groups = self._split(logits)
        right = tf.equal(tf.argmax(of_class, axis=1), targets)
        for question, of_group in of_groups.items():
            truth = tf.gather(tf.constant(self.group_of_class[question], tf.int64), targets)
            right = tf.logical_and(right, tf.equal(tf.argmax(of_group, axis=1), truth))
        return tf.cast(right, tf.float32)

    def answers(self, images: tf.Tensor, logits: tf.Tensor) -> Mapping[str, tf.Tensor]:
        """Those of a classifier, and for every question Q of G answers three more.

        Q_probabilities, float32 [B, G]; Q_label, string [B]: the most probable answer; Q_of_class, string [B]: the
        answer that the most probable class implies.
        """
        of_class, of_groups = self._split(logits)
        answers = dict(super().answers(images, of_class))
        for question, of_group in of_groups.items():
            names = tf.constant(self.answers_of[question])
            implied = tf.gather(self.group_of_class[question], answers["class_id"])
            answers[f"{question}_probabilities"] = tf.nn.softmax(of_group)
            answers[f"{question}_label"] = tf.gather(names, tf.argmax(of_group, axis=1))
            answers[f"{question}_of_class"] = tf.gather(names, implied)
        return answers

    def classify(self, answers: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
        """All classes, the most probable first."""
        scores, order = tf.math.top_k(answers["probabilities"], k=len(self.classes))
        return {"classes": tf.gather(tf.constant(self.classes), order), "scores": scores}

    def _split(self, logits: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        of_class, *of_groups = tf.split(logits, [len(self.classes), *map(len, self.answers_of.values())], axis=1)
        return of_class, dict(zip(self.answers_of, of_groups, strict=True))


def _cross_entropy(targets: tf.Tensor, logits: tf.Tensor, label_smoothing: float) -> tf.Tensor:
    classes = logits.shape[1]
    wanted = tf.one_hot(targets, classes) * (1 - label_smoothing) + label_smoothing / classes
    return tf.nn.softmax_cross_entropy_with_logits(wanted, logits)
