"""Rows of tokens with a tag for each: two columns that are lists, or texts of as many words or letters."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from pellucid.data import parse
from pellucid.data.build_dataset import DataOptions, RawTables
from pellucid.data.compute import pc
from pellucid.data.kinds.tensor import is_list
from pellucid.errors import BadDataError, UnknownNameError, UntaggedError

TOKEN_NAMES = ("tokens", "words", "token", "word", "form", "text", "sentence", "input", "sequence", "seq")
"""Usual names of the column of tokens, in lower case."""
TAG_NAMES = (
    "tags",
    "tag",
    "ner_tags",
    "ner",
    "pos_tags",
    "pos",
    "labels",
    "label",
    "iob",
    "bio",
    "entities",
    "spans",
    "target",
)
"""Usual names of the column of tags."""
SHOWN = 5

Split = Callable[[str], list[str]]


def pair_columns(raw: RawTables, options: DataOptions) -> tuple[RawTables, DataOptions]:
    """Turn a column of tokens and one of tags into lists of equal lengths; other columns are left out.

    Args:
        raw: with lists, with texts of words or letters, or with one token a row and the number of its
            sentence in a column such as "Sentence #".
        options: `target` names the tags and `inputs` the tokens; None is found by the usual names.

    Returns:
        The tables with these two columns, and options that say what they are.

    Raises:
        BadDataError: a row has more or fewer tags than tokens; names it.
        UnknownNameError: there is no such column.
    """
    tokens, tags = _columns(raw, options)
    raw, note = _joined(raw, tokens, tags)
    splitting = _splitting(raw, tokens, tags)
    splits, locate, skipped, empty = {}, {}, [], 0
    for split, table in raw.splits.items():
        if tags not in table.column_names:
            continue
        pairs = [lists(table[name], splitting) for name in (tokens, tags)]
        counts = np.array([(len(left), len(right)) for left, right in zip(*pairs, strict=True)]).reshape(
            -1, 2
        )
        empty += int((counts.sum(1) == 0).sum())
        if lines := _unequal(raw, split, counts):
            if not options.skip_bad:
                raise UntaggedError(
                    "\n".join(lines[:SHOWN])
                    + (f"\n... and {len(lines) - SHOWN:,} more" * (len(lines) > SHOWN)),
                    remedy="correct them, or leave such rows out with --skip-bad",
                )
            skipped += lines
        kept = np.flatnonzero((counts[:, 0] == counts[:, 1]) & (counts[:, 0] > 0))
        made = {
            name: _array([pair[row] for row in kept])
            for name, pair in zip((tokens, tags), pairs, strict=True)
        }
        splits[split] = pa.table(made)
        locate[split] = _kept_places(raw, split, kept)
    notes = [*raw.notes, note, f"{empty:,} rows without tokens are left out" if empty else ""]
    raw = replace(
        raw,
        splits=splits,
        locate=locate,
        classes={},
        notes=tuple(filter(None, notes)),
        skipped=(*raw.skipped, *skipped),
    )
    chosen = {tokens: "tokens", tags: "tags"}
    return raw, replace(options, target=tags, inputs=[tokens], columns=chosen, labelled=True)


def _columns(raw: RawTables, options: DataOptions) -> tuple[str, str]:
    """Return the names of the columns of tokens and of tags."""
    names = raw.splits["train"].column_names
    for asked in (options.target, *(options.inputs or ())):
        if asked is not None and asked not in names:
            raise UnknownNameError(f"column in {raw.name}", asked, names)
    if len(names) < 2:
        raise BadDataError(
            f"{raw.name} has one column, {names[0]!r}: expected one of tokens and one of tags.",
            remedy="lists in two columns, or a file with a token and its tag on every line",
        )
    tags = options.target or _usual(names, TAG_NAMES, raw.classes) or names[-1]
    others = [name for name in names if name != tags]
    tokens = next(iter(options.inputs or ()), None) or _usual(others, TOKEN_NAMES) or others[0]
    return tokens, tags


def _usual(names: Sequence[str], usual: Sequence[str], first: Any = ()) -> str | None:
    by_name = {name.lower(): name for name in names}
    return next(
        (by_name[name] for name in usual if name in by_name), next((n for n in names if n in first), None)
    )


# ---- one token a row -----------------------------------------------------------------------------


def numbers_sentences(name: str) -> bool:
    """Whether a column of this name may say to which sentence a token belongs."""
    return re.search(r"sent.*(#|id|n[ro])|doc.*id|seq.*id", name.lower()) is not None


def _joined(raw: RawTables, tokens: str, tags: str) -> tuple[RawTables, str]:
    """Join rows of one token to sentences, where a column numbers these."""
    train = raw.splits["train"]
    names = [name for name in train.column_names if numbers_sentences(name) and name not in (tokens, tags)]
    if not names or not all(parse.is_text(train[name].type) for name in (tokens, tags)):
        return raw, ""
    if any(" " in (cell or "").strip() for cell in train[tokens].slice(0, 200).to_pylist()):
        return raw, ""
    splits = {split: _sentences(table, names[0], tokens, tags) for split, table in raw.splits.items()}
    return replace(raw, splits=splits, locate={}), f"rows of the same {names[0]!r} are one sentence"


def _sentences(table: pa.Table, number: str, tokens: str, tags: str) -> pa.Table:
    """Group rows by the number of their sentence, which may stand only in its first row."""
    column = table[number].cast(pa.string())
    column = pc.fill_null_forward(pc.if_else(pc.equal(pc.utf8_trim_whitespace(column), ""), None, column))
    first = pc.not_equal(column[1:], column[:-1]) if len(column) > 1 else []
    starts = np.flatnonzero(
        np.append([True], np.asarray(pc.fill_null(first, False)) if len(column) > 1 else [])
    )
    ends = [*starts[1:].tolist(), len(table)]
    return pa.table(
        {
            name: _array(
                [_words(table[name].slice(a, b - a)) for a, b in zip(starts.tolist(), ends, strict=True)]
            )
            for name in (tokens, tags)
        }
    )


def _words(cells: pa.ChunkedArray) -> list[str]:
    return [str(cell) if cell is not None else "" for cell in cells.to_pylist()]


# ---- cells ---------------------------------------------------------------------------------------


def _splitting(raw: RawTables, tokens: str, tags: str) -> Split:
    """Find out how texts are split: at white space, or into letters."""
    train = raw.splits["train"].slice(0, 1000)
    left, right = (_cells(train[name]) for name in (tokens, tags))
    if not any(isinstance(cell, str) for cell in (*left, *right)):
        return str.split

    def equal(split: Split) -> float:
        same = [len(_tokens(a, split)) == len(_tokens(b, split)) for a, b in zip(left, right, strict=True)]
        return sum(same) / max(len(same), 1)

    words = any(len(_tokens(cell, str.split)) > 1 for cell in right)
    return str.split if words or equal(str.split) > equal(list) else list


def lists(column: pa.ChunkedArray, split: Split) -> list[list[str]]:
    """Return the tokens of every row of a column of lists or texts."""
    return [_tokens(cell, split) for cell in _cells(column)]


def _cells(column: pa.ChunkedArray) -> list[Any]:
    """Return lists as lists, also where they were written as text, and texts as they are."""
    cells = column.to_pylist()
    if is_list(column.type):
        return cells
    written = [cell for cell in cells[:100] if isinstance(cell, str) and cell.strip()]
    if written and all(re.fullmatch(r"\s*\[.*\]\s*", cell, re.DOTALL) for cell in written):
        return [_literal(cell) for cell in cells]
    return [None if cell is None else str(cell) for cell in cells]


def _literal(cell: str | None) -> list[Any]:
    """Read a list as Python, JSON or NumPy write it: ['a', 'b'], ["a", "b"] or ['a' 'b']."""
    if not cell or not cell.strip():
        return []
    try:
        found = ast.literal_eval(re.sub(r"(['\"])\s+(?=['\"])", r"\1, ", cell.strip()))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return cell.strip().strip("[]").replace(",", " ").split()
    return list(found) if isinstance(found, (list, tuple)) else [found]


def _tokens(cell: Any, split: Split) -> list[str]:
    if cell is None:
        return []
    return split(cell) if isinstance(cell, str) else ["" if token is None else str(token) for token in cell]


def _array(rows: Sequence[Sequence[str]]) -> pa.Array:
    return pa.array(rows, pa.list_(pa.string()))


# ---- rows ----------------------------------------------------------------------------------------


def _unequal(raw: RawTables, split: str, counts: np.ndarray) -> list[str]:
    """Say which rows have more or fewer tags than tokens."""
    bad = np.flatnonzero(counts[:, 0] != counts[:, 1])
    places = _place(raw, split, bad)
    return [
        f"{place}: {counts[row, 0]:,} tokens and {counts[row, 1]:,} tags"
        for place, row in zip(places, bad, strict=True)
    ]


def _place(raw: RawTables, split: str, rows: Sequence[int] | np.ndarray) -> list[str]:
    locate = raw.locate.get(split)
    numbers = [int(row) for row in rows]
    return locate(numbers) if locate else [f"{split} row {row + 1:,}" for row in numbers]


def _kept_places(raw: RawTables, split: str, kept: np.ndarray) -> Callable[[Sequence[int]], list[str]]:
    return lambda rows: _place(raw, split, [int(kept[row]) for row in rows])
