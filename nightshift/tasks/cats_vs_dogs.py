"""Photographs of cats and dogs: 2,000 to learn from and 1,000 to be judged by, a part of Kaggle's Dogs vs. Cats."""

from nightshift.tasks.base import Augmentation, Preset, Task

TASK = Task(
    name="cats_vs_dogs",
    summary="Photographs of cats and dogs",
    problem="classification",
    image_shape=(150, 150, 3),
    classes=("cats", "dogs"),
    translations={"ko": ("고양이", "개")},
    # Its folders are `train` and `validation`; the latter becomes the test split.
    source="https://storage.googleapis.com/mledu-datasets/cats_and_dogs_filtered.zip",
    score="accuracy",
    thresholds={"accuracy": 0.65},
    class_floor=0.5,
    presets={
        # From scratch on so few photographs: a small network, changed photographs, many epochs. The last weights are
        # kept, since 200 photographs held out cannot tell one late epoch from the next.
        "default": Preset(
            network="residual_cnn",
            network_options={"width": 32, "stages": 3, "blocks": 2, "reduction": 4, "dropout": 0.3},
            epochs=180,
            batch_size=32,
            optimizer="adamw",
            learning_rate=2e-3,
            schedule="one_cycle",
            warmup=0.15,
            weight_decay=0.05,
            label_smoothing=0.1,
            keep="last",
            augmentation=Augmentation(flip=True, rotation=15, zoom=0.3, shift=0.1, colour=0.3),
        ),
        # The tutorial's first network: 15 epochs of Adam at Keras's defaults, batch 128, the photographs as they are.
        "blog": Preset(
            network="cats_cnn", network_options={"dropout": 0.0}, epochs=15, batch_size=128, optimizer="adam"
        ),
        # Its second: dropout, and photographs changed at random.
        "blog_dropout": Preset(
            network="cats_cnn",
            network_options={"dropout": 0.2},
            epochs=15,
            batch_size=128,
            optimizer="adam",
            augmentation=Augmentation(flip=True, rotation=45, zoom=0.5, shift=0.15),
        ),
    },
)
