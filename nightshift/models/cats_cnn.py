"""The network of the tutorial on cats and dogs: 10,641,441 parameters for two classes of 150x150 photographs."""

import keras
from keras import layers

from nightshift.models.dropout import Dropout


def build(image_shape: tuple[int, int, int], outputs: int, dropout: float) -> keras.Model:
    """Three convolutions of 3x3 with pooling and two dense layers.

    Two classes share one output unit, as in the tutorial: its z is the logit of the second class against the first.

    Args:
        image_shape: (H, W, C) of the uint8 images.
        outputs: classes.
        dropout: share left out in training after the first and the last pooling; 0 is the tutorial's first network.

    Returns:
        a network that answers logits [B, outputs], (0, z) for two classes.
    """
    image = keras.Input(image_shape, dtype="uint8")
    features = layers.Rescaling(1 / 255)(image)
    for filters in (16, 32, 64):
        features = layers.Conv2D(filters, 3, padding="same", activation="relu")(features)
        features = layers.MaxPool2D(2)(features)
        if dropout and filters in (16, 64):
            features = Dropout(dropout)(features)
    hidden = layers.Dense(512, activation="relu")(layers.Flatten()(features))
    if outputs == 2:
        logits = keras.ops.pad(layers.Dense(1, dtype="float32")(hidden), ((0, 0), (1, 0)))
    else:
        logits = layers.Dense(outputs, dtype="float32")(hidden)
    return keras.Model(image, logits, name="cats_cnn")
