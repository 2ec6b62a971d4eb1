"""Random changes of training images, a whole batch at a time."""

import math
from collections.abc import Callable

import tensorflow as tf

from nightshift.data.randomness import uniform
from nightshift.tasks.base import Augmentation

GREY = 127


def augment(
    images: tf.Tensor, ids: tf.Tensor, augmentation: Augmentation, seed: int, epoch: tf.Tensor | int
) -> tf.Tensor:
    """Flip, move, colour and erase parts of every image by amounts of its own; what comes in at an edge repeats it.

    Args:
        images: uint8 [B, H, W, C].
        ids: int64 [B], the examples' identifiers.
        augmentation: which changes, how far.
        seed: of the run.
        epoch: int64 scalar; every epoch draws anew.

    Returns:
        uint8 [B, H, W, C].
    """
    if augmentation == Augmentation():
        return images

    def draw(purpose: str) -> tf.Tensor:
        return 2 * uniform(ids, seed, epoch, purpose) - 1

    if augmentation.flip:
        images = tf.where(draw("flip")[:, None, None, None] < 0, images[:, :, ::-1], images)
    if augmentation.rotation or augmentation.zoom or augmentation.shift:
        images = _moved(images, augmentation, draw)
    if augmentation.colour:
        images = _coloured(images, augmentation.colour, draw)
    return _erased(images, augmentation.erase, draw) if augmentation.erase else images


def _moved(images: tf.Tensor, augmentation: Augmentation, draw: Callable[[str], tf.Tensor]) -> tf.Tensor:
    """Turned, scaled and shifted, uint8 [B, H, W, C].

    The amounts are of double precision. The last bit of a cosine or a reciprocal depends on where in its batch it is
    computed, by a vector instruction or among the rest; in single precision it showed in pixels that lie between two
    levels, and workers that share a batch trained on other pictures than one.
    """

    def amount(purpose: str, most: float) -> tf.Tensor:
        return tf.cast(draw(purpose), tf.float64) * most

    angle = amount("rotation", math.radians(augmentation.rotation))
    scale = 1 / (1 + amount("zoom", augmentation.zoom))
    shift_x, shift_y = amount("shift x", augmentation.shift), amount("shift y", augmentation.shift)
    return tf.cast(tf.round(_affine(tf.cast(images, tf.float32), angle, scale, shift_x, shift_y)), tf.uint8)


def _coloured(images: tf.Tensor, share: float, draw: Callable[[str], tf.Tensor]) -> tf.Tensor:
    """Each channel with a contrast and a brightness of its own, uint8 [B, H, W, C]."""

    def channels(purpose: str) -> tf.Tensor:
        draws = [draw(f"{purpose} {channel}") for channel in range(images.shape[3])]
        return tf.stack(draws, axis=1)[:, None, None, :]

    changed = tf.cast(images, tf.float32) * (1 + share * channels("contrast")) + share * 64 * channels("brightness")
    return tf.cast(tf.clip_by_value(tf.round(changed), 0, 255), tf.uint8)


def _erased(images: tf.Tensor, share: float, draw: Callable[[str], tf.Tensor]) -> tf.Tensor:
    """A rectangle of each, as far as it lies inside, in mid-grey: Zhong et al., "Random erasing", AAAI 2020."""

    def inside(pixels: int, axis: str) -> tf.Tensor:
        """bool [B, pixels]: half a side of up to `share` either way of a centre that lies anywhere."""
        half = pixels * share * (draw(f"erase size {axis}") + 1) / 4
        centre = pixels * (draw(f"erase {axis}") + 1) / 2
        return tf.abs(tf.range(pixels, dtype=tf.float32) + 0.5 - centre[:, None]) < half[:, None]

    erased = inside(images.shape[1], "y")[:, :, None] & inside(images.shape[2], "x")[:, None, :]
    return tf.where(erased[..., None], tf.constant(GREY, tf.uint8), images)


def _affine(images: tf.Tensor, angle: tf.Tensor, scale: tf.Tensor, shift_x: tf.Tensor, shift_y: tf.Tensor) -> tf.Tensor:
    """Sample each image, float32 [B, H, W, C], along axes turned, scaled and moved about its centre, bilinearly.

    How far each is turned (radians), scaled and moved (shares of a side) is float64 [B].
    """
    height, width = images.shape[1], images.shape[2]
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    cosine, sine = scale * tf.cos(angle), scale * tf.sin(angle)
    offset_x = centre_x - cosine * centre_x + sine * centre_y + shift_x * width
    offset_y = centre_y - sine * centre_x - cosine * centre_y + shift_y * height
    zero = tf.zeros_like(angle)
    transforms = tf.stack([cosine, -sine, offset_x, sine, cosine, offset_y, zero, zero], axis=1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.cast(transforms, tf.float32),
        output_shape=(height, width),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )
