"""Photographs of hands that play rock, paper, scissors. https://www.tensorflow.org/datasets/catalog/rock_paper_scissors"""

from nightshift.tasks.base import Augmentation, Preset, Task

TASK = Task(
    name="rock_paper_scissors",
    summary="Hands that play rock, paper, scissors",
    problem="classification",
    # The tutorial's size; hands can be told apart at it.
    image_shape=(28, 28, 3),
    classes=("rock", "paper", "scissors"),
    translations={"ko": ("바위", "보", "가위")},
    source="https://storage.googleapis.com/download.tensorflow.org/data/rps.zip",
    score="accuracy",
    thresholds={"accuracy": 0.95},
    class_floor=0.9,
    presets={
        "default": Preset(
            network="compact_cnn",
            network_options={"width": 20, "dropout": 0.2},
            epochs=20,
            batch_size=32,
            optimizer="adamw",
            learning_rate=4e-3,
            schedule="one_cycle",
            weight_decay=0.01,
            label_smoothing=0.05,
            augmentation=Augmentation(flip=True, rotation=15, zoom=0.12, shift=0.08, colour=0.2),
        ),
        # The LeNet of the tutorial: 10 epochs of Adam at Keras's defaults, batch 32.
        "blog": Preset(
            network="lenet",
            network_options={"n_channel_1": 16, "n_channel_2": 32, "n_dense": 32},
            epochs=10,
            batch_size=32,
            optimizer="adam",
        ),
    },
)
