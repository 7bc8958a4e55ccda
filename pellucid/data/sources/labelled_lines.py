"""A text on every line, with its class in front (fastText) or in the name of the file: pos.txt, neg.txt."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa

from pellucid.data import images
from pellucid.data.build_dataset import RawTables
from pellucid.data.dataset import Source
from pellucid.data.sources import textfiles
from pellucid.data.sources.content import Content
from pellucid.errors import BadCellsError, PellucidError

LABEL = re.compile(r"__label__(\S+)\s+(.*)")
LOOKED_AT = 2000
"""Bytes of a file that tell whether its lines begin with classes."""
MOST = 0.8
"""Share of the lines that begin with one; the others are refused."""
NAMES = frozenset(
    ("pos", "neg", "positive", "negative", "neutral", "ham", "spam", "fake", "real", "true", "toxic", "clean")
)
"""Names of files that are the classes of their lines."""


def is_labelled(path: Path) -> bool:
    """Return whether the lines of a file begin with a class, or whether the files of a folder are classes."""
    return bool(_by_class(path)) if path.is_dir() else textfiles.is_text(path) and _begins_with_labels(path)


def read(path: Path, encoding: str | None = None) -> RawTables:
    """Read a file or folder that `is_labelled`, as the columns "text" and "label".

    Raises:
        BadCellsError: a line has no class, several or no text; names it.
    """
    found = _lines_of_classes(path, encoding) if path.is_dir() else _labelled_lines(path, encoding)
    labels = sorted({label for _, label, _ in found}, key=images.natural)
    table = pa.table(
        {
            "text": pa.array([text for _, _, text in found], pa.large_string()),
            "label": pa.array([labels.index(label) for _, label, _ in found], pa.int64()),
        }
    )
    places = [place for place, _, _ in found]
    return RawTables(
        path.stem,
        {"train": table},
        Source(str(path), "text"),
        {"train": lambda rows: [places[row] for row in rows]},
        classes={"label": labels},
        notes=(f"every line is a text of one of the classes {', '.join(labels[:5])}",),
    )


def _begins_with_labels(path: Path) -> bool:
    try:
        head = Content(path).head(LOOKED_AT).decode(errors="replace")
    except (OSError, PellucidError):
        return False
    lines = [line for line in head.splitlines() if line.strip()]
    return bool(lines) and sum(line.startswith("__label__") for line in lines) >= MOST * len(lines)


def _labelled_lines(path: Path, encoding: str | None) -> list[tuple[str, str, str]]:
    found = []
    for number, line in enumerate(textfiles.read_text(path, encoding)[0].splitlines(), 1):
        if not line.strip():
            continue
        parts = LABEL.fullmatch(line.strip())
        if parts is None or "__label__" in parts[2]:
            raise BadCellsError(
                f"{path.name} line {number:,}: expected a class and a text, received {line.strip()[:60]!r}.",
                remedy="lines such as __label__spam Call now, with one class each",
            )
        found.append((f"{path.name} line {number:,}", parts[1], parts[2]))
    return found


def _by_class(folder: Path) -> dict[str, Path]:
    """Return the files of a folder by their classes, such as neg.txt or rt-polarity.neg; {} for others."""
    files = [
        file for file in folder.iterdir() if file.is_file() and not file.name.startswith((".", "README"))
    ]
    named = {}
    for file in files:
        parts = re.split(r"[\W_]+", file.name.lower())
        if (label := next((part for part in parts if part in NAMES), None)) is None or label in named:
            return {}
        named[label] = file
    return named if len(named) > 1 and not any(place.is_dir() for place in folder.iterdir()) else {}


def _lines_of_classes(folder: Path, encoding: str | None) -> list[tuple[str, str, str]]:
    return [
        (f"{file.name} line {number:,}", label, line.strip())
        for label, file in sorted(_by_class(folder).items())
        for number, line in enumerate(textfiles.read_text(file, encoding)[0].splitlines(), 1)
        if line.strip()
    ]
