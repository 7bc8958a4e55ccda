"""The reading of learning curves: does a run overfit, underfit, still improve, or is it fine?

It is for runs whose training and validation loss measure the same thing; `reading` knows which ones do.

`generalization` asks the questions of `_QUESTIONS` in their order and returns the first that answers. A
question is a pure function of the curves, the baselines and the setting; what "more than noise" means is
in `curves`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from pellucid.diagnosis import curves as read
from pellucid.diagnosis.baselines import Baselines, against_guessing, against_simple, guess
from pellucid.diagnosis.curves import BAND, ENOUGH, MATERIAL, Curves, Series, align, level, noise
from pellucid.diagnosis.words import few, figure, percent
from pellucid.record import Finding, Run

KEYS = ("epoch", "train/loss", "val/loss", "train/accuracy", "val/accuracy", "step/lr")
OF_TOKENS = ("language_model", "masked_language_model", "seq2seq", "span_denoising")
"""Tasks whose accuracy is a share of tokens, so that rows do not tell its sampling error."""
LITTLE_TO_LEARN = ("words_ahead",)
"""Tasks in which the best answer there is does only a little better than guessing."""


@dataclass(frozen=True)
class Setting:
    """What else bears on how curves are read.

    Attributes:
        augmented: training inputs are changed at random, so training loss may lie above validation loss.
        dropout: the same, by units switched off in training.
        rows: validation rows, for the sampling error of an accuracy; None if not known.
        lr: the peak learning rate, for the patch of a run that diverges.
        annealed: the learning rate was brought down to a tenth of its peak or less by the end.
        best_kept: the run ends with its best weights, not its last.
        task: what is learned; "" where it is not known.
    """

    augmented: bool = False
    dropout: bool = False
    rows: int | None = None
    lr: float | None = None
    annealed: bool = False
    best_kept: bool = True
    task: str = ""


def generalization(
    curves: Mapping[str, Series], baselines: Baselines | None = None, setting: Setting | None = None
) -> Finding:
    """Say in one exact sentence whether a run overfits, underfits, still improves or is fine.

    Args:
        curves: [(step, value)] by key, one value an epoch: "val/loss", and where there are any "epoch",
            "train/loss", "train/accuracy", "val/accuracy".
        baselines: by name, e.g. "prior" and "linear", each with "val/accuracy" or "val/loss".
        setting: what else bears on the reading; None: nothing is known.

    Returns:
        A finding. Rules that ask for a change: non-finite, underfitting, overfitting, diverging. Rules that
        inform: overconfident, memorizing, still-improving, too-short, healthy, no-validation.
    """
    points = align(curves)
    if points is None:
        return _no_validation()
    for question in _QUESTIONS:
        finding = question(points, baselines or {}, setting or Setting())
        if finding is not None:
            return finding
    return _healthy(points, setting or Setting())


def curves_of(run: Run) -> dict[str, list[tuple[int, float]]]:
    """Read from a run the series that `generalization` wants.

    Training loss is the one measured as validation is, without augmentation and dropout, where there is one.
    """
    found = {key: run.store.series(key) for key in KEYS}
    return {**found, "train/loss": run.store.series("train/loss_clean") or found["train/loss"]}


def setting_of(run: Run) -> Setting:
    """Read from a run's facts and config what else bears on its curves."""
    config = config_of(run)
    augment = config.get("data", {}).get("augment", {})
    layers = run.facts.get("model", {}).get("layers", [])
    options = config.get("model", {}).get("options", {})
    rates = [value for _, value in run.store.series("step/lr")]
    dataset = run.facts.get("dataset", {})
    rows = dataset.get("splits", {}).get("validation", {}).get("rows")
    return Setting(
        augmented=any(augment.values()),
        dropout=any("Dropout" in str(layer.get("type")) for layer in layers) or bool(options.get("dropout")),
        rows=None if run.task in OF_TOKENS else rows,
        lr=config.get("optimizer", {}).get("lr"),
        annealed=bool(rates) and rates[-1] <= max(rates) / 10,
        best_kept=bool(config.get("train", {}).get("restore_best", True)),
        task=run.task,
    )


def config_of(run: Run) -> dict[str, Any]:
    """The config as plain values; {} where it is missing or damaged, since curves can be read without."""
    try:
        values = yaml.safe_load(run.config)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return values if isinstance(values, dict) else {}


# ---- the questions -----------------------------------------------------------------------------------


def _non_finite(points: Curves, baselines: Baselines, setting: Setting) -> Finding | None:
    bad = np.flatnonzero(~np.isfinite(points.val))
    if not len(bad):
        return None
    first = int(bad[0])
    return Finding(
        "non-finite",
        "error",
        f"Validation loss was not a finite number from {points.at(first)}.",
        "The weights have overflowed, or the data holds a value that is not a number.",
        "a smaller learning rate, or clipped gradients",
        {"train.clip_grad_norm": 1.0, **_lower_lr(setting)},
        step=int(points.step[first]),
    )


def _underfitting(points: Curves, baselines: Baselines, setting: Setting) -> Finding | None:
    """Barely better than guessing, or worse than the linear model on training rows as well."""
    least = 0.0 if setting.task in LITTLE_TO_LEARN else MATERIAL
    reading = against_guessing(points, baselines, least) or against_simple(points, baselines, setting.rows)
    if reading is None:
        return None
    seen, means = reading
    if read.still_falling(points.val):
        remedy, patch = "train longer: it was still improving", {"train.epochs": _double(points)}
    elif setting.augmented:
        remedy, patch = "weaker augmentation, then another learning rate (`pellucid lr-find`)", {}
    else:
        remedy, patch = (
            "another learning rate (`pellucid lr-find`), then a larger model",
            {"model.size": "base"},
        )
    return Finding("underfitting", "warning", seen, means, remedy, patch, step=_end(points), confidence=0.9)


def _too_short(points: Curves, baselines: Baselines, setting: Setting) -> Finding | None:
    count = len(points.val)
    if count >= ENOUGH:
        return None
    return Finding(
        "too-short",
        "note",
        f"{few(count, ENOUGH)}; validation loss is {figure(points.val[-1])}.",
        "Whether the run overfits or would still improve cannot be told yet.",
        "train longer",
        {"train.epochs": 2 * ENOUGH},
        step=_end(points),
    )


def _overfitting(points: Curves, baselines: Baselines, setting: Setting) -> Finding | None:
    """Validation loss has passed its minimum by more than noise while training loss went on falling."""
    best = points.best
    if not read.turned_up(points.val):
        return None
    if points.train is not None and not read.fell(points.train, best):
        return _diverging(points, points.train, setting)
    if points.val_accuracy is not None and read.held(points.val_accuracy, best):
        return _overconfident(points, points.val_accuracy, setting)
    return Finding(
        "overfitting",
        "warning",
        f"{_turn(points)}: it overfits from there.",
        "It has begun to learn its training rows by heart, which does not carry over to new ones."
        + _kept(points, setting),
        "stop there; then augmentation, dropout, weight decay or more data",
        {
            "train.early_stopping": {"monitor": "val/loss", "patience": ENOUGH},
            "optimizer.weight_decay": 0.05,
        },
        step=int(points.step[best]),
        confidence=_sure(points),
    )


def _overconfident(points: Curves, accuracy: np.ndarray, setting: Setting) -> Finding:
    """Loss turned up but accuracy did not fall: the harm is to its confidence alone."""
    return Finding(
        "overconfident",
        "note",
        f"{_turn(points)}; validation accuracy held at {percent(level(accuracy))}: "
        "it grows overconfident, not more wrong.",
        "The mistakes it makes are made with growing certainty." + _kept(points, setting),
        "label smoothing, augmentation or weight decay, where its confidence matters",
        {"objective.label_smoothing": 0.1} if setting.task in ("", "classification") else {},
        step=int(points.step[points.best]),
        confidence=_sure(points),
    )


def _diverging(points: Curves, train: np.ndarray, setting: Setting) -> Finding | None:
    """Both losses turned up, by half as much again: the steps are too large."""
    low, best = int(np.argmin(train)), points.best
    if level(train) < 1.5 * train[low] or level(points.val) < 1.5 * points.val[best]:
        return None
    return Finding(
        "diverging",
        "warning",
        f"Training loss rose from {figure(train[low])} ({points.at(low)}) to {figure(level(train))} and "
        f"validation loss from {figure(points.val[best])} to {figure(level(points.val))}: it diverges.",
        "The steps are too large to settle in a minimum.",
        "a smaller learning rate",
        _lower_lr(setting),
        step=int(points.step[low]),
        confidence=0.8,
    )


def _still_improving(points: Curves, baselines: Baselines, setting: Setting) -> Finding | None:
    if not read.still_falling(points.val):
        return None
    start = -read.last_epochs(len(points.val)) - 1
    means = "The budget ended before the learning did."
    if setting.annealed:
        means = "The learning rate had been brought down by then; a longer schedule may gain more."
    return Finding(
        "still-improving",
        "note",
        f"Validation loss was still falling when training stopped: from {figure(points.val[start])} at "
        f"{points.at(start)} to {figure(points.val[-1])} at {points.at(-1)}.",
        means,
        "train longer",
        {"train.epochs": _double(points)},
        step=_end(points),
        confidence=0.6 if setting.annealed else 0.9,
    )


def _memorizing(points: Curves, baselines: Baselines, setting: Setting) -> Finding | None:
    """Validation has levelled off above training by a tenth of what guessing loses, or more."""
    prior = guess(baselines)[1].get("val/loss")
    if points.train is None or prior is None or prior <= 0:
        return None
    val, train = level(points.val), level(points.train)
    gap = val - train
    if gap < 0.1 * prior or gap < BAND * noise(points.val):
        return None
    return Finding(
        "memorizing",
        "note",
        f"Validation loss levelled off at {figure(val)} (lowest {figure(points.val[points.best])} at "
        f"{points.at(points.best)}) while training loss reached {figure(train)}: "
        "it fits its training rows better than new ones.",
        f"The gap, {figure(gap)}, is {percent(gap / prior)} of what guessing loses ({figure(prior)})."
        + _from_the_start(points, points.train, gap),
        "more data, augmentation, dropout or weight decay",
        {"optimizer.weight_decay": 0.05},
        step=_end(points),
        confidence=0.8,
    )


_QUESTIONS: tuple[Callable[[Curves, Baselines, Setting], Finding | None], ...] = (
    _non_finite,
    _underfitting,
    _too_short,
    _overfitting,
    _still_improving,
    _memorizing,
)


def _healthy(points: Curves, setting: Setting) -> Finding:
    val, best = level(points.val), points.best
    seen = f"Validation loss levelled off at {figure(val)}"
    seen += f", lowest at {points.at(best)} ({figure(points.val[best])})"
    means = "Neither more epochs nor more regularization is called for by these curves."
    if points.train is not None:
        train = level(points.train)
        seen += f", with training loss at {figure(train)}"
        means += _why_train_is_above(setting) if train > val else ""
    seen += ": neither over- nor underfitting."
    return Finding("healthy", "note", seen, means, step=int(points.step[best]))


def _no_validation() -> Finding:
    return Finding(
        "no-validation",
        "note",
        "No validation loss was recorded.",
        "Whether the run overfits or underfits cannot be told.",
        "hold out a share of the training rows",
        {"data.validation": 0.1},
    )


# ---- words -------------------------------------------------------------------------------------------


def _turn(points: Curves) -> str:
    """Where validation loss turned, and what training loss did after; ends are levels, not single epochs."""
    best, end = points.best, figure(level(points.val))
    lowest = f"lowest at {points.at(best)} ({figure(points.val[best])})"
    words = f"Validation loss was {lowest} and rose to {end} by {points.at(-1)}"
    if points.train is None:
        return words
    before, after = figure(points.train[best]), figure(level(points.train))
    return f"{words} while training loss fell from {before} to {after}"


def _kept(points: Curves, setting: Setting) -> str:
    return f" The weights of {points.at(points.best)} were kept." if setting.best_kept else ""


def _why_train_is_above(setting: Setting) -> str:
    causes = [word for on, word in ((setting.augmented, "augmentation"), (setting.dropout, "dropout")) if on]
    acting = f"{' and '.join(causes)} {'act' if len(causes) > 1 else 'acts'} in training alone"
    why = acting if causes else "it is averaged over the whole epoch"
    return f" Training loss above validation loss is normal here: {why}."


def _from_the_start(points: Curves, train: np.ndarray, gap: float) -> str:
    """A gap that was there before rows could be learned by heart has another cause as well."""
    first = float(points.val[0] - train[0])
    if first < gap / 2:
        return ""
    return f" It was {figure(first)} at {points.at(0)} already: the rows held out may be harder ones."


def _double(points: Curves) -> int:
    return max(2, round(2 * float(points.epoch[-1])))


def _lower_lr(setting: Setting) -> dict[str, float]:
    return {"optimizer.lr": setting.lr / 10} if setting.lr else {}


def _end(points: Curves) -> int:
    return int(points.step[-1])


def _sure(points: Curves) -> float:
    """Without training loss, a rise is not yet proof of overfitting."""
    return 0.7 if points.train is None else 0.95
