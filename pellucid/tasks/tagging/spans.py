"""Spans of tags: how they begin and end, and how many were found.

Read are B- and I- (IOB2 and IOB1), E-, L-, S- and U- (BIOES, BILOU), as the script of CoNLL-2000, conlleval,
reads them: a span is found if its type, its beginning and its end are right.
"""

from __future__ import annotations

from collections.abc import Sequence

Span = tuple[str, int, int]
"""The type, the first token and the token after the last."""

BEGIN, INSIDE, LAST, SINGLE = "B", "I", "EL", "SU"


def are_spans(tags: Sequence[str]) -> bool:
    """Whether tags have the form of spans: O, and others that begin with B-, I-, E-, L-, S- or U-."""
    others = [tag for tag in tags if tag != "O"]
    return bool(others) and all(tag[1:2] == "-" and tag[0] in "BIELSU" for tag in others)


def spans(tags: Sequence[str]) -> list[Span]:
    """Return the spans of a row of tags, in order."""
    found: list[Span] = []
    kind, start = "", 0
    for place, tag in enumerate([*tags, "O"]):
        mark, _, here = ("", "", "") if tag == "O" else tag.partition("-")
        if kind and (here != kind or mark in (BEGIN, *SINGLE)):
            found.append((kind, start, place))
            kind = ""
        if here and not kind:
            kind, start = here, place
        if kind and mark in (*LAST, *SINGLE):
            found.append((kind, start, place + 1))
            kind = ""
    return found


def span_f1(wanted: Sequence[Sequence[str]], found: Sequence[Sequence[str]]) -> float:
    """Return the F1 of whole spans over rows of tags (micro-average); 0 where there are none."""
    right = true = predicted = 0
    for left, row in zip(wanted, found, strict=True):
        real, made = set(spans(left)), set(spans(row))
        right, true, predicted = right + len(real & made), true + len(real), predicted + len(made)
    return 2 * right / (true + predicted) if true + predicted else 0.0
