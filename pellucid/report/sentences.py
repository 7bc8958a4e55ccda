"""The result of a run in one sentence, as its task words it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pellucid.record import Run, measures
from pellucid.record.spec import TaskSpec
from pellucid.report import words
from pellucid.report.comparison import baselines

SPLITS = {"test": "test", "val": "validation"}

OTHER = "{name} reaches {article} {measure} of {value} on {of}"


def sentence(run: Run, key: str, rows: int | None, things: str) -> str:
    """Return what a run reached, compared with a baseline.

    Args:
        run: with `key` among its metrics.
        key: the metric that stands for the run, e.g. "test/accuracy".
        rows: number of rows it was measured on, if known.
        things: what the rows are, e.g. "images".
    """
    split, _, name = key.partition("/")
    value = run.metrics[key]
    of = _of(rows, SPLITS.get(split, split), things)
    if not math.isfinite(value):
        return f"The {words.measure_name(key)} of {run.name} is {words.number(value)} on {of}."
    known = {
        "name": run.name,
        "value": words.measure(key, value, rows),
        "of": of,
        "target": (run.facts.get("dataset") or {}).get("target") or "the target",
        "size": words.measure(key, abs(value), rows),
        "perplexity": words.number(_perplexity(run.metrics, split, value)),
    }
    template = run.spec.sentences.get(name, OTHER)
    measure = words.measure_name(key)
    said = template.format(**known, measure=measure, article=an(measure))
    return f"{said}{compared(run.facts, run.spec, key, rows)}."


def an(measure: str) -> str:
    """Return the article of a measure: "an" AUROC, "a" BLEU."""
    return "an" if measure[0] in "aeiouAFR" else "a"


def _perplexity(metrics: Mapping[str, float], split: str, loss: float) -> float:
    recorded = metrics.get(f"{split}/perplexity")
    return math.exp(min(loss, 700.0)) if recorded is None else recorded


def _of(rows: int | None, split: str, things: str) -> str:
    if rows == 1:
        return f"the {split} {things.removesuffix('s')}"
    return f"{words.count(rows)} {split} {things}" if rows else f"the {split} {things}"


def compared(facts: Mapping[str, Any], spec: TaskSpec, key: str, rows: int | None) -> str:
    """Return the end of the sentence: a baseline and its value, or ""."""
    found = baselines(facts, spec, key)
    if not found:
        return ""
    sign = -1 if measures.lower_is_better(key, spec) else 1
    best = max(found, key=lambda one: sign * one.value)
    other = next((one for one in found if one.key == spec.compare_with), best)
    value = abs(other.value) if spec.absolute else other.value
    verb = spec.verbs.get(key.rpartition("/")[2], "gets")
    return f"; {other.subject} {verb} {words.measure(key, value, rows)}"
