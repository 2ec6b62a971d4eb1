"""A small convolutional network with batch normalisation that ends in global average pooling."""

import keras
from keras import layers


def build(image_shape: tuple[int, int, int], outputs: int, width: int, dropout: float) -> keras.Model:
    """Three stages of two 3x3 convolutions, each stage at half the resolution and with more filters.

    Args:
        image_shape: (H, W, C) of the uint8 images.
        outputs: classes.
        width: filters of the first stage; the others have twice and thrice as many.
        dropout: share of the pooled features left out in training.

    Returns:
        a network that answers logits [B, outputs].
    """
    image = keras.Input(image_shape, dtype="uint8")
    features = layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    for stage in (1, 2, 3):
        if stage > 1:
            features = layers.MaxPool2D(2, padding="same")(features)
        for _ in range(2):
            features = layers.Conv2D(stage * width, 3, padding="same", use_bias=False)(features)
            features = layers.BatchNormalization(momentum=0.9, synchronized=True)(features)
            features = layers.ReLU()(features)
    pooled = layers.Dropout(dropout)(layers.GlobalAveragePooling2D()(features))
    return keras.Model(image, layers.Dense(outputs, dtype="float32")(pooled), name="compact_cnn")
