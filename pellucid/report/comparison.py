"""What stands beside a run: every baseline that has its number, and what was published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pellucid.record import measures
from pellucid.report import words

GUESS = {
    "classification": "always answering the most frequent class",
    "multilabel": "always giving the same labels",
    "regression": "always answering the mean",
}
"""What guessing is where a target is predicted: there it is what a run is set against first."""
PRIORS = {"forecasting": "always forecasting the mean", "metric_learning": "another row at random"}
"""What it is elsewhere."""
KNOWN = {
    "linear": ("the linear model", "on the same rows"),
    "untrained": ("the untrained network", "the same network with random weights"),
    "unigram": ("a unigram model", "how frequent each token is, and nothing else"),
    "bigram": ("a bigram model", "counts of which token follows which"),
    "trigram": ("a trigram model", "counts of which token follows which two"),
    "pca": ("PCA", "the best linear code of as many numbers"),
    "pca pixels": ("PCA by its squared error", "how badly it gives an image back, pixel by pixel"),
    "mean image": ("the distance to the mean image", "to the mean of the images it learned from"),
    "last": ("the last value", "nothing changes from here on"),
    "season": ("the last cycle again", "the next day, week or year is as the last"),
    "copy": ("copying the source", "nothing translated"),
    "word by word": ("translating word by word", "each by its likeliest translation"),
    "identity": ("doing nothing", "the spoiled image as it is"),
    "total variation": ("total variation", "smoothing that keeps edges, nothing learned"),
    "pixel means": ("a model of pixel means", "every pixel by itself, as often white as in training"),
    "inputs": ("comparing raw inputs", "the nearest by their values, nothing learned"),
    "left neighbor": ("counting left neighbors", "counts of which token follows which"),
    "both neighbors": ("counting both neighbors", "counts of which token stands between which two"),
    "6-gram": ("a 6-gram model", "counts of which token follows which five"),
}
"""For baselines whose names do not say it all: how a sentence calls them, and what they are."""


@dataclass(frozen=True)
class Rival:
    """One baseline: the name it is recorded under, its value, how a sentence calls it, and what it is."""

    key: str
    value: float
    subject: str
    note: str


@dataclass(frozen=True)
class Standing:
    """One row of the comparison: ours, or somebody else's.

    Attributes:
        name: whose.
        value: the number, written.
        share: the length of its bar, 0..1.
        note: what it is, or where it was published.
        ours: this run.
    """

    name: str
    value: str
    share: float
    note: str = ""
    ours: bool = False


def rivals(facts: Mapping[str, Any], task: str, key: str) -> list[Rival]:
    """Return the baselines that have a metric, in the order they were measured in."""
    found = []
    for name, values in (facts.get("baselines") or {}).items():
        if values.get(key) is None:
            continue
        subject, note = KNOWN.get(name.replace("_", " "), (name.replace("_", " "), ""))
        if name == "prior":
            subject, note = "guessing", {**GUESS, **PRIORS}.get(task, "without its input")
        found.append(Rival(name, values[key], subject, note))
    return found


def standings(
    facts: Mapping[str, Any], task: str, key: str, rows: int | None
) -> tuple[tuple[Standing, ...], float]:
    """Return the comparison, best first, and the value of a full bar."""
    published = facts.get("published") or {}
    ours = "this study" if "parts" in facts else "this run"
    entries: list[tuple[str, float, str]] = [(ours, facts["metrics"][key], _model_words(facts))]
    entries += [(measures.baseline(r.key), r.value, r.note) for r in rivals(facts, task, key)]
    if published.get("metric") == key and published.get("value") is not None:
        entries.append(("published", published["value"], str(published.get("source") or "")))
    full = 1.0 if words.is_share(key) else max(abs(value) for _, value, _ in entries) or 1.0
    entries.sort(key=lambda entry: entry[1], reverse=not measures.lower_is_better(key))
    return tuple(
        Standing(name, words.measure(key, value, rows), bar(value, full), note, ours=name == ours)
        for name, value, note in entries
    ), full


def bar(value: float, full: float) -> float:
    """Return the length of a bar, 0..1; that of a number below zero is its distance from it."""
    return min(abs(value) / full, 1.0)


def beaten_by(facts: Mapping[str, Any], task: str, key: str, rows: int | None) -> str:
    """Return the first baseline that does better than a run, or "".

    The accuracy of a classifier must be worse by more than the sampling noise of its rows.
    """
    sign = -1 if measures.lower_is_better(key) else 1
    ours = facts["metrics"][key]
    if key.endswith("/accuracy") and rows and task == "classification":
        ours = words.interval(ours, rows)[1]
    return next((r.subject for r in rivals(facts, task, key) if sign * r.value > sign * ours), "")


def _model_words(facts: Mapping[str, Any]) -> str:
    if parts := facts.get("parts"):
        return f"mean of {words.plural(len(parts), 'run')}"
    model = facts.get("model") or {}
    name = " ".join(str(part) for part in (model.get("size"), model.get("name")) if part)
    parameters = model.get("parameters")
    return f"{name}, {words.plural(parameters, 'parameter')}" if parameters else name
