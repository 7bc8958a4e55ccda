"""A run compared with every baseline that has its measure, and with what was published."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.record import measures
from pellucid.record.spec import TaskSpec
from pellucid.report import words


@dataclass(frozen=True)
class Baseline:
    """One baseline: its name in the records, its value, its name in a table and in a sentence, a note."""

    key: str
    value: float
    label: str
    subject: str
    note: str


@dataclass(frozen=True)
class Compared:
    """One row of the comparison: this run, a baseline, or a published result.

    Attributes:
        name: what it is called.
        value: the number, written.
        share: the length of its bar, 0..1.
        note: what it is, or where it was published.
        ours: whether it is this run.
    """

    name: str
    value: str
    share: float
    note: str = ""
    ours: bool = False


def baselines(facts: Mapping[str, Any], spec: TaskSpec, key: str) -> list[Baseline]:
    """Return the baselines that have a metric as a finite number, in the order they were measured in."""
    found = []
    for name, values in (facts.get("baselines") or {}).items():
        if values.get(key) is None or not math.isfinite(values[key]):
            continue
        known = measures.baseline(name, spec)
        found.append(Baseline(name, values[key], known.label, known.called, known.note))
    return found


def comparison(
    facts: Mapping[str, Any], spec: TaskSpec, key: str, rows: int | None
) -> tuple[tuple[Compared, ...], float]:
    """Return the comparison, best first, and the value of a full bar."""
    published = facts.get("published") or {}
    ours = "this study" if "parts" in facts else "this run"
    entries: list[tuple[str, float, str]] = [(ours, facts["metrics"][key], _described(facts))]
    entries += [(one.label, one.value, one.note) for one in baselines(facts, spec, key)]
    if published.get("metric") == key and published.get("value") is not None:
        entries.append(("published", published["value"], str(published.get("source") or "")))
    full = 1.0 if words.is_share(key) else _longest([v for _, v, _ in entries])
    sign = 1 if measures.lower_is_better(key, spec) else -1
    entries.sort(key=lambda entry: (math.isnan(entry[1]), sign * entry[1]))
    return tuple(
        Compared(name, words.measure(key, value, rows), bar(value, full), note, ours=name == ours)
        for name, value, note in entries
    ), full


def _longest(values: Sequence[float]) -> float:
    return max((abs(value) for value in values if math.isfinite(value)), default=0.0) or 1.0


def bar(value: float, full: float) -> float:
    """Return the length of a bar, 0..1; for a negative number, that of its absolute value; 0 for NaN."""
    if math.isnan(value):
        return 0.0
    return min(abs(value) / full, 1.0)


def beaten_by(facts: Mapping[str, Any], spec: TaskSpec, key: str, rows: int | None) -> str:
    """Return the first baseline that does better than a run, or "".

    The accuracy of a classifier must be worse by more than the sampling noise of its rows.
    """
    sign = -1 if measures.lower_is_better(key, spec) else 1
    ours = facts["metrics"][key]
    if not math.isfinite(ours):
        return ""
    if key.endswith("/accuracy") and rows and spec.accuracy_of == "rows":
        ours = words.interval(ours, rows)[1]
    return next((one.subject for one in baselines(facts, spec, key) if sign * one.value > sign * ours), "")


def _described(facts: Mapping[str, Any]) -> str:
    if parts := facts.get("parts"):
        return f"mean of {words.plural(len(parts), 'run')}"
    model = facts.get("model") or {}
    name = " ".join(str(part) for part in (model.get("size"), model.get("name")) if part)
    parameters = model.get("parameters")
    return f"{name}, {words.plural(parameters, 'parameter')}" if parameters else name
