"""The tutorials' own way of doing things, written after their listings, to be measured beside ours in one run."""

import keras
import numpy as np
from keras import layers


def shuffle_puzzles(images: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cut and shuffle images one by one in Python: uint8 [N, 32, 32, 3] -> the same shape, and y, int [N, 4]."""
    shuffled, orders = [], []
    for image in images:
        order = random.permutation(4)
        quarters = np.array([image[0:16, 0:16], image[0:16, 16:32], image[16:32, 0:16], image[16:32, 16:32]])
        a, b, c, d = quarters[order]
        top, bottom = np.concatenate((a, b), axis=1), np.concatenate((c, d), axis=1)
        shuffled.append(np.concatenate((top, bottom), axis=0))
        orders.append(order)
    return np.array(shuffled), np.array(orders)


def shuffle_finder() -> keras.Model:
    """The puzzle network, compiled as in the post; trained with batches of 1000 for 20 epochs there."""
    model = keras.Sequential([keras.Input((32, 32, 3))])
    for filters, pool in ((32, False), (16, True), (32, False), (16, True), (32, True)):
        model.add(layers.Conv2D(filters, (2, 2), padding="same", activation="relu"))
        model.add(layers.BatchNormalization(axis=-1))
        if pool:
            model.add(layers.MaxPool2D((2, 2)))
    model.add(layers.Flatten())
    model.add(layers.Dropout(0.25))
    model.add(layers.Dense(300))
    model.add(layers.Dropout(0.25))
    model.add(layers.Dense(100))
    model.add(layers.Dropout(0.25))
    model.add(layers.Dense(16))
    model.add(layers.Reshape((4, 4)))
    model.add(layers.Softmax(axis=2))
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["acc"])
    return model
