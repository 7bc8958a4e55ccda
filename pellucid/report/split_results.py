"""An evaluated split on disk, and its blocks.

`evaluation/<split>.json` lists blocks. Its summary may also hold `confusion`, `per_class`, `calibration` and
`scatter`, which are shown as blocks of these kinds; `<split>-examples.parquet` holds the rows behind them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pellucid.errors import RunError
from pellucid.record import Run, files

FOLDER = "evaluation"


@dataclass(frozen=True)
class Evaluation:
    """One evaluated split, as it is on disk."""

    split: str
    facts: Mapping[str, Any]


def evaluation(run: Run) -> Evaluation | None:
    """Read the test split's evaluation, or the validation split's where there is no test split."""
    for split in ("test", "validation"):
        facts = _read(run.path / FOLDER / f"{split}.json")
        if facts is not None:
            return Evaluation(split, facts)
    return None


def blocks_of(run: Run, found: Evaluation | None) -> list[Any]:
    """Return the facts of all blocks of an evaluation, its summary's last."""
    if found is None:
        return []
    listed = found.facts.get("blocks")
    target = str((run.facts.get("dataset") or {}).get("target") or "target")
    return [*(listed if isinstance(listed, list) else []), *_of_summary(run, found, target)]


def training_blocks(run: Run) -> list[Any]:
    """Return the facts of the blocks that were written during training."""
    listed = (_read(run.path / FOLDER / "training.json") or {}).get("blocks")
    return listed if isinstance(listed, list) else []


def _of_summary(run: Run, found: Evaluation, target: str) -> list[dict[str, Any]]:
    facts, made = found.facts, []
    classes = [str(name) for name in facts.get("classes") or ()]
    path = run.path / FOLDER / f"{found.split}-examples.parquet"
    examples = f"{FOLDER}/{path.name}" if path.is_file() else None
    if facts.get("scatter"):
        title, rows = "Errors", int(facts.get("rows") or 0)
        pairs = {"pairs": facts["scatter"], "rows": rows, "target": target, "examples": examples}
        return [{"kind": "errors", "title": title, **pairs}]
    if facts.get("confusion"):
        counts = {"classes": classes, "counts": facts["confusion"], "examples": examples}
        made.append({"kind": "confusion", "title": "Confusion matrix", **counts})
    if examples:
        wrong = bool(facts.get("confusion"))
        title = "The worst mistakes" if wrong else "The rows with the largest loss"
        named = {"classes": classes, "wrong": True} if wrong else {}
        made.append({"kind": "examples", "title": title, "examples": examples, **named})
    if facts.get("per_class"):
        label = (run.facts.get("dataset") or {}).get("task") == "multilabel"
        of = "label" if label else "class"
        made.append({"kind": "class_scores", "title": "Scores", "of": of, "scores": facts["per_class"]})
    if (facts.get("calibration") or {}).get("bins"):
        made.append({"kind": "calibration", "title": "Calibration", **facts["calibration"]})
    return made


def _read(path: Path) -> dict[str, Any] | None:
    """The facts in a file; None where it is missing or damaged."""
    try:
        facts = files.read_json(path)
    except (OSError, RunError):
        return None
    return facts if isinstance(facts, dict) else None
