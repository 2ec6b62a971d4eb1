"""Anybody's own images: a folder a class. Classes are read from the data, which have to be given."""

from nightshift.tasks.base import Augmentation, Preset, Task

TASK = Task(
    name="image_folder",
    summary="Your own images, one folder a class",
    problem="classification",
    image_shape=(128, 128, 3),
    source="",
    score="accuracy",
    # Cohen's kappa means the same for two classes as for hundreds: 0 is chance, 1 is all right.
    thresholds={"kappa": 0.5},
    presets={
        # A modest batch, since folders may be small.
        "default": Preset(
            network="compact_cnn",
            network_options={"width": 24, "dropout": 0.2},
            epochs=30,
            batch_size=32,
            optimizer="adamw",
            learning_rate=2e-3,
            schedule="one_cycle",
            weight_decay=0.02,
            label_smoothing=0.05,
            augmentation=Augmentation(flip=True, rotation=10, zoom=0.15, shift=0.1, colour=0.2),
        ),
    },
)
