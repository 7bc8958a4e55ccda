"""How good it is in detail: each class, the trust its confidence deserves, the errors of a regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from pellucid.report import charts, words
from pellucid.report.charts import Chart
from pellucid.report.mistakes import Evaluation

MANY_CLASSES, LOWEST = 24, 10
SCATTER, BINS = 500, 21


@dataclass(frozen=True)
class ClassScore:
    """One class or label; the numbers are shares of 1."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int

    @property
    def missed(self) -> int:
        """How many of its rows were not found."""
        return round((1 - self.recall) * self.support)


@dataclass(frozen=True)
class Classes:
    """Scores by class in class order, and the weakest of them where there are many."""

    scores: tuple[ClassScore, ...]
    lowest: tuple[ClassScore, ...]
    sentence: str

    @property
    def most_missed(self) -> int:
        """The longest bar; at least 1."""
        return max(1, *(score.missed for score in self.scores))


@dataclass(frozen=True)
class Calibration:
    """Confidence against accuracy; `table` is the chart's twin."""

    sentence: str
    ece: str
    chart: Chart
    table: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Regression:
    """True against predicted values, and the distribution of their differences."""

    scatter: Chart
    histogram: Chart
    table: tuple[tuple[str, str], ...]
    bins: tuple[tuple[str, str], ...]


def classes(found: Evaluation) -> Classes | None:
    """Scores by class (or label); None for a regression."""
    entries = found.facts.get("per_class")
    if not entries:
        return None
    scores = tuple(
        ClassScore(str(e["name"]), e["precision"], e["recall"], e["f1"], int(e["support"])) for e in entries
    )
    seen = [score for score in scores if score.support] or list(scores)
    ranked = sorted(seen, key=lambda score: score.f1)
    weakest, best = ranked[0], ranked[-1]
    sentence = (
        f"Weakest is {weakest.name} with an F1 of {words.percent(weakest.f1)}, "
        f"best is {best.name} with {words.percent(best.f1)}."
    )
    many = len(scores) > MANY_CLASSES
    return Classes(scores, tuple(ranked[:LOWEST]) if many else (), sentence)


def calibration(found: Evaluation) -> Calibration | None:
    """The reliability of its confidence; None where none was measured."""
    facts = found.facts.get("calibration")
    bins = [entry for entry in (facts or {}).get("bins", []) if entry["count"]]
    if not facts or not bins:
        return None
    rows = sum(entry["count"] for entry in bins)
    confidence = sum(entry["confidence"] * entry["count"] for entry in bins) / rows
    accuracy = sum(entry["accuracy"] * entry["count"] for entry in bins) / rows
    low, high = words.interval(accuracy, rows)
    if low <= confidence <= high:
        title, means = "Its confidence can be taken at its word", "the difference is within sampling noise"
    elif confidence > accuracy:
        title = "It is surer than it should be"
        means = f"it is overconfident by {words.points(confidence - accuracy)}"
    else:
        title = "It is less sure than it could be"
        means = f"it is underconfident by {words.points(accuracy - confidence)}"

    def draw(width: int) -> Element:
        return charts.reliability(bins, width=width)

    sure, right = words.percent(confidence), words.percent(accuracy)
    return Calibration(
        sentence=f"On average it is {sure} sure and {right} right: {means}.",
        ece=words.percent(facts["ece"], 2),
        chart=charts.chart(title, draw),
        table=tuple(_bin_row(entry) for entry in bins),
    )


def _bin_row(entry: dict[str, Any]) -> tuple[str, ...]:
    between = f"{words.percent(entry['low'], 0)} to {words.percent(entry['high'], 0)}"
    shares = (words.percent(entry["confidence"]), words.percent(entry["accuracy"]))
    return (between, words.count(entry["count"]), *shares)


def regression(found: Evaluation, target: str) -> Regression | None:
    """The errors of a regression; None for other tasks."""
    pairs = found.facts.get("scatter")
    if not pairs:
        return None
    values = np.asarray(pairs, dtype=float).reshape(-1, 2)
    values = values[np.isfinite(values).all(axis=1)]
    errors = values[:, 1] - values[:, 0]
    few = values[:: max(1, -(-len(values) // SCATTER))].tolist()
    edges = np.histogram_bin_edges(errors, bins=BINS)
    counts = np.histogram(errors, edges)[0]
    bars = [(float(a), float(b), int(c)) for a, b, c in zip(edges[:-1], edges[1:], counts, strict=True)]
    note = f"{words.count(len(few))} of {words.count(found.rows)} rows." if len(few) < found.rows else ""

    def draw_scatter(width: int) -> Element:
        return charts.scatter([(a, b) for a, b in few], target, width=width)

    def draw_histogram(width: int) -> Element:
        return charts.histogram(bars, f"prediction minus true {target}", width=width)

    return Regression(
        scatter=charts.chart(_scatter_title(values), draw_scatter, note),
        histogram=charts.chart(_residual_title(errors), draw_histogram),
        table=_error_table(errors),
        bins=tuple((f"{words.number(a)} to {words.number(b)}", words.count(c)) for a, b, c in bars),
    )


def _scatter_title(values: np.ndarray) -> str:
    spread, predicted = values[:, 0].std(), values[:, 1].std()
    if predicted < 0.75 * spread:
        return "High values are predicted too low, low ones too high"
    return "Predictions follow the true values"


def _residual_title(errors: np.ndarray) -> str:
    middle = float(np.median(np.abs(errors)))
    mean, noise = float(errors.mean()), 2 * float(errors.std()) / len(errors) ** 0.5
    way = "high" if mean > 0 else "low"
    lean = "no lean" if abs(mean) <= noise else f"{words.number(abs(mean))} too {way} on average"
    return f"Half the errors are within {words.number(middle)}; {lean}"


def _error_table(errors: np.ndarray) -> tuple[tuple[str, str], ...]:
    names = ("lowest", "5 % below", "25 % below", "median", "75 % below", "95 % below", "highest")
    quantiles: Sequence[float] = np.quantile(errors, [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1]).tolist()
    return tuple((name, words.number(value)) for name, value in zip(names, quantiles, strict=True))
