"""The LeNet of the tutorial on rock, paper, scissors and digits (after LeCun et al., Proc. IEEE 86(11), 1998)."""

import keras
from keras import layers


def build(
    image_shape: tuple[int, int, int], outputs: int, n_channel_1: int, n_channel_2: int, n_dense: int
) -> keras.Model:
    """Two convolutions of 3x3 with pooling and two dense layers.

    Args:
        image_shape: (H, W, C) of the uint8 images.
        outputs: classes.
        n_channel_1: filters of the first convolution.
        n_channel_2: filters of the second.
        n_dense: units of the hidden dense layer.

    Returns:
        a network that answers logits [B, outputs]; the tutorial's softmax is left to the loss and the endpoint.
    """
    return keras.Sequential(
        [
            keras.Input(image_shape, dtype="uint8"),
            layers.Rescaling(1 / 255),
            layers.Conv2D(n_channel_1, 3, activation="relu"),
            layers.MaxPool2D(2),
            layers.Conv2D(n_channel_2, 3, activation="relu"),
            layers.MaxPool2D(2),
            layers.Flatten(),
            layers.Dense(n_dense, activation="relu"),
            layers.Dense(outputs, dtype="float32"),
        ],
        name="lenet",
    )
