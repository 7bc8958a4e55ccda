"""Keras' own example for IMDB (keras.io, "Bidirectional LSTM on IMDB"): 20,000 words, 200 words per review,
two bidirectional layers, Adam, batches of 32. Its data is already tokenized; here texts are split into words
first, as with Pellucid.
"""

from __future__ import annotations

import re
import sys
from collections import Counter

import keras
import numpy as np
from keras import layers
from said import Clock

WORDS, LONGEST, EPOCHS = 20_000, 200, 2


def main(path: str) -> None:
    arrays = np.load(path)
    texts, labels, tests, answers = (
        arrays[name] for name in ("texts", "labels", "test_texts", "test_labels")
    )
    clock = Clock()
    split = [re.findall(r"[a-z']+", text.lower()) for text in texts]
    common = Counter(word for words in split for word in words).most_common(WORDS - 3)
    number = {word: place + 3 for place, (word, _) in enumerate(common)}

    def tokens(rows: list[list[str]]) -> np.ndarray:
        return keras.utils.pad_sequences(
            [[1, *(number.get(word, 2) for word in words)] for words in rows], maxlen=LONGEST
        )

    rows = tokens(split)
    keras.utils.set_random_seed(1)
    inputs = keras.Input(shape=(None,), dtype="int32")
    x = layers.Embedding(WORDS, 128)(inputs)
    x = layers.Bidirectional(layers.LSTM(64, return_sequences=True))(x)
    x = layers.Bidirectional(layers.LSTM(64))(x)
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(x))
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    compiling = Clock()
    model.train_on_batch(rows[:32], labels[:32])
    clock.paused += compiling.seconds
    held_out = None

    def accuracy() -> float:
        nonlocal held_out
        if held_out is None:
            held_out = tokens([re.findall(r"[a-z']+", text.lower()) for text in tests])
        return model.evaluate(held_out, answers, verbose=0)[1]

    for _ in range(EPOCHS):
        model.fit(rows, labels, batch_size=32, epochs=1, verbose=0)
        clock.measured(accuracy)


if __name__ == "__main__":
    main(sys.argv[3])
