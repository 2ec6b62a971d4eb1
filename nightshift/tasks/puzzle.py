"""A photograph cut in 2x2 tiles and shuffled: which tile lies where, and is it shuffled at all?"""

from nightshift.tasks.base import Augmentation, Preset, Task

TASK = Task(
    name="puzzle",
    summary="Put a picture of 2x2 shuffled tiles back in order",
    problem="puzzle",
    image_shape=(32, 32, 3),
    fit="crop",
    labelled=False,
    source="bundled:photographs",
    score="exact",
    # Each picture is a new puzzle every time, so that a few tell how good a network is; the tutorial holds out none.
    validation_share=0.02,
    thresholds={"exact": 0.90, "valid": 1.0},
    presets={
        "default": Preset(
            network="seamnet",
            network_options={"strip": 4, "width": 48, "embed": 32},
            epochs=6,
            batch_size=250,
            optimizer="adamw",
            learning_rate=3e-3,
            schedule="one_cycle",
            weight_decay=1e-3,
            augmentation=Augmentation(flip=True, colour=0.4),
            jit_compile=True,
        ),
        # The tutorial's Shuffle_Finder: 20 epochs of Adam at Keras's defaults, batch 1000.
        "blog": Preset(network="shuffle_finder", epochs=20, batch_size=1000, optimizer="adam"),
    },
)
