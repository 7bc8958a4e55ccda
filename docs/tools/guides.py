"""The order of pages in the navigation, and the list of all guides."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

FIRST = (
    "guides/own-data.md",
    "guides/predict.md",
    "guides/texts.md",
    "guides/read-a-report.md",
    "guides/diagnose.md",
    "guides/resume.md",
    "guides/own-loop.md",
    "guides/look-inside.md",
    "guides/add-a-model.md",
    "guides/add-a-loss.md",
    "guides/add-a-metric.md",
    "guides/add-a-callback.md",
)


def ordered(uris: Iterable[str]) -> list[str]:
    """Sort pages: those named in `FIRST`, then the others by name."""
    return sorted(uris, key=lambda uri: (FIRST.index(uri) if uri in FIRST else len(FIRST), uri))


def listing(folder: Path) -> str:
    """Return a list of the guides of a folder: the title of each, and its first sentence."""
    paths = {f"guides/{path.name}": path for path in folder.glob("*.md") if path.name != "index.md"}
    return "\n".join(_entry(paths[uri]) for uri in ordered(paths))


def _entry(path: Path) -> str:
    heading, text = path.read_text(encoding="utf-8").split("\n", 1)
    paragraph = " ".join(text.strip().split("\n\n")[0].split())
    first = paragraph.split(". ")[0].rstrip(".:")
    return f"- [{heading.removeprefix('# ')}]({path.name}): {first}."
