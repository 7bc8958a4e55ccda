"""Translations in two files, a sentence on every line: train.de and train.en (Moses, OPUS, WMT)."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from pellucid.data.build_dataset import Locate, RawTables
from pellucid.data.dataset import Source
from pellucid.data.sources import textfiles
from pellucid.data.sources.tables import split_in
from pellucid.errors import BadDataError

SHORTEST, LONGEST = 2, 3
"""Letters of an ending that may be a language: .de, .eng, .src."""
KNOWN = frozenset(
    (".txt", ".csv", ".tsv", ".md", ".py", ".png", ".jpg", ".npy", ".npz", ".zip", ".xml", ".gz")
)
WMT = {"newstest": "test"}
"""What the test of a conference on machine translation is called."""


def find(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Return the two files of every split of a folder; {} where it holds something else."""
    if not folder.is_dir():
        return {}
    files = [file for file in folder.iterdir() if not file.name.startswith((".", "README", "LICENSE"))]
    languages = sorted({file.suffix.lower() for file in files})
    letters = all(
        SHORTEST <= len(ending) - 1 <= LONGEST and ending[1:].isalpha() and ending not in KNOWN
        for ending in languages
    )
    if len(languages) != 2 or not letters or not all(file.is_file() for file in files):
        return {}
    stems = {file.stem for file in files}
    first, second = languages
    pairs = {stem: (folder / f"{stem}{first}", folder / f"{stem}{second}") for stem in stems}
    if not all(file.is_file() for pair in pairs.values() for file in pair):
        return {}
    splits = {
        (split_in(stem, WMT) or stem) if len(stems) > 1 else "train": pair
        for stem, pair in sorted(pairs.items())
    }
    return splits if len(splits) == len(pairs) and "train" in splits else {}


def read(folder: Path, found: dict[str, tuple[Path, Path]], encoding: str | None = None) -> RawTables:
    """Read what `find` found as two columns, named after the endings of the files.

    Raises:
        BadDataError: the files of a split have different numbers of lines; names them.
    """
    splits: dict[str, pa.Table] = {}
    locate: dict[str, Locate] = {}
    for split, pair in found.items():
        sides = [textfiles.read_text(file, encoding)[0].removesuffix("\n").split("\n") for file in pair]
        if len(sides[0]) != len(sides[1]):
            raise BadDataError(
                f"{pair[0].name} has {len(sides[0]):,} lines and {pair[1].name} {len(sides[1]):,}: expected "
                "as many, since lines are translations of each other.",
                remedy="align them, or write both into one CSV file",
            )
        names = [file.suffix[1:].lower() for file in pair]
        splits[split] = pa.table(
            {name: pa.array(lines, pa.large_string()) for name, lines in zip(names, sides, strict=True)}
        )
        locate[split] = lambda rows, file=pair[0]: [f"{file.name} line {row + 1:,}" for row in rows]
    return RawTables(folder.name, splits, Source(str(folder), "text"), locate)
