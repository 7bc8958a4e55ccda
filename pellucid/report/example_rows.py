"""Single rows of an evaluated split, as a page shows them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.report import words
from pellucid.report.pictures import Album


@dataclass(frozen=True)
class Example:
    """One row: its picture or its text, its target and its prediction.

    `error` is prediction minus target where both are numbers, else the loss.
    """

    row: int
    target: str
    prediction: str
    confidence: str
    picture: str | None = None
    text: str = ""
    error: str = ""


def example(row: Mapping[str, Any], album: Album, classes: Sequence[str] = ()) -> Example:
    """Prepare one row.

    Args:
        row: "row", "target" and "prediction"; optional: "confidence", "loss", "image" (bytes) and "text".
        album: takes its image while there is room.
        classes: names of the classes, where target and prediction are indices; () where they are numbers.
    """
    target, prediction = row["target"], row["prediction"]
    return Example(
        row=int(row["row"]),
        target=_name(target, classes),
        prediction=_name(prediction, classes),
        confidence=words.percent(row.get("confidence")),
        picture=album.add(row.get("image")),
        text=str(row.get("text") or ""),
        error=words.number(row.get("loss")) if classes else words.signed(prediction - target),
    )


def worst_first(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Sort rows by loss, the largest first."""
    return sorted(rows, key=lambda row: -_finite(row.get("loss")))


def _name(value: Any, classes: Sequence[str]) -> str:
    """A class by its name where there is one, a number otherwise."""
    if isinstance(value, int) and 0 <= value < len(classes):
        return classes[value]
    return words.plain(value) if isinstance(value, (int, float)) else str(value)


def _finite(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) else -math.inf
