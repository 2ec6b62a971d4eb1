"""The tutorial's puzzle network, "Shuffle_Finder": 194,832 parameters for four tiles of 32x32 pictures.

As published it reads pixels as 0 .. 255, without scaling, and its dense layers have no activation.
"""

import keras
from keras import layers

from nightshift.models.dropout import Dropout


def build(image_shape: tuple[int, int, int], outputs: int) -> keras.Model:
    """Five convolutions of 2x2, then three dense layers.

    Args:
        image_shape: (H, W, C) of the uint8 images.
        outputs: tiles, N.

    Returns:
        a network that answers logits [B, N, N] of tile t in slot k; the tutorial's softmax over the last axis is left
        to the loss and the endpoint.
    """
    stack = [keras.Input(image_shape, dtype="uint8"), layers.Rescaling(1.0)]
    for filters, pool in ((32, False), (16, True), (32, False), (16, True), (32, True)):
        stack += [
            layers.Conv2D(filters, 2, padding="same", activation="relu"),
            layers.BatchNormalization(synchronized=True),
        ]
        if pool:
            stack.append(layers.MaxPool2D(2))
    stack += [layers.Flatten(), Dropout(0.25)]
    for units in (300, 100):
        stack += [layers.Dense(units), Dropout(0.25)]
    stack += [
        layers.Dense(outputs * outputs, dtype="float32"),
        layers.Reshape((outputs, outputs), dtype="float32"),
    ]
    return keras.Sequential(stack, name="shuffle_finder")
