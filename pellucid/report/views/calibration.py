"""Confidence compared with accuracy.

{"kind": "calibration", "ece": share of 1,
 "bins": [{"low", "high", "confidence", "accuracy", "count"}]}           shares of 1 and a number of rows
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element

from pellucid.report import charts, words
from pellucid.report.block import Section, Shelf, View
from pellucid.report.charts import Chart


@dataclass(frozen=True)
class Calibration:
    """Confidence and accuracy as a chart, and the same as a table."""

    sentence: str
    ece: str
    chart: Chart
    table: tuple[tuple[str, ...], ...]


def prepare(facts: Mapping[str, Any], shelf: Shelf) -> Calibration:
    """Draw the bins that hold rows."""
    bins = [entry for entry in facts["bins"] if entry["count"]]
    title, sentence = _verdict(bins)

    def draw(width: int) -> Element:
        return charts.reliability(bins, width=width)

    return Calibration(
        sentence=sentence,
        ece=words.percent(facts["ece"], 2),
        chart=charts.chart(title, draw),
        table=tuple(_row(entry) for entry in bins),
    )


def _verdict(bins: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """The finding as a title, and as a sentence with its numbers."""
    rows = sum(entry["count"] for entry in bins)
    if not rows:
        raise ValueError("its bins hold no rows")
    confidence = sum(entry["confidence"] * entry["count"] for entry in bins) / rows
    accuracy = sum(entry["accuracy"] * entry["count"] for entry in bins) / rows
    low, high = words.interval(accuracy, rows)
    if low <= confidence <= high:
        title, means = "Confidence matches accuracy", "the difference is within sampling noise"
    elif confidence > accuracy:
        title = "The model is overconfident"
        means = f"it is overconfident by {words.points(confidence - accuracy)}"
    else:
        title = "The model is underconfident"
        means = f"it is underconfident by {words.points(accuracy - confidence)}"
    sure, right = words.percent(confidence), words.percent(accuracy)
    return title, f"Mean confidence is {sure} and accuracy {right}: {means}."


def _row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    between = f"{words.percent(entry['low'], 0)} to {words.percent(entry['high'], 0)}"
    shares = (words.percent(entry["confidence"]), words.percent(entry["accuracy"]))
    return (between, words.count(entry["count"]), *shares)


SECTION = Section("calibration", "Confidence", "Can its confidence be trusted?")
VIEW = View("calibration", prepare, section=SECTION)
