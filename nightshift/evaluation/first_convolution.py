"""What a network's first convolution has learnt, and what it makes of one image: pictures of its kernels and maps."""

import math
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from PIL import Image

from nightshift.evaluation.architecture import Call, calls

MOST_FILTERS = 64
LARGEST_SIDE = 64
FOLLOWERS = (keras.layers.BatchNormalization, keras.layers.Activation, keras.layers.ReLU, keras.layers.LeakyReLU)


@dataclass(frozen=True)
class FirstConvolution:
    """Pictures of the first F filters, F at most MOST_FILTERS, and what is to be said of them.

    Attributes:
        facts: layer, filters (all there are), kernel, strides, padding, input and output ([height, width] each),
            then (names of the layers whose effect is in the maps), tiles (parts of the image it was applied to).
        image: uint8 [H, W, C], the image.
        kernels: uint8 [F, h, w, C], each from its least weight, 0, to its largest, 255.
        maps: uint8 [F, h, w], each from its least value to its largest, reduced to LARGEST_SIDE; tiles are put
            together as they lie in the image.
    """

    facts: dict[str, Any]
    image: np.ndarray
    kernels: np.ndarray
    maps: np.ndarray


def first_convolution(network: keras.Model, image: np.ndarray) -> FirstConvolution | None:
    """Look at a network's first convolution.

    Args:
        network: takes uint8 images [B, H, W, C].
        image: uint8 [H, W, C], of 1 or 3 channels.

    Returns:
        None if no convolution of two dimensions sees the image's channels.
    """
    graph = calls(network)
    found = _first(graph, image.shape[2])
    if found is None:
        return None
    layer, last, then = graph[found].layer, *_followed(graph, found)
    maps = np.asarray(keras.Model(network.inputs[0], graph[last].leaves)(image[None], training=False), np.float32)
    kernels = np.asarray(layer.kernel, np.float32)
    facts = {
        "layer": layer.name,
        "filters": int(layer.filters),
        "kernel": list(layer.kernel_size),
        "strides": list(layer.strides),
        "padding": layer.padding,
        "input": [int(size) for size in graph[found].arrives.shape[1:3]],
        "output": [int(size) for size in maps.shape[1:3]],
        "then": then,
        "tiles": len(maps) if _square(len(maps)) else 1,
    }
    whole = _put_together(maps[..., :MOST_FILTERS])
    return FirstConvolution(
        facts,
        image,
        np.stack([_picture(kernel) for kernel in np.moveaxis(kernels[..., :MOST_FILTERS], -1, 0)]),
        np.stack([_reduced(_picture(one)) for one in np.moveaxis(whole, -1, 0)]),
    )


def _first(graph: list[Call], channels: int) -> int | None:
    """The convolution of the image's own channels that has the largest maps: others look at its margins only."""
    sizes = {
        place: math.prod(call.leaves.shape[1:3])
        for place, call in enumerate(graph)
        if isinstance(call.layer, keras.layers.Conv2D)
        and call.arrives.shape[-1] == channels
        and None not in call.leaves.shape[1:3]
    }
    return max(sizes, key=lambda place: (sizes[place], -place), default=None)


def _followed(graph: list[Call], place: int) -> tuple[int, list[str]]:
    """The last of the normalisations and activations that alone take what a call gives, and the names of all."""
    own = keras.activations.serialize(graph[place].layer.activation)
    names = [] if own == "linear" else [str(own)]
    while True:
        takers = [taker for taker, call in enumerate(graph) if place in call.inputs]
        if len(takers) != 1 or not isinstance(graph[takers[0]].layer, FOLLOWERS):
            return place, names
        (place,) = takers
        names.append(type(graph[place].layer).__name__)


def _put_together(maps: np.ndarray) -> np.ndarray:
    """[N, h, w, F] of a square number N of tiles, row by row -> [sqrt(N) h, sqrt(N) w, F]; the first of any other N."""
    if not _square(len(maps)):
        return maps[0]
    side = math.isqrt(len(maps))
    return np.concatenate([np.concatenate(maps[row * side :][:side], axis=1) for row in range(side)], axis=0)


def _square(count: int) -> bool:
    return math.isqrt(count) ** 2 == count


def _picture(values: np.ndarray) -> np.ndarray:
    """Values from the least, 0, to the largest, 255, as uint8; all 0 where they are equal."""
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) * (255 / (high - low)) if high > low else np.zeros_like(values)
    return np.round(scaled).astype(np.uint8)


def _reduced(picture: np.ndarray) -> np.ndarray:
    reduced = Image.fromarray(picture)
    reduced.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.BOX)
    return np.asarray(reduced)
