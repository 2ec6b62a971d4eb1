"""Builds a network by name."""

import importlib
import pkgutil
from collections.abc import Mapping

import keras

import nightshift.models
from nightshift.errors import ConfigurationError

NOT_NETWORKS = ("dropout", "networks")
"""Modules here without a function `build`."""


def build(
    name: str, image_shape: tuple[int, int, int], outputs: int, options: Mapping[str, int | float]
) -> keras.Model:
    """A new network from uint8 images [B, H, W, C] to logits; scaling is its first layer.

    Args:
        name: a module of `nightshift.models` with a function `build`.
        image_shape: (H, W, C).
        outputs: classes, or tiles of a puzzle.
        options: the network's own keyword arguments.

    Raises:
        ConfigurationError: no such network, or it cannot be built for that shape or with those options.
    """
    names = [m.name for m in pkgutil.iter_modules(nightshift.models.__path__) if m.name not in NOT_NETWORKS]
    if name not in names:
        raise ConfigurationError(f"--set network: found {name!r}, expected one of {', '.join(sorted(names))}")
    module = importlib.import_module(f"nightshift.models.{name}")
    try:
        model: keras.Model = module.build(image_shape, outputs, **options)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"network {name!r} cannot be built for images of {image_shape} with {dict(options)}: {error}"
        ) from error
    return model
