"""Keras 3 as in its examples: `compile` and `fit`; an environment variable selects the backend."""

from __future__ import annotations

import keras
import numpy as np
from workloads import LSTM, MLP, Workload


class Side:
    def __init__(self, workload: Workload, arrays: dict[str, np.ndarray]):
        self.workload = workload
        self.x, self.y = examples(workload, arrays)
        self.tx, self.ty = examples(workload, {k[5:]: v for k, v in arrays.items() if k.startswith("test_")})
        rows = min(len(self.x), workload.batch * workload.steps)
        self.x, self.y = self.x[:rows], self.y[:rows]
        self.model = MAKE[workload.name]()
        self.model.compile(
            keras.optimizers.Adam(workload.lr), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        )

    def prepare(self, seed: int) -> None:
        """Set new weights in the same model, so that nothing is compiled again."""
        keras.utils.set_random_seed(seed)
        fresh = MAKE[self.workload.name]()
        self.model.set_weights(fresh.get_weights())
        for variable in self.model.optimizer.variables:
            if variable is not self.model.optimizer.learning_rate:
                variable.assign(np.zeros(variable.shape, variable.dtype))

    def train(self) -> None:
        self.model.fit(self.x, self.y, batch_size=self.workload.batch, epochs=1, verbose=0)

    def evaluate(self) -> float:
        return float(self.model.evaluate(self.tx, self.ty, batch_size=self.workload.batch, verbose=0))


def examples(workload: Workload, arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    if workload.data == "imdb":
        rows = np.split(arrays["tokens"], np.cumsum(arrays["lengths"])[:-1])
        padded = keras.utils.pad_sequences(rows, maxlen=LSTM["longest"], padding="post", truncating="post")
        return padded, arrays["labels"]
    images = arrays["inputs"]
    flat = workload.name.startswith("mlp")
    return (images.reshape(len(images), -1) if flat else images.transpose(0, 2, 3, 1)), arrays["targets"]


def like_torch() -> dict[str, keras.initializers.Initializer]:
    """Initialize weights as PyTorch does, so that losses can be compared."""
    return {
        "kernel_initializer": keras.initializers.VarianceScaling(1 / 3, mode="fan_in", distribution="uniform")
    }


def mlp() -> keras.Model:
    layers, begin = keras.layers, like_torch()
    a, b, c, d = MLP
    return keras.Sequential(
        [
            keras.Input((a,)),
            layers.Dense(b, activation="relu", **begin),
            layers.Dense(c, activation="relu", **begin),
            layers.Dense(d, **begin),
        ]
    )


def cnn() -> keras.Model:
    layers, begin = keras.layers, like_torch()
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, padding="same", activation="relu", **begin),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu", **begin),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(128, activation="relu", **begin),
            layers.Dense(10, **begin),
        ]
    )


def lstm() -> keras.Model:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((LSTM["longest"],)),
            layers.Embedding(LSTM["vocabulary"], LSTM["width"]),
            layers.Bidirectional(layers.LSTM(LSTM["hidden"], return_sequences=True)),
            layers.GlobalMaxPooling1D(),
            layers.Dense(2),
        ]
    )


MAKE = {"mlp": mlp, "mlp512": mlp, "cnn": cnn, "lstm": lstm}
