"""Names, units and directions of the numbers of a run.

Best checkpoints, targets, comparisons, tables and charts all ask here. Measures that many tasks share are
listed here; a task lists its own in its spec. A key is the name of a measure, with or without its split:
"accuracy", "test/accuracy".
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace

from pellucid.record.spec import UNKNOWN, BaselineSpec, Measure, TaskSpec, specs

NAMES: dict[str, Measure] = {
    "loss": Measure("loss", lower=True),
    "loss_clean": Measure("loss", lower=True),
    "accuracy": Measure("accuracy", share=True),
    "balanced_accuracy": Measure("balanced accuracy", share=True),
    "weighted_accuracy": Measure("accuracy by class weight", share=True),
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
    "epoch_seconds": Measure("seconds an epoch", lower=True, unit="s"),
}
"""Measures that several tasks share, by their name in the records."""

BASELINES: dict[str, BaselineSpec] = {
    "prior": BaselineSpec("guessing", "guessing", "without its input"),
    "linear": BaselineSpec("linear model", "the linear model", "on the same rows"),
    "untrained": BaselineSpec("untrained", "the untrained network", "the same network with random weights"),
    "unigram": BaselineSpec("unigram", "a unigram model", "the frequency of each token, nothing else"),
    "bigram": BaselineSpec("bigram", "a bigram model", "counts of which token follows which"),
    "trigram": BaselineSpec("trigram", "a trigram model", "counts of which token follows which two"),
}
"""Baselines that several tasks share; a task describes its own in its spec."""

SPREAD = {"std": "standard deviation", "min": "lowest", "max": "highest"}
"""Statistics of the runs of a study other than their mean, by the ending of the measure's name."""

SPLITS = ("test", "val")

LOWER = re.compile(
    r"\w*loss|\w*error|errors|err|mse|rmse|mae|s?mape|wmape|mase|medae|r?msle|crps|rse|wer|cer|ter|eer|"
    r"fpr|fnr|fdr|false|mistakes|misses|nll|nlpd|brier|hamming|perplexity|ppl|bpc|bpd|bpb|bce|crossentropy|"
    r"deviance|distance|divergence|discrepancy|kld?|mmd|emd|fid|kid|lpips|chamfer|hausdorff|wasserstein|"
    r"ece|mce|regret|cost|risk|penalty|latency|seconds|residuals?|pinball"
)
"""Words in the name of a measure that is better when lower."""
HIGHER = re.compile(
    r"accuracy|acc|similarity|skill|auc|auroc|precision|recall|improvement|reduction|likelihood|elbo|gain"
)
"""Words in the name of a measure that is better when higher, whatever it is the accuracy or the skill of."""


def measure(key: str, spec: TaskSpec = UNKNOWN) -> Measure:
    """Return what is known of a measure; of one that is not known, what its name says.

    Args:
        key: its name, with or without its split.
        spec: the task it belongs to, whose own measures are looked up first.
    """
    name = key.rpartition("/")[2]
    known = _known(name, spec)
    if known is not None:
        return known
    of, _, ending = name.rpartition("_")
    if ending in SPREAD and (known := _known(of, spec)):
        return replace(known, name=f"{known.name}, {SPREAD[ending]}")
    ranked = re.fullmatch(r"(recall|precision)_at_(\d+)", name)
    if ranked:
        return Measure(f"{ranked[1]} at {ranked[2]}", share=True)
    return Measure(name.replace("_", " "), lower=_sounds_lower(name))


def _sounds_lower(name: str) -> bool:
    """Return whether lower is better, by the words of a name: "my_rmse" and "error_rate", not "fpr_skill".

    The last word that decides counts, "at" and what follows it do not, and a leading "neg" turns it around.
    """
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
    words = "_".join(words).replace("cross_entropy", "crossentropy").split("_")
    words = words[: words.index("at", 1)] if "at" in words[1:] else words
    low = None
    for word in words:
        if HIGHER.fullmatch(word):
            low = False
        elif LOWER.fullmatch(word):
            low = True
    return low is not None and low is not (words[0] in ("neg", "negative"))


def _known(name: str, spec: TaskSpec) -> Measure | None:
    """Look a measure up: in the task, in the list that all share, in all other tasks."""
    tables = (spec.measures, NAMES, *(other.measures for other in specs().values()))
    return next((table[name] for table in tables if name in table), None)


def lower_is_better(key: str, spec: TaskSpec = UNKNOWN) -> bool:
    """Return whether a smaller value of a metric such as "val/loss" is better."""
    return measure(key, spec).lower


def unit(key: str, spec: TaskSpec = UNKNOWN) -> str:
    """Return the unit of a measure of a task, or ""."""
    name = key.rpartition("/")[2]
    return spec.loss_unit if name in ("loss", "loss_clean") else measure(key, spec).unit


def written(key: str, value: float | None, spec: TaskSpec = UNKNOWN) -> str:
    """Write a value for a terminal: a share as a percentage, anything else with four digits."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return in_words(value)
    known = measure(key, spec)
    if known.share:
        return f"{100 * value:.2f} %"
    return f"{value:.4g}" if known.decimals is None else f"{value:.{known.decimals}f}"


def in_words(value: float) -> str:
    """Return what a value that is not finite is: "not a number", "infinity" or "−infinity"."""
    return "not a number" if math.isnan(value) else "infinity" if value > 0 else "−infinity"


def headline(spec: TaskSpec, metrics: Mapping[str, float], target: str | None = None) -> list[str]:
    """Return the keys of `metrics` worth showing first, the one that stands for the run at the front.

    Args:
        spec: the task.
        metrics: final numbers, e.g. {"test/accuracy": 0.995}; the test split goes before validation.
        target: the key of the score that was to be reached, which goes before all others.
    """
    first = [target] if target else []
    known = [f"{split}/{name}" for split in SPLITS for name in spec.headline]
    others = [key for split in SPLITS for key in metrics if key.startswith(f"{split}/")]
    return [key for key in dict.fromkeys([*first, *known, *others]) if metrics.get(key) is not None]


def baseline(name: str, spec: TaskSpec = UNKNOWN) -> BaselineSpec:
    """Return what a baseline is called; one that is not known goes by its own name."""
    tables = (spec.baselines, BASELINES, *(other.baselines for other in specs().values()))
    plain = name.replace("_", " ")
    return next((table[name] for table in tables if name in table), BaselineSpec(plain))
