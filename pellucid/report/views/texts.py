"""Texts: `{"kind": "texts", "rows": [{"text": ..., "note": ..., "label": ... (optional)}]}`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pellucid.report.block import Shelf, View

MAX_TEXTS = 48
MAX_CHARACTERS = 4000  # of each text


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
        return text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]} …"

    return tuple(
        Quote(cut(r["text"]), cut(r.get("note")), cut(r.get("label"))) for r in facts["rows"][:MAX_TEXTS]
    )


VIEW = View("texts", prepare)
