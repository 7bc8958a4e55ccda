"""The result: one sentence, the number, and its comparison with others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pellucid.record import Run, measures
from pellucid.record.spec import TaskSpec
from pellucid.report import study_blocks, words
from pellucid.report.comparison import Compared, bar, baselines, beaten_by, comparison
from pellucid.report.sentences import SPLITS, sentence

OTHERS = 3
"""Other measures that are shown with the number."""


@dataclass(frozen=True)
class Result:
    """What the top of the page says. `comparison` is empty where nothing was measured.

    Attributes:
        sentence: the result.
        number, measure, unit: the headline number, its name and its unit.
        context: lines below it, each a (term, rest).
        comparison: this run and others, best first.
        note: how its bars are read, where longer is not better.
        target, target_met, target_share: the target score, whether it was met, and its place in the bars.
        beaten_by: a baseline that does better, or "".
    """

    sentence: str
    number: str = ""
    measure: str = ""
    unit: str = ""
    context: tuple[tuple[str, str], ...] = ()
    comparison: tuple[Compared, ...] = ()
    note: str = ""
    target: str = ""
    target_met: bool | None = None
    target_share: float | None = None
    beaten_by: str = ""


def result(run: Run) -> Result:
    """Gather the result from a run's facts."""
    facts, spec = run.facts, run.spec
    key = next(iter(run.headline), None)
    if key is None:
        return Result(_unfinished(run))
    if (parts := facts.get("parts")) and study_blocks.is_drawn(facts) and not facts.get("target"):
        return Result(study_blocks.sentence(run))
    value, rows = run.metrics[key], _rows(facts, key)
    compared, full = comparison(facts, spec, key, rows)
    target = facts.get("target") or {}
    return Result(
        sentence=study_blocks.sentence(run) if parts else sentence(run, key, rows, things(facts)),
        number=words.measure(key, value, rows),
        measure=words.measure_name(key),
        unit=_unit(key, spec),
        context=tuple(study_blocks.context(facts) if parts else _context(facts, spec, key, rows)),
        comparison=compared,
        note=_note(facts, spec, key),
        target=_target(run),
        target_met=facts.get("target_met"),
        target_share=bar(target["value"], full) if target.get("metric") == key else None,
        beaten_by=beaten_by(facts, spec, key, rows),
    )


def things(facts: Mapping[str, Any]) -> str:
    """Return what the rows are: "images", "texts" or "rows"."""
    kinds = {entry.get("kind") for entry in (facts.get("dataset") or {}).get("inputs", [])}
    return {"image": "images", "text": "texts"}.get(next(iter(kinds)) if len(kinds) == 1 else "", "rows")


def _rows(facts: Mapping[str, Any], key: str) -> int | None:
    split = SPLITS.get(key.partition("/")[0], "train")
    return (facts.get("dataset") or {}).get("splits", {}).get(split, {}).get("rows")


def _unit(key: str, spec: TaskSpec) -> str:
    """The unit of the number, unless it is written next to it."""
    unit = measures.unit(key, spec)
    return unit if unit.startswith("nats") else ""


def _note(facts: Mapping[str, Any], spec: TaskSpec, key: str) -> str:
    if measures.lower_is_better(key, spec):
        return "Smaller is better."
    values = [facts["metrics"][key], *(one.value for one in baselines(facts, spec, key))]
    return "Nearer zero is better." if max(values) < 0 else ""


def _unfinished(run: Run) -> str:
    """The sentence of a run that has no result, or none yet."""
    done = _done(run)
    reason = run.facts.get("stop_reason") or ""
    why = f": {reason}" if reason else ""
    return {
        "running": f"{run.name} is still training; this page was written {done}.",
        "failed": f"{run.name} failed {done}{why}.",
        "killed": f"{run.name} was killed {done}; it can be resumed from its last checkpoint.",
        "interrupted": f"{run.name} was interrupted {done}; it can be resumed from its last checkpoint.",
    }.get(run.status, f"{run.name} has no measured result{why}.")


def _done(run: Run) -> str:
    """How far a run is."""
    if "parts" in run.facts:
        return study_blocks.unfinished(run.facts)
    epochs = run.store.series("epoch")
    if not epochs:
        return "before its first epoch was complete"
    return f"after {words.plural(round(epochs[-1][1]), 'epoch')}"


def _context(facts: Mapping[str, Any], spec: TaskSpec, key: str, rows: int | None) -> list[tuple[str, str]]:
    """The interval of an accuracy and its mistakes; for other tasks, their other measures."""
    metrics = facts["metrics"]
    if spec.accuracy_of != "rows":
        split = key.partition("/")[0]
        names = [f"{split}/{name}" for name in spec.headline]
        others = [other for other in names if other != key and metrics.get(other) is not None]
        if metrics.get(f"{split}/loss") == metrics[key]:
            others = [other for other in others if other != f"{split}/loss"]  # the same by another name
        return [(words.measure_name(k), words.measure(k, metrics[k], rows)) for k in others[:OTHERS]]
    if key.rpartition("/")[2] != "accuracy" or not rows or not math.isfinite(metrics[key]):
        return []
    low, high = (
        words.percent(bound, 2 if rows >= 2000 else 1) for bound in words.interval(metrics[key], rows)
    )
    wrong = round((1 - metrics[key]) * rows)
    lines = [
        ("95 % interval", f"{low} to {high}"),
        ("", f"{words.plural(wrong, 'mistake')} in {words.count(rows)}"),
    ]
    linear = (facts.get("baselines") or {}).get("linear", {}).get(key)
    if linear is not None and math.isfinite(linear):
        lines.append(("", f"the linear model makes {words.count(round((1 - linear) * rows))}"))
    return lines


def _target(run: Run) -> str:
    """The target score, and whether it was met."""
    target = run.facts.get("target")
    if not target:
        return ""
    key = target["metric"]
    sign = "≤" if measures.lower_is_better(key, run.spec) else "≥"
    return f"Target {key} {sign} {words.measure(key, target['value'], _rows(run.facts, key))}: {run.verdict}"
