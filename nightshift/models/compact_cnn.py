"""A small convolutional network with batch normalisation that ends in global average pooling."""

from typing import Any

import keras
from keras import layers, ops

from nightshift.models.dropout import Dropout


@keras.saving.register_keras_serializable("nightshift")
class AddMirrored(layers.Layer):
    """Images [B, H, W, C] -> the same, then their mirror images, [2 B, H, W, C]; in training the images alone."""

    def call(self, images: Any, training: bool = False) -> Any:
        """Mirror left to right."""
        return images if training else ops.concatenate([images, ops.flip(images, axis=2)], axis=0)


@keras.saving.register_keras_serializable("nightshift")
class MeanOfMirrored(layers.Layer):
    """Logits [2 B, outputs] of images and mirror images -> their means, [B, outputs]; in training as they are."""

    def call(self, logits: Any, training: bool = False) -> Any:
        """Average."""
        return logits if training else ops.mean(ops.stack(ops.split(logits, 2, axis=0)), axis=0)


def build(image_shape: tuple[int, int, int], outputs: int, width: int, dropout: float, views: int = 1) -> keras.Model:
    """Three stages of two 3x3 convolutions, each stage at half the resolution and with more filters.

    Args:
        image_shape: (H, W, C) of the uint8 images.
        outputs: classes.
        width: filters of the first stage; the others have twice and thrice as many.
        dropout: share of the pooled features left out in training.
        views: 1, or 2 to answer with the mean of the logits of the image and of its mirror image, at twice the work,
            where a mirror image is of the same class: Krizhevsky et al., "ImageNet classification with deep
            convolutional neural networks", NIPS 2012, section 4.1.

    Returns:
        a network that answers logits [B, outputs].
    """
    if views not in (1, 2):
        raise ValueError(f"views: found {views}, expected 1 or 2")
    image = keras.Input(image_shape, dtype="uint8")
    seen = AddMirrored()(image) if views == 2 else image
    features = layers.Rescaling(1 / 127.5, offset=-1.0)(seen)
    for stage in (1, 2, 3):
        if stage > 1:
            features = layers.MaxPool2D(2, padding="same")(features)
        for _ in range(2):
            features = layers.Conv2D(stage * width, 3, padding="same", use_bias=False)(features)
            features = layers.BatchNormalization(momentum=0.9, synchronized=True)(features)
            features = layers.ReLU()(features)
    pooled = Dropout(dropout)(layers.GlobalAveragePooling2D()(features))
    logits = layers.Dense(outputs, dtype="float32")(pooled)
    if views == 2:
        logits = MeanOfMirrored(dtype="float32")(logits)
    return keras.Model(image, logits, name="compact_cnn")
