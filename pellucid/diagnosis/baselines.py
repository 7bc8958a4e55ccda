"""A run compared with what needs no network: guessing without the input, and anything simpler."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pellucid.diagnosis.curves import BAND, MATERIAL, Curves, noise
from pellucid.diagnosis.wording import figure, percent
from pellucid.record import measures

Baselines = Mapping[str, Mapping[str, float]]
GUESSES = ("prior", "unigram", "pixel_means", "mean")
"""Baselines that ignore their input."""
CERTAIN = 0.999
"""Share of the rows from which on guessing leaves nothing to learn."""
SAME = 0.005
"""A smaller share of the distance from guessing to a perfect score counts as none."""


def guess(baselines: Baselines) -> tuple[str, Mapping[str, float]]:
    """Return (name, metrics) of the baseline that ignores its input; ("", {}) if there is none."""
    return next(((name, baselines[name]) for name in GUESSES if name in baselines), ("", {}))


def against_guessing(points: Curves, baselines: Baselines, least: float = MATERIAL) -> tuple[str, str] | None:
    """Report that a run is barely better, or worse, than an answer without its input.

    Args:
        points: its curves.
        baselines: all of them.
        least: the share of the distance from guessing to a perfect score that counts as better.

    Returns:
        (what was seen, what it means), or None if it is better, or if guessing is right anyway.
    """
    name, prior = guess(baselines)
    if prior.get("val/accuracy", 0.0) >= CERTAIN:
        return None
    called = measures.baseline(name).label
    skills, words = [], []
    if points.val_accuracy is not None and "val/accuracy" in prior:
        best, theirs = float(points.val_accuracy.max()), prior["val/accuracy"]
        skills.append((best - theirs) / max(1 - theirs, 1e-9))
        words.append(f"accuracy {percent(best)}, {called} {percent(theirs)}")
    if prior.get("val/loss", 0) > 0:
        best, theirs = float(points.val.min()), prior["val/loss"]
        skills.append(1 - best / theirs)
        words.append(f"loss {figure(best)}, {called} {figure(theirs)}")
    if not skills or max(skills) > least:
        return None
    means = f"It has learned little more than {called}. The learning rate may be far off."
    if name == "prior":
        means = (
            "It does not use its input: the learning rate may be far off, or the targets may not belong to "
            "the inputs."
        )
    return (
        f"On validation rows it is {_than(max(skills))} guessing ({'; '.join(words)}): it underfits.",
        means,
    )


def ranks_well(scores: Mapping[str, float] | None, baselines: Baselines, least: float = MATERIAL) -> bool:
    """Whether a run with class weights tells the classes apart: by its AUROC or its balanced accuracy.

    Weights trade accuracy for recall of rare classes, so its accuracy and loss do not compare with guessing.
    """
    prior = guess(baselines)[1]
    for split in ("val", "test"):
        found = {} if scores is None else scores
        chance = prior.get(f"{split}/balanced_accuracy", 0.5)
        skills = [
            2 * found.get(f"{split}/auroc", 0.5) - 1,
            (found.get(f"{split}/balanced_accuracy", 0.0) - chance) / max(1 - chance, 1e-9),
        ]
        if max(skills) > least:
            return True
    return False


def _than(skill: float) -> str:
    """Return how a share of the distance from guessing to a perfect score compares with guessing."""
    if abs(skill) < SAME:
        return "no better than"
    return "worse than" if skill < 0 else "barely better than"


def against_simple(points: Curves, baselines: Baselines, rows: int | None) -> tuple[str, str] | None:
    """Report that a run is worse than something simpler, and not because it memorized its training rows.

    Args:
        points: its curves.
        baselines: all of them.
        rows: validation rows, for the sampling error of an accuracy; None if not known.

    Returns:
        (what was seen, what it means) for the first baseline that is better by more than noise, or None.
    """
    for name, theirs in baselines.items():
        seen = None if name in GUESSES else _worse(points, theirs, rows)
        if seen is None:
            continue
        ours, value = seen
        if name == "linear":
            means = "A network contains a linear model and should not do worse: it has learned too little."
            return f"Its validation {ours} the linear model's {value}: it underfits.", means
        called = measures.baseline(name).label
        means = f"The network could do at least as well as “{called}”: it has not learned enough yet."
        return f"Its validation {ours} the {value} of “{called}”: it underfits.", means
    return None


def _worse(points: Curves, theirs: Mapping[str, float], rows: int | None) -> tuple[str, str] | None:
    """Return (our value and on which side it lies, theirs) where ours is the worse, else None."""
    if points.val_accuracy is not None and "val/accuracy" in theirs:
        best, line = float(points.val_accuracy.max()), theirs["val/accuracy"]
        band = max(2 * noise(points.val_accuracy), _sampling_error(line, rows))
        memorized = points.train_accuracy is not None and points.train_accuracy[-1] > line + band
        worse = best < line - band and not memorized
        return (f"accuracy of {percent(best)} is below", percent(line)) if worse else None
    if "val/loss" in theirs:
        best, line = float(points.val.min()), theirs["val/loss"]
        memorized = points.train is not None and points.train[-1] < line
        worse = best > line + MATERIAL * abs(line) + BAND * noise(points.val) and not memorized
        return (f"loss of {figure(best)} is above", figure(line)) if worse else None
    return None


def _sampling_error(share: float, rows: int | None) -> float:
    """Two standard errors of a share measured on `rows`; half a point where their number is not known."""
    return 2 * math.sqrt(share * (1 - share) / rows) if rows else 0.005
