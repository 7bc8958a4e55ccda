"""Texts with the spans that were marked in them, as doccano and spaCy write them, as tokens and tags.

A span is `[start, end, "Person"]`, in characters, the end excluded, or an object with `start_offset`,
`end_offset` and `label`. Its first token gets the tag B-Person, the others I-Person (Ramshaw and Marcus
1995); tokens outside get O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

SPAN_NAMES = ("label", "labels", "entities", "spans", "annotations", "ner")
"""Usual names of the field of spans, in lower case."""
TEXT_NAMES = ("text", "data", "content", "sentence")
STARTS, ENDS, LABELS = ("start_offset", "start"), ("end_offset", "end"), ("label", "tag", "entity", "type")
TOKEN = re.compile(r"\w+|[^\w\s]")

Span = tuple[int, int, str]


def tokens_and_tags(records: Sequence[Any], notes: list[str]) -> list[Any]:
    """Return records with the tokens of each text in its place, and a tag for each in place of the spans.

    Args:
        records: flat objects; they are returned as they are if no field holds spans in all of them.
        notes: takes what was done, and how many spans were left out because they overlap a longer one.
    """
    found = _fields(records)
    if found is None:
        return list(records)
    text, spans = found
    made, left_out = [], 0
    for record in records:
        marked = [_span(span) for span in record.get(spans) or ()]
        tokens, tags, lost = _tagged(record[text], [span for span in marked if span is not None])
        left_out += lost
        made.append({**record, text: tokens, spans: tags})
    notes.append(f"the spans in {spans!r} are read as a tag for every word and mark of {text!r}")
    if left_out:
        notes.append(f"spans left out, for they overlap a longer one or hold no word: {left_out:,}")
    return made


def holds_spans(records: Sequence[Any]) -> bool:
    """Whether a field of records marks spans in a text of theirs."""
    return _fields(records) is not None


def _fields(records: Sequence[Any]) -> tuple[str, str] | None:
    """Return the fields of the texts and of the spans; None if there are none."""
    if not records or not all(isinstance(record, Mapping) for record in records):
        return None
    names = {str(name).lower(): name for record in records[:100] for name in record}
    texts = (names[name] for name in TEXT_NAMES if name in names)
    text = next((name for name in texts if all(isinstance(r.get(name), str) for r in records)), None)
    spans = (names[name] for name in SPAN_NAMES if name in names)
    holds = next((name for name in spans if _holds_spans(records, name, text)), None)
    return None if text is None or holds is None else (text, holds)


def _holds_spans(records: Sequence[Mapping[str, Any]], name: str, text: str | None) -> bool:
    cells = [(record.get(name) or (), len(record[text]) if text else 0) for record in records]
    if not all(isinstance(cell, Sequence) and not isinstance(cell, str) for cell, _ in cells):
        return False
    spans = [(_span(span), length) for cell, length in cells for span in cell]
    return bool(spans) and all(
        span is not None and 0 <= span[0] <= span[1] <= length for span, length in spans
    )


def _span(value: Any) -> Span | None:
    """Return the start, the end and the label of a span; None for anything else."""
    if isinstance(value, Mapping):
        value = [
            next((value[name] for name in names if name in value), None) for names in (STARTS, ENDS, LABELS)
        ]
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 3:
        return None
    start, end, label = value
    whole = all(isinstance(place, int) and not isinstance(place, bool) for place in (start, end))
    return (start, end, label) if whole and isinstance(label, str) else None


def _tagged(text: str, spans: Sequence[Span]) -> tuple[list[str], list[str], int]:
    """Return the tokens of a text, their tags, and how many spans were left out."""
    tokens = list(TOKEN.finditer(text))
    tags, lost = ["O"] * len(tokens), 0
    for start, end, label in sorted(spans, key=lambda span: span[0] - span[1]):
        inside = [n for n, token in enumerate(tokens) if token.start() < end and token.end() > start]
        if not inside or any(tags[n] != "O" for n in inside):
            lost += 1
            continue
        for n in inside:
            tags[n] = f"{'B' if n == inside[0] else 'I'}-{label}"
    return [token.group() for token in tokens], tags, lost
