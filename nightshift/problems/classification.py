"""One class an image."""

from collections.abc import Mapping

import tensorflow as tf

from nightshift.data.augmentation import augment
from nightshift.data.input import Batch
from nightshift.tasks.base import Augmentation


class Classification:
    """Networks answer logits, float32 [B, K]."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.classes = classes

    @property
    def outputs(self) -> int:
        """The number of classes."""
        return len(self.classes)

    def training_batch(
        self, batch: Batch, augmentation: Augmentation, seed: int, epoch: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Augmented images and their labels, int64 [B]."""
        return augment(batch["image"], batch["id"], augmentation, seed, epoch), batch["label"]

    def evaluation_batch(self, batch: Batch, seed: int) -> tuple[tf.Tensor, tf.Tensor]:
        """The images as they are, and their labels."""
        return batch["image"], batch["label"]

    def loss(self, targets: tf.Tensor, logits: tf.Tensor, label_smoothing: float) -> tf.Tensor:
        """Cross-entropy from logits, float32 [B]; smoothing as in Szegedy et al., arXiv:1512.00567."""
        wanted = tf.one_hot(targets, self.outputs) * (1 - label_smoothing) + label_smoothing / self.outputs
        return tf.nn.softmax_cross_entropy_with_logits(wanted, logits)

    def score(self, targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """1 where the most probable class is the right one."""
        return tf.cast(tf.equal(tf.argmax(logits, axis=1), targets), tf.float32)

    def answers(self, images: tf.Tensor, logits: tf.Tensor) -> Mapping[str, tf.Tensor]:
        """Probabilities, float32 [B, K]; class_id, int64 [B]; label, string [B]."""
        class_id = tf.argmax(logits, axis=1)
        return {
            "probabilities": tf.nn.softmax(logits),
            "class_id": class_id,
            "label": tf.gather(tf.constant(self.classes), class_id),
        }

    def classify(self, answers: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
        """All classes, the most probable first."""
        scores, order = tf.math.top_k(answers["probabilities"], k=self.outputs)
        return {"classes": tf.gather(tf.constant(self.classes), order), "scores": scores}
