"""Texts in folders of classes, as pos/1.txt and neg/2.txt, or train/pos/1.txt and test/neg/2.txt."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pellucid.data import images
from pellucid.data.build_dataset import RawTables
from pellucid.data.dataset import Source
from pellucid.data.sources import textfiles
from pellucid.data.sources.tables import SPLIT_NAMES
from pellucid.errors import BadDataError

SUFFIXES = (".txt", ".text", ".md", ".html", ".htm")
"""Endings of the files that folders of classes hold; code and other documents lie in folders of topics."""
UNLABELED = frozenset(("unsup", "unsupervised", "unlabeled", "unlabelled", "unknown"))
"""Folders of texts without a class."""
FEWEST = 2
"""Files that each class has at least."""
OTHERS = 0.1
"""Share of the files that may lie outside of the folders of classes: a README, lists of links."""


@dataclass(frozen=True)
class TextFile:
    """A text: its path, its split, and its class."""

    path: Path
    split: str
    label: str


def find(folder: Path) -> tuple[TextFile, ...]:
    """Return the texts of the classes of a folder; () if its folders are not those of classes."""
    if not folder.is_dir():
        return ()
    tops = {place: SPLIT_NAMES[place.name.lower()] for place in _folders(folder) if _is_split(place)}
    if "train" not in tops.values():
        tops = {folder: "train"}
    labels = {label.name for top in tops for label in _folders(top)} - UNLABELED
    if len(labels) < 2 or any(_folders(top / label) for top in tops for label in labels):
        return ()
    found = [
        TextFile(file, split, label)
        for top, split in tops.items()
        for label in sorted(labels)
        for file in _files(top / label)
    ]
    train = Counter(text.label for text in found if text.split == "train")
    outside = sum(
        textfiles.is_text(file) and not UNLABELED & {*file.relative_to(folder).parts}
        for file in folder.rglob("*")
    ) - len(found)
    if set(train) != labels or min(train.values()) < FEWEST or outside > max(1, OTHERS * len(found)):
        return ()
    return tuple(found)


def read(folder: Path, found: tuple[TextFile, ...], encoding: str | None = None) -> RawTables:
    """Read the texts that `find` found, as the columns "text" and "label".

    Args:
        folder: that they are in.
        found: the texts.
        encoding: of the files; None: as their bytes tell.

    Raises:
        BadDataError: a file is not text, or all are empty; names it.
    """
    labels = sorted({text.label for text in found}, key=images.natural)
    splits: dict[str, tuple[list[str], list[int]]] = {}
    notes, empty = dict.fromkeys([f"the classes are the folders {', '.join(labels[:5])}"]), 0
    for text in found:
        if not text.path.stat().st_size:
            empty += 1
            continue
        content, said = textfiles.read_text(text.path, encoding)
        texts, classes = splits.setdefault(text.split, ([], []))
        texts.append(content)
        classes.append(labels.index(text.label))
        notes |= dict.fromkeys(said)
    if "train" not in splits:
        raise BadDataError(f"All {empty:,} files of text in {folder} are empty.")
    if empty:
        notes[f"{empty:,} files are empty and were left out"] = None
    if without := sorted(place.name for place in folder.rglob("*") if place.name in UNLABELED):
        notes[f"texts without a class were left out, in {', '.join(dict.fromkeys(without))}"] = None
    tables = {
        split: pa.table({"text": pa.array(texts, pa.large_string()), "label": pa.array(classes, pa.int64())})
        for split, (texts, classes) in splits.items()
    }
    source = Source(str(folder), "text")
    return RawTables(folder.name, tables, source, classes={"label": labels}, notes=tuple(notes))


def _is_split(place: Path) -> bool:
    return place.name.lower() in SPLIT_NAMES and bool(_folders(place))


def _folders(place: Path) -> list[Path]:
    hidden = (".", "__")
    inside = place.iterdir() if place.is_dir() else ()
    return sorted(each for each in inside if each.is_dir() and not each.name.startswith(hidden))


def _files(place: Path) -> list[Path]:
    inside = place.iterdir() if place.is_dir() else ()
    files = [each for each in inside if each.suffix.lower() in SUFFIXES and not each.name.startswith(".")]
    return sorted(files, key=lambda file: images.natural(file.name))
