"""Handwritten digits: MNIST, ten classes. https://yann.lecun.com/exdb/mnist/"""

from nightshift.tasks.base import Augmentation, Preset, Task

TASK = Task(
    name="digits",
    summary="Handwritten digits, 0 to 9",
    problem="classification",
    image_shape=(28, 28, 1),
    classes=tuple("0123456789"),
    source="bundled:mnist-5k",
    score="accuracy",
    thresholds={"accuracy": 0.95},
    class_floor=0.85,
    presets={
        "default": Preset(
            network="compact_cnn",
            network_options={"width": 20, "dropout": 0.2},
            epochs=15,
            batch_size=64,
            optimizer="adamw",
            learning_rate=4e-3,
            schedule="one_cycle",
            weight_decay=0.01,
            label_smoothing=0.05,
            augmentation=Augmentation(rotation=12, zoom=0.12, shift=0.08),
        ),
        # The LeNet of the tutorial: 10 epochs of Adam at Keras's defaults, batch 32.
        "blog": Preset(
            network="lenet",
            network_options={"n_channel_1": 16, "n_channel_2": 32, "n_dense": 32},
            epochs=10,
            batch_size=32,
            optimizer="adam",
        ),
        # The network of another tutorial, on pixels as 0 .. 255: 3 epochs of Adam, batch 1024.
        "mnist_cnn": Preset(network="mnist_cnn", epochs=3, batch_size=1024, optimizer="adam"),
    },
)
