"""The answer: one sentence, the number, and what stands beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pellucid.record import Run
from pellucid.report import words

HEADLINE = {"classification": "accuracy", "multilabel": "f1", "regression": "mae"}
SPLITS = {"test": "test", "val": "validation"}
GUESS = {
    "classification": "always answering the most frequent class",
    "multilabel": "always giving the same labels",
    "regression": "always answering the mean",
}


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


@dataclass(frozen=True)
class Result:
    """What the top of the page says. `standings` is empty where nothing was measured."""

    sentence: str
    number: str = ""
    measure: str = ""
    context: tuple[str, ...] = ()
    standings: tuple[Standing, ...] = ()
    target: str = ""
    target_met: bool | None = None
    target_share: float | None = None
    smaller_is_better: bool = False
    beaten_by: str = ""


def result(run: Run) -> Result:
    """Gather the answer from a run's facts."""
    key = headline_key(run.facts)
    if key is None:
        return Result(_unfinished(run))
    value, rows = run.metrics[key], _rows(run.facts, key)
    standings, full = _standings(run.facts, key, rows)
    target = run.facts.get("target") or {}
    return Result(
        sentence=_sentence(run, key, rows),
        number=words.measure(key, value, rows),
        measure=words.measure_name(key),
        context=tuple(_context(run.facts, key, rows)),
        standings=standings,
        target=_target(run.facts),
        target_met=run.facts.get("target_met"),
        target_share=_bar(target["value"], full) if target.get("metric") == key else None,
        smaller_is_better=words.lower_is_better(key),
        beaten_by=_beaten_by(run.facts, key, rows),
    )


def headline_key(facts: Mapping[str, Any]) -> str | None:
    """The metric that stands for the run: its target's, or its task's, on the test split if there is one."""
    metrics = facts.get("metrics") or {}
    wanted = HEADLINE.get(_task(facts), "loss")
    candidates = [(facts.get("target") or {}).get("metric"), f"test/{wanted}", f"val/{wanted}"]
    candidates += [key for split in SPLITS for key in metrics if key.startswith(f"{split}/")]
    return next((key for key in candidates if metrics.get(key) is not None), None)


def things(facts: Mapping[str, Any]) -> str:
    """What the rows are: images, texts or rows."""
    kinds = {entry.get("kind") for entry in (facts.get("dataset") or {}).get("inputs", [])}
    return {"image": "images", "text": "texts"}.get(next(iter(kinds)) if len(kinds) == 1 else "", "rows")


def _task(facts: Mapping[str, Any]) -> str:
    return (facts.get("dataset") or {}).get("task") or ""


def _rows(facts: Mapping[str, Any], key: str) -> int | None:
    split = SPLITS.get(key.partition("/")[0], "train")
    return (facts.get("dataset") or {}).get("splits", {}).get(split, {}).get("rows")


def _sentence(run: Run, key: str, rows: int | None) -> str:
    facts, value = run.facts, run.metrics[key]
    split, _, name = key.partition("/")
    what = f"{SPLITS.get(split, split)} {things(facts)}"
    of = f"{words.count(rows)} {what}" if rows else f"the {what}"
    written = words.measure(key, value, rows)
    says = {
        "accuracy": f"{run.name} gets {written} of {of} right",
        "mae": f"{run.name} predicts {_target_name(facts)} to within {written} on average, over {of}",
        "f1": f"{run.name} finds the labels of {of} with an F1 of {written}",
    }
    sentence = says.get(name, f"{run.name} reaches a {words.measure_name(key)} of {written} on {of}")
    guess = (facts.get("baselines") or {}).get("prior", {}).get(key)
    if guess is None:
        return f"{sentence}."
    verb = "is off by" if name == "mae" else "gets"
    return f"{sentence}; guessing {verb} {words.measure(key, guess, rows)}."


def _target_name(facts: Mapping[str, Any]) -> str:
    return (facts.get("dataset") or {}).get("target") or "the target"


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


def _standings(facts: Mapping[str, Any], key: str, rows: int | None) -> tuple[tuple[Standing, ...], float]:
    """The comparison, best first, and the value of a full bar."""
    baselines = facts.get("baselines") or {}
    published = facts.get("published") or {}
    task = _task(facts)
    entries: list[tuple[str, float | None, str]] = [
        ("this run", facts["metrics"][key], _model_words(facts)),
        ("linear model", baselines.get("linear", {}).get(key), "on the same rows"),
        ("guessing", baselines.get("prior", {}).get(key), GUESS.get(task, "without its input")),
    ]
    if published.get("metric") == key:
        entries.append(("published", published.get("value"), str(published.get("source") or "")))
    known = [(name, value, note) for name, value, note in entries if value is not None]
    share = key.rpartition("/")[2] in words.SHARES
    full = 1.0 if share else max(abs(value) for _, value, _ in known) or 1.0
    known.sort(key=lambda entry: entry[1], reverse=not words.lower_is_better(key))
    standings = tuple(
        Standing(name, words.measure(key, value, rows), _bar(value, full), note, ours=name == "this run")
        for name, value, note in known
    )
    return standings, full


def _bar(value: float, full: float) -> float:
    return min(max(value / full, 0.0), 1.0)


def _model_words(facts: Mapping[str, Any]) -> str:
    model = facts.get("model") or {}
    name = " ".join(str(part) for part in (model.get("size"), model.get("name")) if part)
    parameters = model.get("parameters")
    return f"{name}, {words.plural(parameters, 'parameter')}" if parameters else name


def _context(facts: Mapping[str, Any], key: str, rows: int | None) -> list[str]:
    """How sure the number is, and what it amounts to in mistakes."""
    if key.rpartition("/")[2] != "accuracy" or not rows or _task(facts) != "classification":
        return []
    accuracy = facts["metrics"][key]
    low, high = (words.percent(bound, 2 if rows >= 2000 else 1) for bound in words.interval(accuracy, rows))
    wrong = round((1 - accuracy) * rows)
    lines = [f"95 % interval {low} to {high}", f"{words.plural(wrong, 'mistake')} in {words.count(rows)}"]
    linear = (facts.get("baselines") or {}).get("linear", {}).get(key)
    if linear is not None and wrong:
        times = (1 - linear) * rows / wrong
        lines.append(f"the linear model makes {words.number(times, 2)} times as many")
    return lines


def _beaten_by(facts: Mapping[str, Any], key: str, rows: int | None) -> str:
    """The simplest baseline that does better than this run, by more than sampling noise, or ""."""
    sign = -1 if words.lower_is_better(key) else 1
    ours = facts["metrics"][key]
    if key.endswith("/accuracy") and rows:
        ours = words.interval(ours, rows)[1]
    for name, words_for_it in (("prior", "guessing"), ("linear", "the linear model")):
        theirs = (facts.get("baselines") or {}).get(name, {}).get(key)
        if theirs is not None and sign * theirs > sign * ours:
            return words_for_it
    return ""


def _target(facts: Mapping[str, Any]) -> str:
    """The score that was to be reached, and whether it was."""
    target = facts.get("target")
    if not target:
        return ""
    key = target["metric"]
    sign = "≤" if words.lower_is_better(key) else "≥"
    says = f"Target {key} {sign} {words.measure(key, target['value'], _rows(facts, key))}"
    met = facts.get("target_met")
    if met is None:
        return f"{says}: does not apply to this data" if target.get("on") else f"{says}: not measured"
    return f"{says}: {'met' if met else 'missed'}"
