"""The tutorial's network of two answers: which digit, and is it odd? One input, two outputs.

As published it reads pixels as 0 .. 255, without scaling, and its parity is linear in them.
"""

import keras
from keras import layers


def build(image_shape: tuple[int, int, int], outputs: int) -> keras.Model:
    """Two convolutions for the class, which sees the pixels again beside them; one sigmoid unit on the pixels alone.

    Args:
        image_shape: (H, W, C) of the uint8 images.
        outputs: classes, and two for a question with two answers.

    Returns:
        a network that answers logits [B, outputs], of the classes and then (0, z) of the question; softmax and sigmoid
        are left to the loss and the endpoint.
    """
    image = keras.Input(image_shape, dtype="uint8")
    pixels = layers.Rescaling(1.0)(image)
    features = pixels
    for filters in (64, 128):
        features = layers.Conv2D(filters, 3, activation="relu")(features)
        features = layers.MaxPool2D(2)(features)
    flat = layers.Flatten()(pixels)
    together = layers.Concatenate()([layers.Flatten()(features), flat])
    of_class = layers.Dense(outputs - 2, dtype="float32", name="num_out")(together)
    z = layers.Dense(1, dtype="float32", name="odd_out")(flat)
    # (0, z): a softmax over both is the sigmoid of z.
    logits = layers.Concatenate(dtype="float32")([of_class, keras.ops.pad(z, ((0, 0), (1, 0)))])
    return keras.Model(image, logits, name="digit_parity_cnn")
