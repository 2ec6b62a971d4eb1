"""Random numbers that are a function of (seed, epoch, example), never of the worker, the batch or the order.

The example's 64-bit identifier is mixed with a 64-bit key by the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast
splittable pseudorandom number generators", OOPSLA 2014): statistically good, vectorised, the same on every machine.
"""

import hashlib

import tensorflow as tf

_MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def uniform(ids: tf.Tensor, seed: int, epoch: tf.Tensor | int, purpose: str) -> tf.Tensor:
    """Independent draws from [0, 1).

    Args:
        ids: int64 [B], the examples' identifiers.
        seed: of the run.
        epoch: int64 scalar; draws of different epochs are independent.
        purpose: what the draw is for; draws for different purposes are independent.

    Returns:
        float32 [B].
    """
    bits = tf.bitwise.right_shift(_hash(ids, seed, epoch, purpose), tf.constant(40, tf.uint64))
    return tf.cast(bits, tf.float32) / float(1 << 24)


def integers(ids: tf.Tensor, seed: int, epoch: tf.Tensor | int, purpose: str, bound: int) -> tf.Tensor:
    """Independent draws from 0 .. bound - 1, as int32 [B]; the bias is below bound / 2^63. Arguments as `uniform`."""
    bits = tf.bitwise.right_shift(_hash(ids, seed, epoch, purpose), tf.constant(1, tf.uint64))
    return tf.cast(tf.cast(bits, tf.int64) % bound, tf.int32)


def _hash(ids: tf.Tensor, seed: int, epoch: tf.Tensor | int, purpose: str) -> tf.Tensor:
    """uint64 [B]."""
    digest = hashlib.sha256(f"{seed}\0{purpose}".encode()).digest()
    key = tf.constant(int.from_bytes(digest[:8], "big"), tf.uint64)
    key = _mix(key + tf.cast(epoch, tf.uint64) * tf.constant(0x9E3779B97F4A7C15, tf.uint64))
    return _mix(tf.bitcast(ids, tf.uint64) + key)


def _mix(state: tf.Tensor) -> tf.Tensor:
    for shift, multiplier in zip((30, 27), _MULTIPLIERS, strict=True):
        state = tf.bitwise.bitwise_xor(state, tf.bitwise.right_shift(state, tf.constant(shift, tf.uint64)))
        state *= tf.constant(multiplier, tf.uint64)
    return tf.bitwise.bitwise_xor(state, tf.bitwise.right_shift(state, tf.constant(31, tf.uint64)))
