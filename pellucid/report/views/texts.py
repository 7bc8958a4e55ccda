"""Texts: `{"kind": "texts", "rows": [{"text": ..., "note": ..., "label": ... (optional)}]}`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pellucid.report.block import Shelf, View

TEXTS, LETTERS = 48, 4000
"""Texts shown, and characters of each."""


@dataclass(frozen=True)
class Quote:
    """One text."""

    text: str
    note: str
    label: str


def prepare(facts: Mapping[str, Any], shelf: Shelf) -> tuple[Quote, ...]:
    """Shorten the texts to what a page can show."""

    def cut(value: Any) -> str:
        text = str(value or "")
        return text if len(text) <= LETTERS else f"{text[:LETTERS]} …"

    return tuple(
        Quote(cut(r["text"]), cut(r.get("note")), cut(r.get("label"))) for r in facts["rows"][:TEXTS]
    )


VIEW = View("texts", prepare)
