"""A small residual network with batch normalisation that ends in global average pooling.

After He et al., "Deep residual learning for image recognition", CVPR 2016, with the shortcuts averaged before they are
projected, as in He et al., "Bag of tricks for image classification with convolutional neural networks", CVPR 2019.
"""

from typing import Any

import keras
from keras import layers

from nightshift.models.dropout import Dropout


def build(
    image_shape: tuple[int, int, int],
    outputs: int,
    width: int,
    stages: int,
    blocks: int,
    reduction: int,
    dropout: float,
) -> keras.Model:
    """A stem that reduces the picture, then stages of residual blocks, each at half the resolution and twice the width.

    Args:
        image_shape: (H, W, C) of the uint8 images.
        outputs: classes.
        width: filters of the first stage; the stem has half as many.
        stages: how many there are.
        blocks: of two 3x3 convolutions, in each stage.
        reduction: of height and width by the stem, 1, 2 or 4.
        dropout: share of the pooled features left out in training.

    Returns:
        a network that answers logits [B, outputs].
    """
    if reduction not in (1, 2, 4):
        raise ValueError(f"reduction: found {reduction}, expected 1, 2 or 4")
    image = keras.Input(image_shape, dtype="uint8")
    scaled = layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    features = layers.ReLU()(_convolution(scaled, max(1, width // 2), strides=2 if reduction == 4 else 1))
    if reduction > 1:
        features = layers.MaxPool2D(2, padding="same")(features)
    for stage in range(stages):
        for block in range(blocks):
            features = _block(features, width * 2**stage, strides=2 if stage and not block else 1)
    pooled = Dropout(dropout)(layers.GlobalAveragePooling2D()(features))
    return keras.Model(image, layers.Dense(outputs, dtype="float32")(pooled), name="residual_cnn")


def _block(features: Any, width: int, strides: int) -> Any:
    inner = layers.ReLU()(_convolution(features, width, strides=strides))
    inner = _convolution(inner, width)
    if strides > 1:
        features = layers.AveragePooling2D(strides, padding="same")(features)
    if features.shape[-1] != width:
        features = _convolution(features, width, size=1)
    return layers.ReLU()(layers.Add()([features, inner]))


def _convolution(features: Any, width: int, size: int = 3, strides: int = 1) -> Any:
    features = layers.Conv2D(width, size, strides=strides, padding="same", use_bias=False)(features)
    return layers.BatchNormalization(momentum=0.9, synchronized=True)(features)
