"""What every kind of problem offers to training, evaluation and export."""

from collections.abc import Mapping
from typing import Protocol

import tensorflow as tf

from nightshift.data.input import Batch
from nightshift.tasks.base import Augmentation


class Problem(Protocol):
    """Between the data, the network and the endpoint."""

    @property
    def outputs(self) -> int:
        """The number of classes (or tiles) that a network of this problem tells apart."""

    def training_batch(
        self, batch: Batch, augmentation: Augmentation, seed: int, epoch: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Network inputs, uint8 [B, H, W, C], and targets of one training step."""

    def evaluation_batch(self, batch: Batch, seed: int) -> tuple[tf.Tensor, tf.Tensor]:
        """The same for judging: without changes, a function of (seed, example) alone."""

    def loss(self, targets: tf.Tensor, logits: tf.Tensor, label_smoothing: float) -> tf.Tensor:
        """The loss of each example, float32 [B]."""

    def score(self, targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """How right each answer is, float32 [B] in 0 .. 1; its mean is the task's `score`."""

    def answers(self, images: tf.Tensor, logits: tf.Tensor) -> Mapping[str, tf.Tensor]:
        """What the endpoint answers, by output name."""

    def classify(self, answers: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
        """The Classify API's two outputs: `classes`, string [B, K], and `scores`, float32 [B, K], best first."""
