"""The compiled training and validation steps, on whatever devices the strategy has."""

from collections.abc import Callable

import keras
import tensorflow as tf

from nightshift.models.dropout import dropping
from nightshift.problems.base import Problem
from nightshift.tasks.base import Preset

Step = Callable[[tuple[tf.Tensor, ...], tf.Tensor], tf.Tensor]
"""Of this worker's part of a global batch, and whether it is asked to end, float32: 1 or 0."""


def training_step(
    strategy: tf.distribute.Strategy,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    problem: Problem,
    preset: Preset,
) -> Step:
    """A function of one global batch (inputs, targets, draws of dropout) that updates the weights.

    Returns:
        sums over the batch, float32 [3]: loss and score; and over the devices, whether they are asked to end.
    """

    def replica_step(inputs: tf.Tensor, targets: tf.Tensor, draws: tf.Tensor, asked: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape, dropping(draws):
            logits = model(inputs, training=True)
            losses = problem.loss(targets, logits, preset.label_smoothing)
            loss = tf.reduce_sum(losses) / preset.batch_size
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return _sums(losses, problem.score(targets, logits), asked)

    # XLA cannot compile it for several devices: it refuses the variables of the others.
    compiled = preset.jit_compile and strategy.num_replicas_in_sync == 1
    run = tf.function(replica_step, jit_compile=True) if compiled else replica_step

    @tf.function
    def step(batch: tuple[tf.Tensor, ...], asked: tf.Tensor) -> tf.Tensor:
        return strategy.reduce("SUM", strategy.run(run, args=(*batch, asked)), axis=None)

    return step


def validation_step(strategy: tf.distribute.Strategy, model: keras.Model, problem: Problem) -> Step:
    """A function of one global batch (inputs, targets).

    Returns:
        sums over the batch, float32 [4]: loss, score and number of examples; and, as above, whether to end.
    """

    def sums(inputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        logits = model(inputs, training=False)
        losses = problem.loss(targets, logits, 0.0)
        count = tf.cast(tf.shape(losses)[0], tf.float32)
        return _sums(losses, problem.score(targets, logits), count)

    def replica_step(inputs: tf.Tensor, targets: tf.Tensor, asked: tf.Tensor) -> tf.Tensor:
        # The last batches of some are empty, and oneDNN's convolutions give those another shape than they should.
        found = tf.cond(tf.shape(inputs)[0] > 0, lambda: sums(inputs, targets), lambda: tf.zeros(3))
        return tf.concat([found, [asked]], axis=0)

    @tf.function(reduce_retracing=True)
    def step(batch: tuple[tf.Tensor, ...], asked: tf.Tensor) -> tf.Tensor:
        return strategy.reduce("SUM", strategy.run(replica_step, args=(*batch, asked)), axis=None)

    return step


def _sums(*figures: tf.Tensor) -> tf.Tensor:
    """Each summed over the examples, float32."""
    return tf.stack([tf.cast(tf.reduce_sum(figure), tf.float32) for figure in figures])
