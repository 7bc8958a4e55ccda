"""Choose the size of a suggested model for the time there is to train it.

The work of an epoch is that of a model per pixel, token or row, times those of the data; the speed of this
machine is that of a matrix product. Both are rough, and only decide between sizes that differ by factors of
two to twenty.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pellucid.config import Config, TextConfig
from pellucid.data.compute import pc
from pellucid.data.contents import Contents
from pellucid.data.offers import Choice, Suggestion

SIZES = ("tiny", "small", "base")
WORK: dict[str, tuple[str, tuple[float, float, float]]] = {
    "cnn": ("pixel", (23, 130, 300)),
    "autoencoder": ("pixel", (14, 41, 110)),
    "vae": ("pixel", (9.1, 42, 95)),
    "unet": ("pixel", (56, 200, 680)),
    "padim": ("pixel", (25, 45, 115)),
    "siamese": ("pixel", (14, 65, 250)),
    "dcgan": ("pixel", (26, 44, 180)),
    "gpt": ("token", (1300, 6200, 50_000)),
    "bert": ("token", (2400, 7800, 49_000)),
    "lstm": ("token", (600, 1800, 18_000)),
    "phrase_lm": ("token", (720, 2000, 5200)),
    "seq2seq": ("token", (2200, 6100, 38_000)),
    "tabm": ("row", (1200, 4200, 40_000)),
}
"""Unit of the data, and by size, thousands of multiply-adds in training."""
CHOSEN = {
    "model size": "model.size",
    "learning rate": "optimizer.lr",
    "dropout": "model.options.dropout",
    "image size": "data.image_size",
    "vocabulary": "data.text.vocab_size",
    "batch size": "train.batch_size",
    "window": "data.text.max_seq_len",
}
"""The setting of each choice, with which a resumed run goes on."""
TRAINING = 0.6
"""Share of the time that is left for training."""
PASSES = 1 / 3
"""Share of the usual epochs with which a model is worth its size."""
FEW, MANY = 300, 20_000
"""Rows below which a model is tiny, and from which one larger than usual may be chosen."""
CHARACTERS = 5
"""Characters of a word or a piece of one, about."""
UPDATES = 200
"""Updates below which batches are made smaller, so that there are more."""
SMALLEST_BATCH = 8
FEW_PIECES = 2000
"""Pieces of words to learn where there is no time for more."""
SHORTEST_WINDOW = 64
"""Tokens of a window of a text where there is no time for longer ones."""
SMALLEST_SIDE = 32
"""Pictures are resized to this many pixels a side where there is no time for the usual size."""


def for_time(suggested: Suggestion, contents: Contents, minutes: float | None) -> Suggestion:
    """Return a suggestion with the model size, and the size of pictures, that a time allows.

    Args:
        suggested: without a limit of time.
        contents: of the data.
        minutes: of the whole command; None: the suggestion stays as it is.
    """
    name = suggested.config.model.name
    if minutes is None or name not in WORK:
        return suggested
    seconds = 60 * minutes
    unit, per_unit = WORK[name]
    usual = suggested.config.model.size or "small"
    allowed = SIZES[: 1 + SIZES.index(_largest(usual, unit, contents))]
    units = _units(suggested.config, contents, unit)
    epoch = {size: 1000 * work * units for size, work in zip(SIZES, per_unit, strict=True)}
    passes = max(PASSES * suggested.config.train.epochs, 1.0)
    speed = matmul_speed()
    needed = {size: passes * epoch[size] / speed for size in allowed}
    chosen = fitting(needed, TRAINING * seconds)
    values: dict[str, object] = {"model.size": chosen}
    choices: list[Choice] = [("model size", chosen, _reason(name, needed, chosen, passes, seconds))]
    if chosen != usual and suggested.for_size is not None:
        values |= suggested.for_size(chosen)
        choices += _of_size(values, chosen)
    config = suggested.config.patch(values)
    side = config.data.image_size
    if needed[chosen] > TRAINING * seconds and side is not None and contents.config.image_size is None:
        config = config.patch({"data.image_size": SMALLEST_SIDE})
        why = f"pictures of {SMALLEST_SIDE} instead of {side} pixels a side, since time is short"
        choices.append(("image size", SMALLEST_SIDE, why))
    text = config.data.text
    if needed[chosen] > TRAINING * seconds and text.tokenizer == "bpe" and text.vocab_size > FEW_PIECES:
        config = config.patch({"data.text.vocab_size": FEW_PIECES})
        why = f"{FEW_PIECES:,} instead of {text.vocab_size:,} pieces of words, since time is short"
        choices.append(("vocabulary", FEW_PIECES, why))
    each = 1000 * per_unit[SIZES.index(chosen)] / speed
    config, more = _more_updates(config, contents, unit, TRAINING * seconds / each)
    choices += more
    reasons = tuple(reason for *_, reason in choices)
    return replace(suggested, config=config, reasons=(*suggested.reasons, *reasons), choices=tuple(choices))


def _of_size(values: Mapping[str, Any], size: str) -> list[Choice]:
    """Return what changes with the size as choices with a reason."""
    named = {key: what for what, key in CHOSEN.items() if key != "model.size" and key in values}
    return [(what, values[key], f"{what} {values[key]:g}, as for {size}") for key, what in named.items()]


def _more_updates(config: Config, contents: Contents, unit: str, units: float) -> tuple[Config, list[Choice]]:
    """Make batches, and windows of texts, smaller until a time allows enough updates.

    Args:
        config: the suggested one.
        contents: of the data.
        unit: of the data: a pixel, token or row.
        units: for which there is time.
    """
    batch, length = config.train.batch_size, config.data.text.max_seq_len
    smallest, shortest = min(SMALLEST_BATCH, batch), min(SHORTEST_WINDOW, length)
    if unit != "token" or contents.config.text.max_seq_len != TextConfig().max_seq_len or not _is_cut(config):
        shortest = length
    row = _units_of_row(config, contents, unit)
    while batch > smallest and units / (batch * (row if unit != "token" else min(row, length))) < UPDATES:
        batch //= 2
    while length > shortest and units / (batch * (row if unit != "token" else min(row, length))) < UPDATES:
        length //= 2
    choices: list[Choice] = []
    if batch < config.train.batch_size:
        why = f"batches of {batch} instead of {config.train.batch_size} rows, for more updates in the time"
        choices.append(("batch size", batch, why))
    if length < config.data.text.max_seq_len:
        why = f"windows of {length} instead of {config.data.text.max_seq_len} tokens, since time is short"
        choices.append(("window", length, why))
    return config.patch({"train.batch_size": batch, "data.text.max_seq_len": length}), choices


def _is_cut(config: Config) -> bool:
    """Whether texts are learned in windows of a stream, which may have any length."""
    return config.objective.name in ("language_model", "masked_language_model")


def _units_of_row(config: Config, contents: Contents, unit: str) -> float:
    """Return the pixels or tokens of a row; those of a window where texts are a stream."""
    if unit == "token" and _is_cut(config):
        return math.inf
    return _units(config, contents, unit) / contents.rows


def fitting(needed: Mapping[str, float], seconds: float) -> str:
    """Return the largest size whose training fits into a time, else the smallest.

    Args:
        needed: seconds of training by size, from the smallest.
        seconds: for training.
    """
    fits = [size for size, took in needed.items() if took <= seconds]
    return fits[-1] if fits else next(iter(needed))


def _reason(name: str, needed: Mapping[str, float], chosen: str, passes: float, seconds: float) -> str:
    larger = [size for size in needed if SIZES.index(size) > SIZES.index(chosen)]
    took = f"{passes:.3g} epochs take about {needed[chosen]:.2g} s"
    said = f"{name} {chosen} for {seconds / 60:.3g} minutes: {took}"
    if larger:
        return f"{said} on this machine, of {larger[0]} {needed[larger[0]]:.2g} s"
    return f"{said} on this machine; a larger model would need more data"


# ---- the data --------------------------------------------------------------------------------------


def _largest(usual: str, unit: str, contents: Contents) -> str:
    """Return the largest size that there is enough data for; that of a model of texts follows from them."""
    if unit == "token":
        return usual
    return "tiny" if contents.rows < FEW else "base" if contents.rows >= MANY else usual


def _units(config: Config, contents: Contents, unit: str) -> float:
    """Return the pixels, tokens or rows of an epoch."""
    if unit == "row":
        return contents.rows
    if unit == "pixel":
        width, height = contents.image_size or (28, 28)
        side = config.data.image_size
        return contents.rows * (side * side if isinstance(side, int) else width * height)
    if contents.has_maps and not contents.texts:
        name = contents.dataset.inputs[0].name
        return contents.rows * contents.table.schema.field(name).type.shape[0]  # the steps of series
    total = sum(_characters(contents, column.name) for column in contents.texts)
    per_token = 1 if config.data.text.tokenizer == "characters" else CHARACTERS
    return max(total / per_token, contents.rows)


def _characters(contents: Contents, name: str) -> float:
    return float(pc.sum(pc.utf8_length(contents.table[name])).as_py() or 0)


# ---- the machine -----------------------------------------------------------------------------------


def matmul_speed(seconds: float = 0.1, side: int = 256) -> float:
    """Return the multiply-adds a second of a matrix product on this machine, as busy as it is."""
    values, done = np.ones((side, side), np.float32), 0
    np.matmul(values, values)
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        np.matmul(values, values)
        done += 1
    return done * side**3 / passed
