"""A picture cut in tiles and shuffled: find the permutation.

A network answers one of two things: logits over all permutations, [B, N!], and then its answer is always a permutation;
or, as the tutorial's, logits of the tile in each slot, [B, N, N], and then its answer may name a tile twice.
"""

from collections.abc import Mapping

import tensorflow as tf

from nightshift.data.augmentation import augment
from nightshift.data.input import Batch
from nightshift.data.randomness import integers
from nightshift.problems.tiles import permutations, reassemble, shuffle
from nightshift.tasks.base import Augmentation

IN_ORDER = "in order"
SHUFFLED = "shuffled"


class Puzzle:
    """Targets are the class of the permutation in lexicographic order, int32 [B]."""

    def __init__(self, grid: int = 2) -> None:
        self.grid = grid
        self.permutations = permutations(grid * grid)

    @property
    def outputs(self) -> int:
        """The number of tiles."""
        return self.grid * self.grid

    def training_batch(
        self, batch: Batch, augmentation: Augmentation, seed: int, epoch: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Augmented images, shuffled anew every epoch."""
        return self._shuffled(augment(batch["image"], batch["id"], augmentation, seed, epoch), batch, seed, epoch)

    def evaluation_batch(self, batch: Batch, seed: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Images shuffled by permutations that never change."""
        return self._shuffled(batch["image"], batch, seed, 0)

    def _shuffled(
        self, images: tf.Tensor, batch: Batch, seed: int, epoch: tf.Tensor | int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        target = integers(batch["id"], seed, epoch, "permutation", len(self.permutations))
        return shuffle(images, tf.gather(self.permutations, target), self.grid), target

    def loss(self, targets: tf.Tensor, logits: tf.Tensor, label_smoothing: float) -> tf.Tensor:
        """Cross-entropy of the permutation, or the mean one of the slots, float32 [B]."""
        if logits.shape.rank == 2:
            wanted, classes = targets, len(self.permutations)
        else:
            wanted, classes = tf.gather(self.permutations, targets), self.outputs
        smooth = tf.one_hot(wanted, classes) * (1 - label_smoothing) + label_smoothing / classes
        losses = tf.nn.softmax_cross_entropy_with_logits(smooth, logits)
        return losses if logits.shape.rank == 2 else tf.reduce_mean(losses, axis=1)

    def score(self, targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """1 where every slot is right."""
        right = tf.equal(self._answer(logits), tf.gather(self.permutations, targets))
        return tf.cast(tf.reduce_all(right, axis=1), tf.float32)

    def _answer(self, logits: tf.Tensor) -> tf.Tensor:
        """The tile in each slot, int32 [B, N]."""
        if logits.shape.rank == 2:
            return tf.gather(self.permutations, tf.argmax(logits, axis=1))
        return tf.argmax(logits, axis=2, output_type=tf.int32)

    def answers(self, images: tf.Tensor, logits: tf.Tensor) -> Mapping[str, tf.Tensor]:
        """What the endpoint answers for N tiles.

        permutation, int32 [B, N]: slot k holds tile permutation[k]; solved, uint8 [B, H, W, C]; probability of that
        permutation and shuffled_probability, that the image is not in order, float32 [B]; position_probabilities,
        float32 [B, N, N]: of tile t in slot k.
        """
        permutation = self._answer(logits)
        if logits.shape.rank == 2:
            probabilities = tf.nn.softmax(logits)
            holds = tf.one_hot(self.permutations, self.outputs)
            positions = tf.einsum("bp,pkt->bkt", probabilities, holds)
            probability, in_order = tf.reduce_max(probabilities, axis=1), probabilities[:, 0]
        else:
            positions = tf.nn.softmax(logits)
            probability = tf.reduce_prod(tf.reduce_max(positions, axis=2), axis=1)
            in_order = tf.reduce_prod(tf.linalg.diag_part(positions), axis=1)
        return {
            "permutation": permutation,
            "solved": reassemble(images, permutation, self.grid),
            "probability": probability,
            "shuffled_probability": 1 - in_order,
            "position_probabilities": positions,
        }

    def classify(self, answers: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
        """Shuffled or in order, the more probable first."""
        shuffled = answers["shuffled_probability"]
        scores, order = tf.math.top_k(tf.stack([shuffled, 1 - shuffled], axis=1), k=2)
        return {"classes": tf.gather(tf.constant([SHUFFLED, IN_ORDER]), order), "scores": scores}
