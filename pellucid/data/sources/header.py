"""Whether the first row of a table of text holds names or values."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence

from pellucid.data.parse import MISSING

NUMBER = re.compile(
    r"[-+(]?[$€£]?\s*(?:\d[\d.,']*|\d{1,3}(?: \d{3})+(?:[.,]\d+)?|[.,]\d+)(?:[eE][-+]?\d+)?\s*[%€$]?[-)]?"
    r"|[-+]?(?:inf|infinity)",
    re.IGNORECASE,
)
DATE = re.compile(r"\d[\d:/.T -]*\d(?: ?[AaPp][Mm]|Z)?")

_SMALL = 20
_SENTENCE = 4  # words that a cell of text has at least, and a name seldom has


def is_value(cell: str) -> bool:
    """Whether a cell is a number or a date."""
    return bool(_kind(cell.strip()))


def has_header(records: Sequence[Sequence[str]]) -> bool:
    """Whether the first of some records holds names: words above numbers, or numbers that count.

    Args:
        records: the first rows of a table, all of the same width.
    """
    first, rows = [cell.strip() for cell in records[0]], records[1:]
    if not rows:
        return True
    columns = [[cell.strip() for cell in column] for column in zip(*rows, strict=True)]
    typed = [
        (cell, kind, column) for cell, column in zip(first, columns, strict=True) if (kind := _usual(column))
    ]
    typed = [part for part in typed if part[0] not in MISSING]
    if any(_kind(cell) != kind for cell, kind, _ in typed):
        return True
    if all(_kind(cell) == "number" for cell in first):
        return _counts(first, columns)
    if typed:
        numbers = [cell for cell, _, _ in typed]
        blank_corner = first[0] == "" and numbers == [str(i) for i in range(len(numbers))]
        return blank_corner or _counts(numbers, [column for _, _, column in typed])
    return not (_recurs(first, columns) or _is_prose(first, columns))


def unique_names(cells: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return a name for every column, and notes; blank names and those that occur again are numbered."""
    names = [_visible(cell) or f"unnamed_{index + 1}" for index, cell in enumerate(cells)]
    seen, made, taken = Counter(), [], set(names)
    for name in names:
        seen[name] += 1
        number = seen[name]
        while number > 1 and f"{name}_{number}" in taken:
            number += 1
        made.append(name if number == 1 else f"{name}_{number}")
        taken.add(made[-1])
    twice = [name for name, count in seen.items() if count > 1]
    note = f"the column name {twice[0]!r} occurs {seen[twice[0]]} times: " if twice else ""
    renamed = ", ".join(repr(name) for name in made if name not in seen)
    return made, [f"{note}the others are called {renamed}"] if twice else []


def _visible(cell: str) -> str:
    """Return a name without white space around it, and without the marks of a byte order."""
    return cell.strip().strip("\ufeff\u200b").strip()


def _kind(cell: str) -> str:
    """Return "number", "date", or "" for anything else."""
    return "number" if NUMBER.fullmatch(cell) else "date" if DATE.fullmatch(cell) else ""


def _usual(column: Sequence[str]) -> str:
    """Return the kind of nearly all cells that are not missing; "" if they differ, or there is none."""
    kinds = Counter(_kind(cell) for cell in column if cell not in MISSING)
    kind, count = max(kinds.items(), key=lambda item: item[1], default=("", 0))
    return kind if count >= 0.9 * kinds.total() else ""


def _counts(numbers: Sequence[str], columns: Sequence[Sequence[str]]) -> bool:
    """Whether the numbers of the first row are names: 0, 1, 2 ..., years, or other equal steps.

    They are not where the rows below go on in the same way.
    """
    values = _floats(numbers)
    if values is None:
        return False
    if len(values) == 1:
        return _is_year(values[0]) and not all(_is_year(value) for value in _floats(columns[0]) or [0.0])
    steps = _steps(values)
    if len(steps) != 1 or (step := steps.pop()) <= 0:
        return False
    below = [_floats(row) for row in zip(*columns, strict=True)]
    if any(row and _steps(row) == {step} for row in below):
        return False
    whole = all(row is None or all(value.is_integer() for value in row) for row in below)
    whole &= all(map(_usual, columns))  # words are no numbers that the first row could go on from
    if values[0] == 0 and step == 1:
        return len(values) >= 3 or not whole
    years = all(map(_is_year, values)) and not any(row and all(map(_is_year, row)) for row in below)
    return years or (len(values) >= 3 and not whole) or len(values) >= 10


def _steps(values: Sequence[float]) -> set[float]:
    return {round(b - a, 6) for a, b in itertools.pairwise(values)}


def _floats(cells: Sequence[str]) -> list[float] | None:
    try:
        return [float(cell) for cell in cells]
    except ValueError:
        return None


def _is_year(value: float) -> bool:
    return value.is_integer() and 1700 <= value <= 2200


def _recurs(first: Sequence[str], columns: Sequence[Sequence[str]]) -> bool:
    """Whether words of the first row are values of their own columns, as far as these have few values."""
    few = [
        (cell, set(column))
        for cell, column in zip(first, columns, strict=True)
        if any(column) and len(set(column)) <= min(_SMALL, len(column) // 2)
    ]
    return bool(few) and 2 * sum(cell in values for cell, values in few) >= len(few)


def _is_prose(first: Sequence[str], columns: Sequence[Sequence[str]]) -> bool:
    """Whether the first row holds sentences above sentences; questions above answers are names."""
    texts = [
        cell
        for cell, column in zip(first, columns, strict=True)
        if _words(column) >= _SENTENCE and any(column)
    ]
    return bool(texts) and all(len(cell.split()) >= _SENTENCE and not cell.endswith("?") for cell in texts)


def _words(column: Sequence[str]) -> float:
    return sum(len(cell.split()) for cell in column) / max(len(column), 1)
