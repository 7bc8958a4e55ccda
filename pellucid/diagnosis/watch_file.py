"""What was recorded while a run was watched, kept in `watch.json` of its folder."""

from __future__ import annotations

import functools
import math
import sys
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pellucid.diagnosis.watched import Watched
from pellucid.record import Run, files

FILE = "watch.json"


@functools.cache
def _adapter() -> TypeAdapter[Watched]:
    """Made when it is needed, since that takes a while."""
    return TypeAdapter(Watched)


def write(run: Run, watched: Watched) -> None:
    """Write what was recorded; the losses are in the run's store already."""
    plain = _adapter().dump_python(replace(watched, losses=()), mode="json")
    files.write(run.path / FILE, files.json_text(_worded(plain)) + "\n")


def read(run: Run) -> Watched | None:
    """Return what was recorded; None where the run was not watched, or the file cannot be read."""
    try:
        watched = _adapter().validate_json((run.path / FILE).read_bytes())
    except (OSError, ValidationError):
        return None
    first = next(iter(run.store.step_losses(1, sys.maxsize).values()), {})
    losses = tuple((step, _number(values[0])) for step, values in sorted(first.items()))
    return replace(watched, losses=losses, steps=max([watched.steps, *first]))


def _worded(value: Any) -> Any:
    """Numbers that are not finite as words, which JSON can hold and pydantic reads as numbers."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _worded(part) for key, part in value.items()}
    return [_worded(part) for part in value] if isinstance(value, list) else value


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
