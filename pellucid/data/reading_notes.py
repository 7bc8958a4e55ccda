"""What a user should know of how columns were read, where it is not what anybody would expect."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from pellucid.data import dates, parse
from pellucid.data.compute import pc
from pellucid.data.dataset import Column
from pellucid.data.kinds.category import LARGEST, TOO_LARGE
from pellucid.data.numerals import Numerals

SAMPLE = 2000
FEW = 200
MANY = 10
"""Different values besides a number that may stand for a missing one."""
SHOWN = 5

_DIGITS = r"^\W*\d[\d.,:/' ]*\W*$"


def reading_notes(
    inputs: Sequence[Column],
    target: Column | None,
    raw: Mapping[str, pa.ChunkedArray],
    values: Mapping[str, pa.ChunkedArray],
) -> list[str]:
    """Return one line for each kind of surprise.

    Args:
        inputs: the columns to learn from.
        target: the column to predict; None: none.
        raw: the cells of the file, by column.
        values: what they were read as.
    """
    notes = [*_numerals([*inputs, *([target] if target else [])]), *_exchanged(inputs)]
    for column in inputs:
        notes += _digits(column, raw[column.name], values[column.name])
    notes += [*_missing_words(inputs, raw), *_spellings(inputs), *_sentinels(inputs, values)]
    return notes + (_class_words(target, raw) if target else [])


def _numerals(columns: Sequence[Column]) -> Iterator[str]:
    """Name the columns whose numbers have marks of some kind."""
    found: dict[str, list[str]] = {}
    for column in columns:
        if column.kind == "number" and (words := Numerals.from_state(column.form).words):
            found.setdefault(words, []).append(column.name)
    for words, names in found.items():
        yield f"numbers with {words}: {_listed(names)}"


def _exchanged(columns: Sequence[Column]) -> Iterator[str]:
    """Name the dates of which day and month could be exchanged."""
    for column in columns:
        if other := column.form.get("or"):
            yield (
                f"dates of {column.name!r} are read as {column.form['format']}, though {other} fits too: "
                f"--set data.csv.dates={other}"
            )


def looks_like(raw: pa.ChunkedArray) -> tuple[str, str]:
    """Return what most cells of a column of words look like, "number" or "date", and which cell is not one.

    Both are "" if they look like words.
    """
    if not parse.is_text(raw.type):
        return "", ""
    cells = parse.clean(raw.slice(0, SAMPLE)).drop_null()
    dated = cells.filter(pc.match_substring_regex(cells, r"\d.*\d"))
    if 2 * len(dated) >= len(cells) > 0 and (form := dates.find(dated.slice(0, FEW).to_pylist())):
        fits, likely = pc.is_valid(dates.read(cells, form)), len(dated)
        kind = "date"
    else:
        fits, likely = pc.is_valid(parse.numbers(cells)), _count(cells, _DIGITS)
        kind = "number"
    odd = cells.filter(pc.invert(fits))
    if not len(odd) or likely < 0.5 * len(cells):
        return "", ""
    return (
        kind,
        f"{likely / len(cells):.0%} of its values look like {kind}s, but {odd[0].as_py()!r} is not one",
    )


def _count(cells: pa.ChunkedArray, pattern: str) -> int:
    return pc.sum(pc.match_substring_regex(cells, pattern)).as_py() or 0


def _digits(column: Column, raw: pa.ChunkedArray, values: pa.ChunkedArray) -> list[str]:
    """Say where digits are not read as numbers, or not exactly."""
    ways = f"--set 'data.columns={{{column.name}: number}}'"
    if column.kind == "number" and pa.types.is_integer(values.type):
        ends = [abs(end) for end in pc.min_max(values).as_py().values() if end is not None]
        large = bool(ends) and max(ends) > LARGEST
        return [f"{column.name!r} has whole numbers beyond 2^53, which are rounded"] if large else []
    if column.kind not in ("category", "text"):
        return []
    if "digits" in column.form or column.reason == TOO_LARGE:
        return [f"{column.name!r} is read as names: {column.reason}; {ways} for amounts"]
    kind, said = looks_like(raw)
    if said:
        ways = f"--set 'data.columns={{{column.name}: {kind}}}'"
        more = "data.csv.missing=[...] for words without a value"
        return [f"{column.name!r} is read as {column.kind}: {said}; {ways}, or {more}"]
    return []


def _missing_words(inputs: Sequence[Column], raw: Mapping[str, pa.ChunkedArray]) -> Iterator[str]:
    """Name the categories in which words that could be values, such as NA for Namibia, are missing values."""
    words, names = set(), []
    for column in inputs:
        cells = raw[column.name]
        if column.kind != "category" or "missing" in column.form or not parse.is_text(cells.type):
            continue
        if found := set(parse.distinct(pc.utf8_trim_whitespace(cells)).to_pylist()) & set(parse.WORDS):
            words |= found
            names.append(column.name)
    if names:
        verb = "are missing values" if len(words) > 1 else "is a missing value"
        yield (
            f"{_listed(sorted(words))} {verb} in {_listed(names)}; "
            "--set 'data.csv.missing=[]' if only empty cells are"
        )


def _spellings(inputs: Sequence[Column]) -> Iterator[str]:
    """Name the categories of which several values differ only in the case of their letters."""
    for column in inputs:
        same: dict[str, list[str]] = {}
        for value in column.categories if column.kind == "category" else ():
            same.setdefault(value.casefold(), []).append(value)
        twins = [values for values in same.values() if len(values) > 1]
        if twins:
            more = f", and {len(twins) - 1:,} more values" if len(twins) > 1 else ""
            yield f"{_listed(twins[0])} of {column.name!r} differ only in case{more}: they count as different"


def _sentinels(inputs: Sequence[Column], values: Mapping[str, pa.ChunkedArray]) -> Iterator[str]:
    """Name the numbers that may stand for a missing value, such as -999."""
    found: dict[int, list[str]] = {}
    for column in inputs:
        if column.kind == "number" and (number := _sentinel(values[column.name])) is not None:
            found.setdefault(number, []).append(column.name)
    for number, names in found.items():
        yield (
            f"{number} stands out in {_listed(names)}; "
            f"--set 'data.csv.missing=[{number}]' if it means a missing value"
        )


def _sentinel(column: pa.ChunkedArray) -> int | None:
    """Return the smallest or largest number if it is -1 or only nines, and far from all others."""
    for end in pc.min_max(column).as_py().values():
        if end is None or not (end == -1 or re.fullmatch(r"-?9+(\.0)?", str(end))):
            continue
        others = column.filter(pc.not_equal(column, end)).drop_null()
        if len(column) - column.null_count - len(others) < 2 or pc.count_distinct(others).as_py() < MANY:
            continue
        least, most = pc.min_max(others).as_py().values()
        if (end < 0 <= least) or (abs(end) >= 99 and end - most > 2 * (most - least)):
            return int(end)
    return None


def _class_words(target: Column, raw: Mapping[str, pa.ChunkedArray]) -> list[str]:
    """Say which classes are words that often mean a missing value."""
    words = [name for name in target.categories if name in parse.WORDS]
    if target.kind != "category" or not words or not _is_text(raw.get(target.name)):
        return []
    return [
        f"{_listed(words)} {'are classes' if len(words) > 1 else 'is a class'} of {target.name!r}; "
        f"--set 'data.csv.missing=[{', '.join(words)}]' for a missing value"
    ]


def _is_text(column: pa.ChunkedArray | None) -> bool:
    return column is not None and parse.is_text(column.type)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(map(repr, names[:SHOWN])) + more
