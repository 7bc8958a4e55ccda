"""A PNG in the run folder: `{"kind": "picture", "file": ..., "alt": ... (optional)}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pellucid.report.block import Shelf, View
from pellucid.report.pictures import HALF_PAGE, FittedPicture, fitted


def prepare(facts: Mapping[str, Any], shelf: Shelf) -> FittedPicture:
    """Read the picture."""
    alt = str(facts.get("alt") or f"{facts['title']}. {facts.get('caption') or ''}".strip())
    return fitted(shelf.take(facts["file"]), alt)


VIEW = View("picture", prepare, half=lambda body: 0 < body.wide <= HALF_PAGE)
