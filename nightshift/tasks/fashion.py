"""Pieces of clothing: Fashion-MNIST, ten classes. https://github.com/zalandoresearch/fashion-mnist"""

from nightshift.tasks.base import Augmentation, Preset, Task

TASK = Task(
    name="fashion",
    summary="Pieces of clothing, shoes and bags, ten kinds",
    problem="classification",
    image_shape=(28, 28, 1),
    classes=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    translations={
        "ko": ("티셔츠", "바지", "스웨터", "드레스", "코트", "샌달", "셔츠", "스니커즈", "가방", "앵클 부츠")
    },
    source="original:fashion_mnist",
    score="accuracy",
    thresholds={"accuracy": 0.88},
    # Shirts are the hardest: T-shirts, pullovers and coats look like them at this size.
    class_floor=0.5,
    presets={
        "default": Preset(
            network="compact_cnn",
            network_options={"width": 40, "dropout": 0.3, "views": 2},
            epochs=30,
            batch_size=128,
            optimizer="adamw",
            learning_rate=4e-3,
            schedule="one_cycle",
            weight_decay=0.02,
            label_smoothing=0.05,
            augmentation=Augmentation(flip=True, zoom=0.05, shift=0.07),
        ),
        # The tutorial's: up to 20 epochs of Adam at Keras's defaults, batch 32, stopped when two have not been better.
        "blog": Preset(
            network="fashion_cnn",
            network_options={"dropout": 0.4},
            epochs=20,
            batch_size=32,
            optimizer="adam",
            patience=2,
        ),
        # The other tutorial's: its MNIST network on these data, 4 epochs of Adam, batch 1024.
        "mnist_cnn": Preset(network="mnist_cnn", epochs=4, batch_size=1024, optimizer="adam"),
    },
)
