"""A real detector on a machine that has nothing but packages: the three networks of the package mtcnn as a SavedModel.

Zhang et al., "Joint face detection and alignment using multitask cascaded convolutional networks", 2016; weights and
numbers are those of the package (MIT licence), whose pyramid, crops and suppression run in Python. Here all of it is
one graph of TensorFlow's own ops, in the form of the object detectors that TensorFlow Hub publishes.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import tensorflow as tf

from nightshift.data.bundled import package_folder

SIGNATURE = "default"
ENTITY = "Human face"

CELL, STRIDE = 12, 2
"""Pixels that the first network sees, and by how many it moves on."""

SMALLEST_FACE = 20
SCALE_STEP = 0.709
PROPOSAL, REFINED, FINAL = 0.6, 0.7, 0.8
"""The least score after each of the networks."""

IN_SCALE, ACROSS_SCALES = 0.5, 0.7
"""Overlaps above these are one face."""

MOST_PROPOSALS = 2048
"""Of a scale, and of all: the matrix of overlaps has the square of it. The package has no such bound."""

MOST_PIXELS = 4_000_000
"""Larger images are made smaller first: the activations of 50 million pixels take gigabytes. Nor has it this one."""


class Found(NamedTuple):
    """Boxes [N, 4] as x1, y1, x2, y2 in pixels, and their scores [N], best first."""

    boxes: tf.Tensor
    scores: tf.Tensor


def save_face_detector(folder: Path) -> None:
    """Write the SavedModel: signature `default`, images float32 [1, H, W, 3] of 0 to 1.

    It answers detection_boxes float32 [N, 4] (ymin, xmin, ymax, xmax as shares of the image), detection_scores float32
    [N], detection_class_entities string [N], and detection_landmarks float32 [N, 5, 2] (y, x: left and right eye, nose,
    left and right corner of the mouth).

    Raises:
        DataError: the package mtcnn is not installed.
    """
    detector = FaceDetector()
    tf.saved_model.save(detector, str(folder), signatures={SIGNATURE: detector.detect})


class FaceDetector(tf.Module):
    """The networks' weights, and the function that uses them."""

    def __init__(self) -> None:
        super().__init__()
        self._proposal, self._refinement, self._output = (_weights(name) for name in ("pnet", "rnet", "onet"))

    @tf.function(input_signature=[tf.TensorSpec((1, None, None, 3), tf.float32, "images")])
    def detect(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """See `save_face_detector`."""
        image = _normalised(images)
        proposed = self._proposals(image)
        boxes = _squares(self._refined(image, proposed).boxes)
        shifts, points, scores = _asked(_output_network, self._output, _crops(image, boxes, 48))
        landmarks = _landmarks(boxes, points)
        found, order = _best(Found(_shifted(boxes, shifts), scores), FINAL)
        kept = _kept(found, ACROSS_SCALES, of_smaller=True)
        boxes, landmarks = found.boxes[kept], tf.gather(landmarks, order)[kept]
        height, width = _size(image)
        limits = tf.stack([width, height, width, height]) - 1
        left, top, right, bottom = tf.unstack(tf.clip_by_value(boxes, 0.0, limits), axis=1)
        return {
            "detection_boxes": tf.stack([top / height, left / width, bottom / height, right / width], axis=1),
            "detection_scores": found.scores[kept],
            "detection_class_entities": tf.fill([tf.shape(boxes)[0]], ENTITY),
            "detection_landmarks": landmarks / tf.stack([height, width]),
        }

    def _proposals(self, image: tf.Tensor) -> tf.Tensor:
        """Square boxes [N, 4] where the first network, at any scale of the image, suspects a face."""

        def one_scale(index: tf.Tensor, boxes: tf.Tensor, scores: tf.Tensor) -> tuple[tf.Tensor, ...]:
            scale = CELL / SMALLEST_FACE * tf.constant(SCALE_STEP, tf.float64) ** tf.cast(index, tf.float64)
            size = tf.cast(tf.cast(tf.shape(image)[1:3], tf.float64) * scale, tf.int32)
            shifts, heat = _proposal_network(self._proposal, tf.image.resize(image, size, method="area"))
            found, _ = _best(_cells(shifts[0], heat[0]), PROPOSAL)
            kept = _kept(found, IN_SCALE)
            in_image = found.boxes[kept] / tf.cast(scale, tf.float32)
            return index + 1, tf.concat([boxes, in_image], 0), tf.concat([scores, found.scores[kept]], 0)

        count = _scales(image)
        _, boxes, scores = tf.while_loop(
            lambda index, *_: index < count,
            one_scale,
            (tf.constant(0), tf.zeros((0, 4)), tf.zeros((0,))),
            shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, 4]), tf.TensorShape([None])),
            parallel_iterations=1,  # one scale's activations in memory at a time
        )
        found, _ = _best(Found(boxes, scores), PROPOSAL)
        return _squares(found.boxes[_kept(found, ACROSS_SCALES)])

    def _refined(self, image: tf.Tensor, boxes: tf.Tensor) -> Found:
        """What the second network leaves of the boxes, and how it moves them."""
        shifts, scores = _asked(_refinement_network, self._refinement, _crops(image, boxes, 24))
        found, _ = _best(Found(_shifted(boxes, shifts), scores), REFINED)
        kept = _kept(found, ACROSS_SCALES)
        return Found(found.boxes[kept], found.scores[kept])


def _weights(network: str) -> list[tf.Variable]:
    """A network's arrays in the order of its layers: kernel, bias and slopes of each."""
    # The file is a pickle, which can run anything: it comes in a package from the index, locked by hash, as the code
    # of every package does. It is read here alone; a server gets the SavedModel.
    arrays: Sequence[np.ndarray] = joblib.load(package_folder("mtcnn") / "assets" / "weights" / f"{network}.lz4")
    return [tf.Variable(array, trainable=False, dtype=tf.float32) for array in arrays]


def _normalised(images: tf.Tensor) -> tf.Tensor:
    """[1, H, W, 3] of about -1 to 1, at most MOST_PIXELS."""
    size = tf.cast(tf.shape(images)[1:3], tf.float32)
    share = tf.sqrt(MOST_PIXELS / tf.reduce_prod(size))
    smaller = tf.cast(tf.maximum(size * share, 1), tf.int32)
    fitting = tf.cond(share < 1, lambda: tf.image.resize(images, smaller, method="area"), lambda: images)
    return (tf.ensure_shape(fitting, (1, None, None, 3)) * 255 - 127.5) / 128


def _size(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Height and width, float32."""
    size = tf.cast(tf.shape(image), tf.float32)
    return size[1], size[2]


def _scales(image: tf.Tensor) -> tf.Tensor:
    """How many scales there are until the shorter side is as small as what the first network sees."""
    shorter = tf.cast(tf.reduce_min(tf.shape(image)[1:3]), tf.float64)
    steps = tf.math.log(shorter / CELL) / tf.math.log(tf.constant(SCALE_STEP, tf.float64)) + 1
    return tf.cast(tf.round(-steps), tf.int32)


def _cells(shifts: tf.Tensor, heat: tf.Tensor) -> Found:
    """The first network's answer, [H, W, 4] and [H, W], as boxes [H x W, 4] in the scaled image."""
    rows, columns = tf.meshgrid(tf.range(tf.shape(heat)[0]), tf.range(tf.shape(heat)[1]), indexing="ij")
    corner = tf.cast(tf.stack([columns, rows], axis=-1) * STRIDE, tf.float32)
    boxes = tf.concat([corner + 1, corner + CELL], axis=-1) + shifts * (CELL - 1)
    return Found(tf.reshape(boxes, (-1, 4)), tf.reshape(heat, (-1,)))


def _best(found: Found, least: float) -> tuple[Found, tf.Tensor]:
    """The boxes above a score, best first and at most MOST_PROPOSALS; and their places in what was given."""
    above = tf.where(found.scores > least)[:, 0]
    scores, order = tf.math.top_k(tf.gather(found.scores, above), tf.minimum(tf.size(above), MOST_PROPOSALS))
    places = tf.gather(above, order)
    return Found(tf.gather(found.boxes, places), scores), places


def _kept(found: Found, threshold: float, *, of_smaller: bool = False) -> tf.Tensor:
    """Which boxes, bool [N], no better one overlaps by more than the threshold.

    Unlike tf.image.non_max_suppression a box that is itself suppressed suppresses others, and with `of_smaller` the
    overlap is a share of the smaller box, instead of the union: both as in the package.
    """
    left, top, right, bottom = (found.boxes[:, None, side] for side in range(4))
    across = tf.minimum(right, right[:, 0]) - tf.maximum(left, left[:, 0])
    down = tf.minimum(bottom, bottom[:, 0]) - tf.maximum(top, top[:, 0])
    shared = tf.maximum(across, 0) * tf.maximum(down, 0)
    area = (right - left) * (bottom - top)
    whole = tf.minimum(area, area[:, 0]) if of_smaller else area + area[:, 0] - shared
    rank = tf.range(tf.shape(area)[0])
    suppressed = tf.logical_and(shared / whole > threshold, rank[:, None] < rank)
    return tf.logical_not(tf.reduce_any(suppressed, axis=0))


def _squares(boxes: tf.Tensor) -> tf.Tensor:
    """Boxes made as wide as high about their middle."""
    size = boxes[:, 2:] - boxes[:, :2]
    side = tf.reduce_max(size, axis=1, keepdims=True)
    corner = boxes[:, :2] + size / 2 - side / 2
    return tf.concat([corner, corner + side], axis=1)


def _shifted(boxes: tf.Tensor, shifts: tf.Tensor) -> tf.Tensor:
    """Boxes moved by shares of their size, [N, 4]; the package counts the last pixel to a box here."""
    size = boxes[:, 2:] - boxes[:, :2] + 1
    return boxes + shifts * tf.concat([size, size], axis=1)


def _landmarks(boxes: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
    """Five points as shares of a box, [N, 10] (all x, then all y), in pixels: [N, 5, 2] of y, x."""
    size = boxes[:, None, 2:] - boxes[:, None, :2] + 1
    x_and_y = tf.stack([points[:, :5], points[:, 5:]], axis=2) * size + boxes[:, None, :2] - 1
    return tf.reverse(x_and_y, axis=[2])


def _crops(image: tf.Tensor, boxes: tf.Tensor, side: int) -> tf.Tensor:
    """[N, side, side, 3]; black where a box leaves the image."""
    height, width = _size(image)
    left, top, right, bottom = tf.unstack(boxes, axis=1)
    relative = tf.stack([top / height, left / width, bottom / height, right / width], axis=1)
    return tf.image.crop_and_resize(image, relative, tf.zeros([tf.shape(boxes)[0]], tf.int32), (side, side))


def _asked(network: Callable[..., tuple[tf.Tensor, ...]], weights: Sequence[Any], crops: tf.Tensor) -> Any:
    """A network's answers, with one more crop on the way: its convolutions fail on a batch of none."""
    one_more = tf.concat([crops, tf.zeros((1, *crops.shape[1:]))], axis=0)
    return tuple(answer[:-1] for answer in network(weights, one_more))


def _proposal_network(weights: Sequence[Any], images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """P-Net on images of any size: shifts [B, h, w, 4] and scores [B, h, w] of every cell."""
    x = _pool(_layer(images, *weights[:3]), 2, "SAME")
    x = _layer(_layer(x, *weights[3:6]), *weights[6:9])
    return _conv(x, *weights[9:11]), tf.nn.softmax(_conv(x, *weights[11:13]))[..., 1]


def _refinement_network(weights: Sequence[Any], images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """R-Net on [B, 24, 24, 3]: shifts [B, 4] and scores [B]."""
    x = _pool(_layer(images, *weights[:3]), 3, "SAME")
    x = _pool(_layer(x, *weights[3:6]), 3, "VALID")
    x = _dense(_flat(_layer(x, *weights[6:9])), *weights[9:12])
    return _linear(x, *weights[12:14]), tf.nn.softmax(_linear(x, *weights[14:16]))[:, 1]


def _output_network(weights: Sequence[Any], images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """O-Net on [B, 48, 48, 3]: shifts [B, 4], landmarks [B, 10] and scores [B]."""
    x = _pool(_layer(images, *weights[:3]), 3, "SAME")
    x = _pool(_layer(x, *weights[3:6]), 3, "VALID")
    x = _pool(_layer(x, *weights[6:9]), 2, "SAME")
    x = _dense(_flat(_layer(x, *weights[9:12])), *weights[12:15])
    shifts, points = _linear(x, *weights[15:17]), _linear(x, *weights[17:19])
    return shifts, points, tf.nn.softmax(_linear(x, *weights[19:21]))[:, 1]


def _conv(x: tf.Tensor, kernel: Any, bias: Any) -> tf.Tensor:
    return tf.nn.conv2d(x, kernel, strides=1, padding="VALID") + bias


def _linear(x: tf.Tensor, kernel: Any, bias: Any) -> tf.Tensor:
    return tf.matmul(x, kernel) + bias


def _prelu(x: tf.Tensor, slopes: Any) -> tf.Tensor:
    return tf.nn.relu(x) - slopes * tf.nn.relu(-x)


def _layer(x: tf.Tensor, kernel: Any, bias: Any, slopes: Any) -> tf.Tensor:
    return _prelu(_conv(x, kernel, bias), slopes)


def _dense(x: tf.Tensor, kernel: Any, bias: Any, slopes: Any) -> tf.Tensor:
    return _prelu(_linear(x, kernel, bias), slopes)


def _pool(x: tf.Tensor, side: int, padding: str) -> tf.Tensor:
    return tf.nn.max_pool2d(x, side, strides=2, padding=padding)


def _flat(x: tf.Tensor) -> tf.Tensor:
    """[B, H, W, C] as [B, W x H x C]: the weights come from a framework that stores columns first."""
    height, width, channels = x.shape[1:]
    return tf.reshape(tf.transpose(x, (0, 2, 1, 3)), (-1, height * width * channels))
