"""The MNIST network of the tutorial on convolutions, which it trains on Fashion-MNIST as well.

As published it reads pixels as 0 .. 255, without scaling.
"""

import keras
from keras import layers


def build(image_shape: tuple[int, int, int], outputs: int) -> keras.Model:
    """Two convolutions of 3x3 without padding, with pooling, and three dense layers.

    Args:
        image_shape: (H, W, C) of the uint8 images.
        outputs: classes.

    Returns:
        a network that answers logits [B, outputs]; the tutorial's softmax is left to the loss and the endpoint.
    """
    return keras.Sequential(
        [
            keras.Input(image_shape, dtype="uint8"),
            layers.Rescaling(1.0),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPool2D(2),
            layers.Conv2D(128, 3, activation="relu"),
            layers.MaxPool2D(2),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(64, activation="relu"),
            layers.Dense(outputs, dtype="float32"),
        ],
        name="mnist_cnn",
    )
