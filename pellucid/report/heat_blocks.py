"""Words and cells marked by a number: texts with the weight of every token, and maps of values.

A color is told by a second means wherever it bears a sign: a solid line under what is positive, a dotted
one under what is negative, and the number itself in a table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.report import words
from pellucid.report.scales import magnitude_class, signed_class

ROWS, TOKENS, STRONGEST = 24, 320, 8
SIDE, NUMBERED = 64, 12
"""Rows and columns of a map that are drawn; and columns up to which the numbers stand in the cells."""
LINED = 0.2
"""The share of the largest weight from which on a token is lined by its sign."""
STARTS = "▁Ġ"
"""What tokenizers write for the space before a word."""
CONTINUES = "##"
CLOSING = frozenset(".,;:!?)]}'’”%")
"""Tokens that follow the one before without a space."""


@dataclass(frozen=True)
class Token:
    """One token as it is drawn: its words, its classes, and whether it follows the one before at once."""

    text: str
    mark: str
    value: str
    joined: bool
    ends_line: bool


@dataclass(frozen=True)
class Passage:
    """One text; `strongest` are the tokens of the largest weights, (token, weight)."""

    tokens: tuple[Token, ...]
    label: str
    note: str
    left_out: int
    strongest: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Marked:
    """Texts on one scale; `largest` is the weight in full color, `signed` whether any is negative."""

    passages: tuple[Passage, ...]
    largest: str
    signed: bool
    left_out: int


@dataclass(frozen=True)
class Cell:
    """One cell of a map: its class and its number."""

    mark: str
    value: str


@dataclass(frozen=True)
class Heatmap:
    """A map; `low` and `high` are the ends of its scale, which is diverging where it is `signed`."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    signed: bool
    low: str
    high: str
    numbered: bool
    left_out: str


def tokens(rows: Sequence[tuple[Sequence[str], Sequence[float], Any, Any]]) -> Marked:
    """Prepare texts with weights.

    Args:
        rows: (tokens, their weights, label or None, note or None) of each text.

    Raises:
        ValueError: a text has not as many weights as tokens.
    """
    if any(len(pieces) != len(weights) for pieces, weights, _, _ in rows):
        raise ValueError("a text has not as many weights as tokens")
    finite = [weight for _, weights, _, _ in rows for weight in weights if math.isfinite(weight)]
    largest = max(map(abs, finite), default=0.0)
    passages = tuple(_passage(*row, largest) for row in rows[:ROWS])
    signed = min(finite, default=0.0) < 0
    return Marked(passages, words.number(largest), signed, max(0, len(rows) - ROWS))


def _passage(
    pieces: Sequence[str], weights: Sequence[float], label: Any, note: Any, largest: float
) -> Passage:
    joined = _is_joined([str(piece) for piece in pieces])
    drawn, fresh = [], True
    for piece, weight in zip(pieces[:TOKENS], weights[:TOKENS], strict=True):
        token = _token(str(piece), weight, largest, joined, fresh)
        drawn.append(token)
        fresh = token.ends_line
    ranked = sorted(zip(pieces, weights, strict=True), key=lambda pair: -_size(pair[1]))
    strongest = tuple((str(piece), words.signed(weight)) for piece, weight in ranked[:STRONGEST])
    left_out = max(0, len(pieces) - TOKENS)
    return Passage(tuple(drawn), str(label or ""), str(note or ""), left_out, strongest)


def _is_joined(pieces: Sequence[str]) -> bool:
    """Whether the tokens hold their own spaces, so that none is to be put between them."""
    return any(piece[:1] in (*STARTS, " ", "\n") for piece in pieces if piece) or all(
        len(piece) <= 1 for piece in pieces
    )


def _token(piece: str, weight: float, largest: float, joined: bool, fresh: bool) -> Token:
    color = signed_class(weight / largest) if largest and math.isfinite(weight) else ""
    sign = f" {'for' if weight > 0 else 'against'}" if color and abs(weight) >= LINED * largest else ""
    text = piece.removeprefix(CONTINUES)
    for start in STARTS:
        text = text.replace(start, " ")
    apart = text[:1] == " " and len(text) > 1 if joined else text == piece and piece not in CLOSING
    shown = (text[1:] if joined and apart else text).replace("\n", "↵").replace("\t", "→")
    return Token(shown or "·", f"{color}{sign}", words.signed(weight), fresh or not apart, "\n" in text)


def _size(weight: float) -> float:
    return abs(weight) if math.isfinite(weight) else -1.0


def heatmap(rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float]]) -> Heatmap:
    """Prepare a map of values, (rows, columns).

    Raises:
        ValueError: there are not as many values as rows and columns, or none that is finite.
    """
    if len(values) != len(rows) or any(len(row) != len(columns) for row in values):
        raise ValueError(f"its values are not {len(rows)} rows of {len(columns)}")
    finite = [value for row in values for value in row if math.isfinite(value)]
    if not finite:
        raise ValueError("it has no values")
    signed = min(finite) < 0
    largest = max(map(abs, finite)) or 1.0
    numbered = len(columns) <= NUMBERED

    def cell(value: float) -> Cell:
        if not math.isfinite(value):
            return Cell("", words.NOTHING)
        share = value / largest
        return Cell(signed_class(share) if signed else magnitude_class(share), words.plain(round(value, 3)))

    drawn = tuple(
        (name, tuple(cell(value) for value in row[:SIDE]))
        for name, row in zip(rows[:SIDE], values[:SIDE], strict=True)
    )
    cut = len(rows) > SIDE or len(columns) > SIDE
    whole = f"{words.count(len(rows))} × {words.count(len(columns))}"
    return Heatmap(
        columns=tuple(columns[:SIDE]),
        rows=drawn,
        signed=signed,
        low=words.number(-largest) if signed else "0",
        high=words.number(largest),
        numbered=numbered,
        left_out=f"The first {SIDE} rows and columns of {whole}." if cut else "",
    )
