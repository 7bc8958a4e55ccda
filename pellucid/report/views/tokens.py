"""Texts with a weight for every token.

    {"kind": "tokens", "rows": [{"tokens": [...], "weights": [...], "label", "note"}]}

Wherever a color has a sign, it is shown in a second way: a solid line under positive tokens, a dotted line
under negative ones, and the number itself in a table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.report import words
from pellucid.report.block import Shelf, View
from pellucid.report.scales import signed_class
from pellucid.report.text_tables import number

MAX_TEXTS = 24
MAX_TOKENS = 320  # of each text
STRONGEST_SHOWN = 8  # tokens in the table of a text
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


def prepare(facts: Mapping[str, Any], shelf: Shelf) -> Marked:
    """Color each token by its weight."""
    return tokens(
        [(r["tokens"], list(map(number, r["weights"])), r.get("label"), r.get("note")) for r in facts["rows"]]
    )


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
    passages = tuple(_passage(*row, largest) for row in rows[:MAX_TEXTS])
    signed = min(finite, default=0.0) < 0
    return Marked(passages, words.number(largest), signed, max(0, len(rows) - MAX_TEXTS))


def _passage(
    pieces: Sequence[str], weights: Sequence[float], label: Any, note: Any, largest: float
) -> Passage:
    joined = _is_joined([str(piece) for piece in pieces])
    drawn, fresh = [], True
    for piece, weight in zip(pieces[:MAX_TOKENS], weights[:MAX_TOKENS], strict=True):
        token = _token(str(piece), weight, largest, joined, fresh)
        drawn.append(token)
        fresh = token.ends_line
    ranked = sorted(zip(pieces, weights, strict=True), key=lambda pair: -_size(pair[1]))
    strongest = tuple((str(piece), words.signed(weight)) for piece, weight in ranked[:STRONGEST_SHOWN])
    left_out = max(0, len(pieces) - MAX_TOKENS)
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


VIEW = View("tokens", prepare)
