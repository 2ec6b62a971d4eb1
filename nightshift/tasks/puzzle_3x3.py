"""A photograph cut in 3x3 tiles and shuffled: which of nine tiles lies where, and is it shuffled at all?"""

from nightshift.tasks.base import Augmentation, Preset, Task

TASK = Task(
    name="puzzle_3x3",
    summary="Put a picture of 3x3 shuffled tiles back in order",
    problem="puzzle",
    image_shape=(30, 30, 3),
    fit="reduce",
    labelled=False,
    grid=3,
    source="bundled:photographs",
    score="exact",
    validation_share=0.02,
    thresholds={"exact": 0.90, "valid": 1.0},
    presets={
        "default": Preset(
            network="seamnet",
            network_options={"strip": 4, "width": 48, "embed": 32},
            epochs=4,
            batch_size=125,
            optimizer="adamw",
            learning_rate=3e-3,
            schedule="one_cycle",
            weight_decay=1e-3,
            augmentation=Augmentation(flip=True, colour=0.4),
            jit_compile=True,
        ),
    },
)
