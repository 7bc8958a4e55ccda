"""The answer: one sentence, the number, and what stands beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pellucid.record import Run, measures
from pellucid.report import words
from pellucid.report.sentences import SPLITS, sentence
from pellucid.report.standings import Standing, bar, beaten_by, rivals, standings

BESIDE = 3
"""Other measures that are told beside the number."""


@dataclass(frozen=True)
class Result:
    """What the top of the page says. `standings` is empty where nothing was measured.

    Attributes:
        sentence: the answer.
        number, measure, unit: the headline number, what it is and what it is counted in.
        context: lines beneath it, each a (term, rest).
        standings: the comparison, best first.
        reading: how its bars are read, where longer is not better.
        target, target_met, target_share: the score that was to be reached, and its place in the bars.
        beaten_by: a baseline that does better, or "".
    """

    sentence: str
    number: str = ""
    measure: str = ""
    unit: str = ""
    context: tuple[tuple[str, str], ...] = ()
    standings: tuple[Standing, ...] = ()
    reading: str = ""
    target: str = ""
    target_met: bool | None = None
    target_share: float | None = None
    beaten_by: str = ""


def result(run: Run) -> Result:
    """Gather the answer from a run's facts."""
    facts, task = run.facts, task_of(run.facts)
    key = headline_key(facts)
    if key is None:
        return Result(_unfinished(run))
    value, rows = run.metrics[key], _rows(facts, key)
    rows_of_it, full = standings(facts, task, key, rows)
    target = facts.get("target") or {}
    return Result(
        sentence=sentence(run, task, key, rows, things(facts)),
        number=words.measure(key, value, rows),
        measure=words.measure_name(key),
        unit=_unit(key, task),
        context=tuple(_context(facts, task, key, rows)),
        standings=rows_of_it,
        reading=_reading(facts, task, key),
        target=_target(facts),
        target_met=facts.get("target_met"),
        target_share=bar(target["value"], full) if target.get("metric") == key else None,
        beaten_by=beaten_by(facts, task, key, rows),
    )


def headline_key(facts: Mapping[str, Any]) -> str | None:
    """The metric that stands for the run: its target's, or its task's, on the test split if there is one."""
    metrics = facts.get("metrics") or {}
    target = (facts.get("target") or {}).get("metric")
    if metrics.get(target) is not None:
        return target
    return next(iter(measures.headline(task_of(facts), metrics)), None)


def things(facts: Mapping[str, Any]) -> str:
    """What the rows are: images, texts or rows."""
    kinds = {entry.get("kind") for entry in (facts.get("dataset") or {}).get("inputs", [])}
    return {"image": "images", "text": "texts"}.get(next(iter(kinds)) if len(kinds) == 1 else "", "rows")


def task_of(facts: Mapping[str, Any]) -> str:
    """What was learned: the name of the objective, or what the data is for."""
    return facts.get("task") or (facts.get("dataset") or {}).get("task") or ""


def _rows(facts: Mapping[str, Any], key: str) -> int | None:
    split = SPLITS.get(key.partition("/")[0], "train")
    return (facts.get("dataset") or {}).get("splits", {}).get(split, {}).get("rows")


def _unit(key: str, task: str) -> str:
    """The unit of the number, unless it is written beside it or the number has a name that says it."""
    unit = measures.unit(key, task)
    return unit if unit.startswith("nats") and task != "classification" else ""


def _reading(facts: Mapping[str, Any], task: str, key: str) -> str:
    if measures.lower_is_better(key):
        return "Smaller is better."
    values = [facts["metrics"][key], *(rival.value for rival in rivals(facts, task, key))]
    return "Nearer zero is better." if max(values) < 0 else ""


def _unfinished(run: Run) -> str:
    """The sentence of a run that has no result, or none yet."""
    epochs = run.store.series("epoch")
    done = (
        f"after {words.plural(round(epochs[-1][1]), 'epoch')}"
        if epochs
        else "before its first epoch was done"
    )
    reason = run.facts.get("stop_reason") or ""
    why = f": {reason}" if reason else ""
    return {
        "running": f"{run.name} is still training; this page was written {done}.",
        "failed": f"{run.name} failed {done}{why}.",
        "killed": f"{run.name} was killed {done}; `--resume` goes on from its last checkpoint.",
        "interrupted": f"{run.name} was interrupted {done}; `--resume` goes on from its last checkpoint.",
    }.get(run.status, f"{run.name} has no measured result{why}.")


def _context(facts: Mapping[str, Any], task: str, key: str, rows: int | None) -> list[tuple[str, str]]:
    """How sure the number is and what it amounts to in mistakes; for other tasks, their other measures."""
    metrics = facts["metrics"]
    if task != "classification":
        split = key.partition("/")[0]
        beside = [f"{split}/{name}" for name in measures.FIRST.get(task, ())]
        others = [other for other in beside if other != key and metrics.get(other) is not None]
        return [(words.measure_name(k), words.measure(k, metrics[k], rows)) for k in others[:BESIDE]]
    if key.rpartition("/")[2] != "accuracy" or not rows:
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
    if linear is not None and wrong:
        times = (1 - linear) * rows / wrong
        lines.append(("", f"the linear model makes {words.number(times, 2)} times as many"))
    return lines


def _target(facts: Mapping[str, Any]) -> str:
    """The score that was to be reached, and whether it was."""
    target = facts.get("target")
    if not target:
        return ""
    key = target["metric"]
    sign = "≤" if measures.lower_is_better(key) else "≥"
    says = f"Target {key} {sign} {words.measure(key, target['value'], _rows(facts, key))}"
    met = facts.get("target_met")
    if met is None:
        return f"{says}: does not apply to this data" if target.get("on") else f"{says}: not measured"
    return f"{says}: {'met' if met else 'missed'}"
