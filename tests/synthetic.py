"""Small tasks whose data are made up, and easy to learn."""

import numpy as np

from nightshift.tasks.base import Augmentation, Preset, Task

CORNERS = Task(
    name="corners",
    summary="Which quarter of a noisy picture is the bright one",
    problem="classification",
    image_shape=(12, 12, 1),
    classes=("north-west", "north-east", "south-west", "south-east"),
    source="",
    score="accuracy",
    thresholds={"accuracy": 0.9},
    class_floor=0.5,
    presets={
        # Dropout, batch normalisation, random changes and a schedule: all that a training has to bring back.
        "default": Preset(
            network="compact_cnn",
            network_options={"width": 4, "dropout": 0.2},
            epochs=4,
            batch_size=32,
            learning_rate=1e-2,
            schedule="one_cycle",
            weight_decay=0.01,
            label_smoothing=0.05,
            augmentation=Augmentation(rotation=5, zoom=0.05, shift=0.05),
        ),
        "plain": Preset(
            network="lenet",
            network_options={"n_channel_1": 4, "n_channel_2": 4, "n_dense": 8},
            epochs=2,
            batch_size=36,
            optimizer="adam",
            learning_rate=3e-3,
        ),
    },
)

TEXTURES = Task(
    name="textures",
    summary="Smooth pictures to be put together",
    problem="puzzle",
    image_shape=(16, 16, 3),
    labelled=False,
    source="",
    score="exact",
    thresholds={"exact": 0.5, "valid": 1.0},
    presets={
        "default": Preset(
            network="seamnet",
            network_options={"strip": 2, "width": 8, "embed": 8},
            epochs=2,
            batch_size=60,
            learning_rate=5e-3,
        ),
    },
)


def corners(train: int, test: int) -> dict[str, np.ndarray]:
    """Arrays in Keras's layout: noise, and one quarter brighter, which is the label."""
    random = np.random.default_rng(1)
    count = train + test
    labels = np.arange(count) % 4
    pixels = random.integers(0, 120, (count, 12, 12, 1))
    for row, column in np.ndindex(2, 2):
        part = pixels[labels == 2 * row + column, 6 * row : 6 * row + 6, 6 * column : 6 * column + 6]
        part += 80
        pixels[labels == 2 * row + column, 6 * row : 6 * row + 6, 6 * column : 6 * column + 6] = part
    return _layout(pixels.astype(np.uint8), labels, train)


def textures(train: int, test: int) -> dict[str, np.ndarray]:
    """Arrays in Keras's layout: sums of a few long waves, with a slope that tells up from down."""
    random = np.random.default_rng(2)
    count = train + test
    y, x = np.mgrid[:16, :16] / 16
    waves = random.uniform(-1.5, 1.5, (count, 4, 2, 1, 1)) * np.stack([y, x])
    phases = random.uniform(0, 2 * np.pi, (count, 4, 1, 1))
    brightness = np.sin(2 * np.pi * waves.sum(axis=2) + phases).mean(axis=1)
    colours = random.uniform(0.5, 1, (count, 1, 1, 3))
    pixels = 128 + colours * (60 * brightness + 60 * (y - 0.5))[..., None]
    return _layout(pixels.clip(0, 255).astype(np.uint8), np.zeros(count, np.int64), train)


def _layout(pixels: np.ndarray, labels: np.ndarray, train: int) -> dict[str, np.ndarray]:
    return {
        "x_train": pixels[:train],
        "y_train": labels[:train],
        "x_test": pixels[train:],
        "y_test": labels[train:],
    }
