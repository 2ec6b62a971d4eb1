"""A picture cut in tiles and shuffled: find the permutation.

A network answers one of three things: logits over all permutations, [B, N!]; where those are too many to list, scores
of positions and pairs that add up to them, [B, 3, N, N] (`nightshift.problems.arrangements`); or, as the tutorial's,
logits of the tile in each slot, [B, N, N]. With the first two its answer is always a permutation, with the third it may
name a tile twice.
"""

import math
from collections.abc import Mapping
from functools import cached_property

import numpy as np
import tensorflow as tf

from nightshift.data.augmentation import augment
from nightshift.data.input import Batch
from nightshift.data.randomness import integers
from nightshift.errors import ConfigurationError
from nightshift.problems import arrangements
from nightshift.problems.tiles import permutation_of, permutations, reassemble, shuffle
from nightshift.tasks.base import Augmentation

IN_ORDER = "in order"
SHUFFLED = "shuffled"
MAX_GRID = 3
"""Tiles a side, at most: 16 tiles have more permutations than an int32 can count."""

LISTED_RANK, SLOTS_RANK, SCORES_RANK = 2, 3, 4
"""The ranks of [B, N!], [B, N, N] and [B, 3, N, N]."""

Answer = tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]
"""permutation, its probability, that of the tiles in order, those of each tile in each slot."""


class Puzzle:
    """Targets are the class of the permutation in lexicographic order, int32 [B]."""

    def __init__(self, grid: int = 2) -> None:
        if not 1 <= grid <= MAX_GRID:
            raise ConfigurationError(f"grid: found {grid}, expected 1 to {MAX_GRID} tiles a side")
        self.grid = grid

    @cached_property
    def permutations(self) -> np.ndarray:
        """Of each target, int32 [N!, N]; 13 MB for nine tiles, so that only what looks at many asks for it."""
        return permutations(self.outputs)

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
        target = integers(batch["id"], seed, epoch, "permutation", math.factorial(self.outputs))
        return shuffle(images, permutation_of(target, self.outputs), self.grid), target

    def loss(self, targets: tf.Tensor, logits: tf.Tensor, label_smoothing: float) -> tf.Tensor:
        """Cross-entropy of the permutation, or the mean one of the slots, float32 [B]."""
        if logits.shape.rank == SCORES_RANK:
            right = arrangements.logits(logits, permutation_of(targets, self.outputs))
            wanted = (1 - label_smoothing) * right + label_smoothing * arrangements.mean_logit(logits)
            return arrangements.log_partition(logits) - wanted
        if logits.shape.rank == LISTED_RANK:
            return _cross_entropy(targets, logits, label_smoothing)
        return tf.reduce_mean(_cross_entropy(permutation_of(targets, self.outputs), logits, label_smoothing), axis=1)

    def score(self, targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """1 where every slot is right."""
        right = tf.equal(self._answer(logits), permutation_of(targets, self.outputs))
        return tf.cast(tf.reduce_all(right, axis=1), tf.float32)

    def _answer(self, logits: tf.Tensor) -> tf.Tensor:
        """The tile in each slot, int32 [B, N]."""
        if logits.shape.rank == SCORES_RANK:
            return arrangements.best(logits)
        if logits.shape.rank == LISTED_RANK:
            return permutation_of(tf.argmax(logits, axis=1, output_type=tf.int32), self.outputs)
        return tf.argmax(logits, axis=2, output_type=tf.int32)

    def answers(self, images: tf.Tensor, logits: tf.Tensor) -> Mapping[str, tf.Tensor]:
        """What the endpoint answers for N tiles.

        permutation, int32 [B, N]: slot k holds tile permutation[k]; solved, uint8 [B, H, W, C]; probability of that
        permutation and shuffled_probability, that the image is not in order, float32 [B]; position_probabilities,
        float32 [B, N, N]: of tile t in slot k.
        """
        by_rank = {LISTED_RANK: self._of_listed, SLOTS_RANK: self._of_slots, SCORES_RANK: self._of_scores}
        permutation, probability, in_order, positions = by_rank[logits.shape.rank](logits)
        return {
            "permutation": permutation,
            "solved": reassemble(images, permutation, self.grid),
            "probability": probability,
            "shuffled_probability": 1 - in_order,
            "position_probabilities": positions,
        }

    def _of_listed(self, logits: tf.Tensor) -> Answer:
        probabilities = tf.nn.softmax(logits)
        positions = tf.einsum("bp,pkt->bkt", probabilities, tf.one_hot(self.permutations, self.outputs))
        return self._answer(logits), tf.reduce_max(probabilities, axis=1), probabilities[:, 0], positions

    def _of_slots(self, logits: tf.Tensor) -> Answer:
        positions = tf.nn.softmax(logits)
        probability = tf.reduce_prod(tf.reduce_max(positions, axis=2), axis=1)
        return self._answer(logits), probability, tf.reduce_prod(tf.linalg.diag_part(positions), axis=1), positions

    def _of_scores(self, logits: tf.Tensor) -> Answer:
        def one(scores: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            partition, positions = arrangements.marginals(scores[None])
            permutation = arrangements.best(scores[None])
            return permutation[0], partition[0], positions[0]

        # Image by image: a sum over all arrangements takes megabytes, and a request may have many images.
        count = self.outputs
        permutation, partition, positions = tf.map_fn(
            one,
            logits,
            fn_output_signature=(
                tf.TensorSpec((count,), tf.int32),
                tf.TensorSpec((), tf.float32),
                tf.TensorSpec((count, count), tf.float32),
            ),
        )

        def probability(of: tf.Tensor) -> tf.Tensor:
            return tf.exp(tf.minimum(arrangements.logits(logits, of) - partition, 0))  # above 0 is rounding

        in_order = probability(tf.broadcast_to(tf.range(count), tf.shape(permutation)))
        return permutation, probability(permutation), in_order, positions

    def classify(self, answers: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
        """Shuffled or in order, the more probable first."""
        shuffled = answers["shuffled_probability"]
        scores, order = tf.math.top_k(tf.stack([shuffled, 1 - shuffled], axis=1), k=2)
        return {"classes": tf.gather(tf.constant([SHUFFLED, IN_ORDER]), order), "scores": scores}


def _cross_entropy(wanted: tf.Tensor, logits: tf.Tensor, label_smoothing: float) -> tf.Tensor:
    classes = logits.shape[-1]
    smooth = tf.one_hot(wanted, classes) * (1 - label_smoothing) + label_smoothing / classes
    return tf.nn.softmax_cross_entropy_with_logits(smooth, logits)
