"""The network of the tutorial on Fashion-MNIST: 333,526 parameters for ten classes of 28x28 grey images."""

import keras
from keras import layers

from nightshift.models.dropout import Dropout


def build(image_shape: tuple[int, int, int], outputs: int, dropout: float) -> keras.Model:
    """Two convolutions of 3x3 with pooling and two dense layers, dropout between them.

    Args:
        image_shape: (H, W, C) of the uint8 images.
        outputs: classes.
        dropout: share of the hidden dense layer's units left out in training; the tutorial's is 0.4.

    Returns:
        a network that answers logits [B, outputs]; the tutorial's softmax is left to the loss and the endpoint.
    """
    return keras.Sequential(
        [
            keras.Input(image_shape, dtype="uint8"),
            layers.Rescaling(1 / 255),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPool2D(2),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPool2D(2),
            layers.Flatten(),
            layers.Dense(100, activation="relu"),
            Dropout(dropout),
            layers.Dense(outputs, dtype="float32"),
        ],
        name="fashion_cnn",
    )
