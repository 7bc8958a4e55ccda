"""The order of pages in the navigation: what a newcomer needs first comes first, all others by name."""

from __future__ import annotations

from collections.abc import Iterable

FIRST = (
    "guides/own-data.md",
    "guides/read-a-report.md",
    "guides/resume.md",
    "guides/own-loop.md",
    "guides/add-a-model.md",
    "guides/add-a-loss.md",
    "guides/add-a-metric.md",
    "guides/add-a-callback.md",
)


def ordered(uris: Iterable[str]) -> list[str]:
    """Sort pages: those named in `FIRST`, then the others by name."""
    return sorted(uris, key=lambda uri: (FIRST.index(uri) if uri in FIRST else len(FIRST), uri))
