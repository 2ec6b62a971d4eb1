"""Dropout that is a function of (seed, epoch, example), never of the worker or of the batch.

Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15 (2014). Keras's own
layer draws one mask a batch, so that the same example would lose other features on another number of workers. Here the
training step brings one random number an example, and each layer mixes it with the numbers of its features.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from nightshift.data.randomness import integers

_MULTIPLIERS = (0x7FEB352D, 0x846CA68B)
_LAYER_STEP = 0x9E3779B9


@dataclass
class _Draws:
    """The random numbers of a batch, int32 [B], and how many layers have used them."""

    numbers: tf.Tensor
    layers: int = 0


_draws: ContextVar[_Draws] = ContextVar("draws")


def draws_of(ids: tf.Tensor, seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """What `dropping` needs of each example, int32 [B]; arguments as of nightshift.data.randomness."""
    return integers(ids, seed, epoch, "dropout", 1 << 31)


@contextmanager
def dropping(draws: tf.Tensor) -> Iterator[None]:
    """In the block a network may be called for training, once, on the examples that these draws are of."""
    before = _draws.set(_Draws(draws))
    try:
        yield
    finally:
        _draws.reset(before)


@keras.saving.register_keras_serializable("nightshift")
class Dropout(keras.layers.Layer):
    """Sets a share of an example's features to 0 in training and scales up the others; else it does nothing.

    Args:
        rate: the share, 0 or more, below 1.
    """

    def __init__(self, rate: float, **kwargs: object) -> None:
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"rate: found {rate}, expected 0 or more, below 1")
        self.rate = rate

    def call(self, features: Any, training: bool = False) -> Any:
        """Features [B, ...] -> the same shape.

        Raises:
            RuntimeError: in training, outside of `dropping`.
        """
        if not training or not self.rate:
            return features
        try:
            draws = _draws.get()
        except LookupError:
            raise RuntimeError("a network with dropout is trained in `with dropping(draws):`") from None
        draws.layers += 1
        kept = tf.reshape(_kept(draws.numbers, draws.layers, tuple(features.shape[1:]), self.rate), tf.shape(features))
        return tf.where(kept, features * (1 / (1 - self.rate)), tf.zeros((), features.dtype))

    def get_config(self) -> dict[str, object]:
        """For saving."""
        return super().get_config() | {"rate": self.rate}


def _kept(numbers: tf.Tensor, layer: int, shape: tuple[int, ...], rate: float) -> tf.Tensor:
    """Which features stay, bool [B, product of `shape`]."""
    places = tf.range(math.prod(shape)) + tf.bitcast(tf.constant(layer * _LAYER_STEP % (1 << 32), tf.uint32), tf.int32)
    mixed = _mix(tf.bitwise.bitwise_xor(_mix(tf.bitcast(numbers, tf.uint32))[:, None], _mix(_unsigned(places))[None]))
    return tf.greater_equal(mixed, tf.constant(round(rate * (1 << 32)), tf.uint32))


def _unsigned(numbers: tf.Tensor) -> tf.Tensor:
    return tf.bitcast(numbers, tf.uint32)


def _mix(state: tf.Tensor) -> tf.Tensor:
    """A bijection of uint32 that lets every bit change all: "lowbias32" of C. Wellons' hash prospector."""
    for shift, multiplier in zip((16, 15), _MULTIPLIERS, strict=True):
        state = tf.bitwise.bitwise_xor(state, tf.bitwise.right_shift(state, tf.constant(shift, tf.uint32)))
        state *= tf.constant(multiplier, tf.uint32)
    return tf.bitwise.bitwise_xor(state, tf.bitwise.right_shift(state, tf.constant(16, tf.uint32)))
