"""The errors of a regression: true and predicted values, the distribution of residuals, the largest errors.

{"kind": "errors", "target": name, "pairs": [[true, predicted]], "rows": number of rows,
 "examples": path of a Parquet file in the run folder (optional)}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from pellucid.report import charts, words
from pellucid.report.block import Section, Shelf, View
from pellucid.report.charts import Chart
from pellucid.report.example_rows import Example, example, worst_first

SCATTER_POINTS = 500
HISTOGRAM_BINS = 21
WORST_ROWS = 12


@dataclass(frozen=True)
class Errors:
    """True against predicted values, the distribution of their differences, and the largest of them."""

    scatter: Chart
    histogram: Chart
    table: tuple[tuple[str, str], ...]
    bins: tuple[tuple[str, str], ...]
    worst: tuple[Example, ...]


def prepare(facts: Mapping[str, Any], shelf: Shelf) -> Errors:
    """Draw the pairs and bin their differences."""
    target, rows = str(facts["target"]), int(facts.get("rows") or 0)
    values = np.asarray(facts["pairs"], dtype=float).reshape(-1, 2)
    values = values[np.isfinite(values).all(axis=1)]
    errors = values[:, 1] - values[:, 0]
    few = values[:: max(1, -(-len(values) // SCATTER_POINTS))].tolist()
    edges = np.histogram_bin_edges(errors, bins=HISTOGRAM_BINS)
    counts = np.histogram(errors, edges)[0]
    bars = [(float(a), float(b), int(c)) for a, b, c in zip(edges[:-1], edges[1:], counts, strict=True)]
    note = f"{words.count(len(few))} of {words.count(rows)} rows." if len(few) < rows else ""

    def draw_scatter(width: int) -> Element:
        return charts.scatter([(a, b) for a, b in few], target, width=width)

    def draw_histogram(width: int) -> Element:
        return charts.histogram(bars, f"prediction minus true {target}", width=width)

    worst = worst_first(shelf.rows(facts.get("examples")))[:WORST_ROWS]
    return Errors(
        scatter=charts.chart(_scatter_title(values), draw_scatter, note),
        histogram=charts.chart(_residual_title(errors), draw_histogram),
        table=_error_table(errors),
        bins=tuple((f"{words.number(a)} to {words.number(b)}", words.count(c)) for a, b, c in bars),
        worst=tuple(example(row, shelf.album) for row in worst),
    )


def _scatter_title(values: np.ndarray) -> str:
    spread, predicted = values[:, 0].std(), values[:, 1].std()
    if predicted < 0.75 * spread:
        return "High values are predicted too low, and low values too high"
    return "Predictions follow the true values"


def _residual_title(errors: np.ndarray) -> str:
    middle = float(np.median(np.abs(errors)))
    mean, noise = float(errors.mean()), 2 * float(errors.std()) / len(errors) ** 0.5
    side = "high" if mean > 0 else "low"
    bias = "no bias" if abs(mean) <= noise else f"{words.number(abs(mean))} too {side} on average"
    return f"Half of the errors are within ±{words.number(middle)}; {bias}"


def _error_table(errors: np.ndarray) -> tuple[tuple[str, str], ...]:
    names = ("lowest", "5th percentile", "25th", "median", "75th", "95th percentile", "highest")
    quantiles: Sequence[float] = np.quantile(errors, [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1]).tolist()
    return tuple((name, words.number(value)) for name, value in zip(names, quantiles, strict=True))


SECTION = Section("errors", "Errors", "Errors on the {split} split")
VIEW = View("errors", prepare, section=SECTION)
