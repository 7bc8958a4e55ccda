"""What the numbers of a run are called, what they are counted in, and which way is better.

The one place that knows: best checkpoints, targets, comparisons, tables and charts all ask here. A key is the
name of a measure, with or without its split: "accuracy", "test/accuracy".
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Measure:
    """One kind of number.

    Attributes:
        name: what it is called in a sentence.
        lower: whether smaller is better.
        share: whether it is a share of 1, written as a percentage.
        unit: what it is counted in; "" for none.
        decimals: how many it is written with; None: as many as it has significant digits.
    """

    name: str
    lower: bool = False
    share: bool = False
    unit: str = ""
    decimals: int | None = None


NAMES: dict[str, Measure] = {
    "loss": Measure("loss", lower=True),
    "loss_clean": Measure("loss", lower=True),
    "accuracy": Measure("accuracy", share=True),
    "top5": Measure("top-5 accuracy", share=True),
    "f1": Measure("F1", share=True),
    "precision": Measure("precision", share=True),
    "recall": Measure("recall", share=True),
    "auroc": Measure("AUROC"),
    "r2": Measure("R²"),
    "mae": Measure("mean absolute error", lower=True),
    "mse": Measure("mean squared error", lower=True),
    "rmse": Measure("root mean squared error", lower=True),
    "perplexity": Measure("perplexity", lower=True),
    "bits_per_token": Measure("bits per token", lower=True),
    "bits_per_character": Measure("bits per character", lower=True),
    "bleu": Measure("BLEU", decimals=1),
    "exact_fill": Measure("gaps filled exactly", share=True),
    "psnr": Measure("peak signal-to-noise ratio", unit="dB"),
    "ssim": Measure("structural similarity"),
    "elbo": Measure("evidence lower bound", unit="nats"),
    "recon": Measure("reconstruction loss", lower=True),
    "kl": Measure("KL divergence", lower=True),
    "frechet": Measure("Fréchet distance", lower=True),
    "modes": Measure("modes"),
    "coverage": Measure("coverage", share=True),
    "confidence": Measure("confidence", share=True),
    "diversity": Measure("diversity", share=True),
    "average_precision": Measure("average precision"),
    "detected": Measure("anomalies found", share=True),
    "false_alarms": Measure("false alarms", lower=True, share=True),
    "score_normal": Measure("score of normal images", lower=True),
    "score_others": Measure("score of other images"),
    "map": Measure("mean average precision", share=True),
    "d_real": Measure("verdict on real images"),
    "d_fake": Measure("verdict on generated images"),
    "d_real_accuracy": Measure("right about real images", share=True),
    "d_fake_accuracy": Measure("right about generated images", share=True),
    "active_units": Measure("latent numbers in use"),
    "epoch_seconds": Measure("seconds an epoch", lower=True, unit="s"),
}
"""Every measure by its name in the records."""

FIRST: dict[str, tuple[str, ...]] = {
    "classification": ("accuracy", "loss", "f1"),
    "multilabel": ("f1", "accuracy", "loss"),
    "regression": ("mae", "rmse", "r2", "loss"),
    "language_model": ("loss", "perplexity", "accuracy"),
    "masked_language_model": ("accuracy", "loss", "perplexity"),
    "words_ahead": ("loss", "perplexity"),
    "seq2seq": ("bleu", "accuracy", "perplexity", "loss"),
    "span_denoising": ("accuracy", "exact_fill", "loss"),
    "reconstruction": ("mse", "psnr", "ssim", "loss"),
    "elbo": ("elbo", "recon", "kl", "active_units", "loss"),
    "adversarial": ("frechet", "modes", "kl", "coverage", "accuracy", "confidence", "diversity"),
    "forecasting": ("mse", "mae", "coverage", "loss"),
    "metric_learning": ("recall_at_1", "map", "auroc", "precision", "loss"),
    "anomaly": ("auroc", "average_precision", "detected", "false_alarms", "loss"),
}
"""The measures of a task, the one that stands for a run first."""

LOSS_UNITS = {
    "classification": "nats",
    "multilabel": "nats",
    "language_model": "nats per token",
    "masked_language_model": "nats per hidden token",
    "words_ahead": "nats per word",
    "seq2seq": "nats per token",
    "span_denoising": "nats per token",
    "elbo": "nats",
}
"""What a loss is counted in, by task."""

BASELINES = {
    "prior": "guessing",
    "linear": "linear model",
    "last": "last value",
    "season": "last cycle again",
    "pca": "PCA",
    "identity": "nothing done",
    "copy": "source as it is",
    "inputs": "raw inputs",
    "pca_pixels": "PCA, squared error",
}
"""Baselines that go by another name than they are recorded under."""

SPREAD = {"std": "standard deviation", "min": "lowest", "max": "highest"}
"""What is told of the runs of a study beside their mean, by the ending of its name."""

SPLITS = ("test", "val")


def measure(key: str) -> Measure:
    """Return what is known of a measure; of one that is not known, what its name says."""
    name = key.rpartition("/")[2]
    if name in NAMES:
        return NAMES[name]
    of, _, ending = name.rpartition("_")
    if of in NAMES and ending in SPREAD:
        return replace(NAMES[of], name=f"{NAMES[of].name}, {SPREAD[ending]}")
    ranked = re.fullmatch(r"(recall|precision)_at_(\d+)", name)
    if ranked:
        return Measure(f"{ranked[1]} at {ranked[2]}", share=True)
    words = name.replace("_", " ")
    return Measure(words, lower=words.endswith(("loss", "error", "distance", "divergence", "perplexity")))


def lower_is_better(key: str) -> bool:
    return measure(key).lower


def unit(key: str, task: str = "") -> str:
    """Return what a measure of a task is counted in, or ""."""
    name = key.rpartition("/")[2]
    return LOSS_UNITS.get(task, "") if name in ("loss", "loss_clean") else measure(key).unit


def written(key: str, value: float | None) -> str:
    """Write a value for a terminal: a share as a percentage, anything else with four digits."""
    if value is None:
        return "-"
    known = measure(key)
    if known.share and math.isfinite(value):
        return f"{100 * value:.2f} %"
    return f"{value:.4g}" if known.decimals is None else f"{value:.{known.decimals}f}"


def headline(task: str, metrics: Mapping[str, float], target: str | None = None) -> list[str]:
    """Return the keys of `metrics` worth showing first, the one that stands for the run at the front.

    Args:
        task: what was learned; "" where it is not known.
        metrics: final numbers, e.g. {"test/accuracy": 0.995}; the test split goes before validation.
        target: the key of the score that was to be reached, which goes before all others.
    """
    names = FIRST.get(task, ("loss",))
    first = [target] if target else []
    known = [f"{split}/{name}" for split in SPLITS for name in names]
    others = [key for split in SPLITS for key in metrics if key.startswith(f"{split}/")]
    return [key for key in dict.fromkeys([*first, *known, *others]) if metrics.get(key) is not None]


def baseline(name: str) -> str:
    """Return what a baseline is called in a table."""
    return BASELINES.get(name, name.replace("_", " "))
