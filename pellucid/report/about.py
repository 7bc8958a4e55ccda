"""What a page says about a run besides its results: facts, time, measures, machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pellucid.errors import RunError
from pellucid.record import Run
from pellucid.report import words
from pellucid.report.result import things


@dataclass(frozen=True)
class Work:
    """How long one kind of work took in total; `share` of the longest, 0..1."""

    name: str
    seconds: str
    times: int
    share: float


def strip(run: Run) -> list[tuple[str, str]]:
    """Return the facts everybody asks for first, as (name, value)."""
    facts = run.facts
    data, model, seconds = facts.get("dataset") or {}, facts.get("model") or {}, facts.get("seconds") or {}
    device = next(
        (choice["value"] for choice in facts.get("choices", []) if choice["what"] == "device"), None
    )
    source = (data.get("source") or {}).get("name") or data.get("name")
    train = (data.get("splits") or {}).get("train", {}).get("rows")
    entries = [
        ("Runs", words.count(len(facts["parts"])) if "parts" in facts else None),
        ("Data", source),
        (f"Training {things(facts)}", words.count(train) if train else None),
        ("Model", " ".join(str(part) for part in (model.get("size"), model.get("name")) if part)),
        ("Parameters", words.count(model["parameters"]) if model.get("parameters") else None),
        ("Training time", words.seconds(seconds["training"]) if seconds.get("training") else None),
        ("Device", device),
        ("Seed", facts.get("seed")),
        ("Started", words.moment(facts.get("started"))),
    ]
    return [(name, str(value)) for name, value in entries if value not in (None, "")]


def work(run: Run) -> list[Work]:
    """Return the time by kind of work, in the order in which it first happened."""
    totals: dict[str, list[float]] = {}
    for span in run.store.spans():
        totals.setdefault(span.name, []).append(span.seconds)
    longest = max((sum(each) for each in totals.values()), default=0.0) or 1.0
    return [
        Work(name, words.seconds(sum(each)), len(each), sum(each) / longest) for name, each in totals.items()
    ]


def measures(run: Run) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Return every final metric, as (splits, [(measure, a value for each split)])."""
    metrics = run.metrics or {}
    splits = [
        split for split in ("train", "val", "test") if any(key.startswith(f"{split}/") for key in metrics)
    ]
    names = list(dict.fromkeys(key.partition("/")[2] for key in metrics))
    rows = [
        (name, [words.measure(name, metrics.get(f"{split}/{name}"), 10_000) for split in splits])
        for name in names
    ]
    return splits, rows


def environment(run: Run) -> list[tuple[str, str]]:
    """Return the machine and the versions, as (name, value)."""
    found: dict[str, Any] = run.facts.get("environment") or {}
    plain = [(name, str(found[name])) for name in ("python", "platform", "machine", "cores") if name in found]
    return [*plain, *((name, str(version)) for name, version in (found.get("packages") or {}).items())]


def config(run: Run) -> str:
    """Return the text of config.yaml, "" where it cannot be read."""
    try:
        return run.config
    except RunError:
        return ""
