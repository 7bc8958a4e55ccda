"""Keras' own example for MNIST (keras.io, "Simple MNIST convnet"): its network, Adam, 15 epochs of batches
of 128.
"""

from __future__ import annotations

import sys

import keras
import numpy as np
from keras import layers
from said import Clock


def main(path: str) -> None:
    arrays = np.load(path)
    images, tests = (arrays[name].astype("float32")[..., None] / 255 for name in ("images", "test_images"))
    labels, answers = (keras.utils.to_categorical(arrays[name], 10) for name in ("labels", "test_labels"))
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, kernel_size=(3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Conv2D(64, kernel_size=(3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    model.train_on_batch(images[:128], labels[:128])  # compiles
    clock = Clock()
    for _ in range(15):
        model.fit(images, labels, batch_size=128, epochs=1, verbose=0)
        clock.measured(lambda: model.evaluate(tests, answers, verbose=0)[1])


if __name__ == "__main__":
    main(sys.argv[3])
