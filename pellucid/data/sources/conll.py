"""CoNLL files: a token and its tag on every line, and an empty line after every sentence.

Read are the layouts of CoNLL-2003 (columns separated by white space) and CoNLL-U (ten columns separated by
tabs; the token is FORM, the tag UPOS).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pyarrow as pa

from pellucid.data.build_dataset import Locate, RawTables
from pellucid.data.dataset import Source
from pellucid.data.sources.content import Content
from pellucid.data.sources.raw_files import content, printable, suffix_of
from pellucid.data.sources.tables import in_run, split_in, split_of
from pellucid.data.text.decoding import decode
from pellucid.errors import BadDataError, PellucidError, UntaggedError

SUFFIXES = (".conll", ".conllu", ".iob", ".iob2", ".bio", ".bilou", ".train", ".testa", ".testb")
CONLL_2003 = {"testa": "validation", "testb": "test"}
"""What the splits of CoNLL-2003 are called."""
UNIVERSAL = 10
"""Columns of CoNLL-U."""
LOOKED_AT, FILES = 20_000, 5
"""Bytes of a file, and files of a folder, that tell how it is laid out."""
REGULAR = 0.95
"""Share of the lines that have the usual number of columns; the others are refused by line."""
TOKENS, TAGS = "tokens", "tags"


def is_conll(path: Path) -> bool:
    """Return whether a file is laid out this way: by its name, or because lines of tokens come in groups."""
    if suffix_of(path) in SUFFIXES:
        return True
    if suffix_of(path) not in (".txt", ".tsv", ".dat", ".data", ""):
        return False
    try:
        lines = decode(Content(path).head(LOOKED_AT), printable(path.name))[0].splitlines()[:-1]
    except PellucidError:
        return False  # no text
    return _in_groups([line for line in lines if not line.startswith("#")])


def _in_groups(lines: Sequence[str]) -> bool:
    """Whether nearly all lines have the same number of columns, a token first, in groups."""
    rows = [_cells(line) for line in lines if line.strip() and not line.startswith("-DOCSTART-")]
    if len(rows) < 2 or all(line.strip() for line in lines):
        return False
    width, count = Counter(map(len, rows)).most_common(1)[0]
    sentences = 1 + sum(not above.strip() and bool(line.strip()) for above, line in pairwise(lines))
    spaced = sum(" " in row[0].strip() for row in rows)
    return width >= 2 and count >= REGULAR * len(rows) and sentences >= 2 and spaced <= len(rows) // 50


def holds_conll(folder: Path) -> bool:
    """Return whether the first files of a folder are laid out this way."""
    return any(is_conll(file) for file in _files(folder)[:FILES])


def read_conll(path: Path, encoding: str | None = None, *, skip_bad: bool = False) -> RawTables:
    """Read a file, or the files of a folder, as two columns of lists, `tokens` and `tags`.

    Args:
        path: of the file or folder.
        encoding: of the text; None: as its bytes tell.
        skip_bad: leave out lines that have no tag.

    Raises:
        BadDataError: a line has fewer than two columns; names it. Or there is no such file in the folder.
    """
    files = {"train": [path]} if path.is_file() else _by_split(path)
    splits: dict[str, pa.Table] = {}
    locate: dict[str, Locate] = {}
    skipped: list[str] | None = [] if skip_bad else None
    for split, paths in files.items():
        found = [sentence for file in paths for sentence in _sentences(file, encoding, skipped)]
        splits[split] = pa.table(
            {
                TOKENS: pa.array([tokens for _, tokens, _ in found], pa.list_(pa.string())),
                TAGS: pa.array([tags for _, _, tags in found], pa.list_(pa.string())),
            }
        )
        locate[split] = _places([place for place, _, _ in found])
    source = Source(str(path), "text")
    return RawTables(
        path.stem or path.name, splits, source, locate, path.parent, skipped=tuple(skipped or ())
    )


def _places(places: Sequence[str]) -> Locate:
    return lambda rows: [places[row] for row in rows]


def _files(folder: Path) -> list[Path]:
    found = sorted(file for file in folder.rglob("*") if file.is_file() and not in_run(file, folder))
    return [file for file in found if not file.name.startswith((".", "_", "README", "readme"))]


def _by_split(folder: Path) -> dict[str, list[Path]]:
    splits: dict[str, list[Path]] = {}
    for file in filter(is_conll, _files(folder)):
        named = split_in(file.name, CONLL_2003) or split_of(file, folder)
        splits.setdefault(named or "train", []).append(file)
    if not splits:
        raise BadDataError(
            f"{folder} holds no file with a token and its tag on every line.", remedy="name the file to use"
        )
    return splits


def _sentences(
    file: Path, encoding: str | None, skipped: list[str] | None = None
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield where a sentence begins, its tokens and its tags; move lines without a tag to `skipped`."""
    tokens: list[str] = []
    tags: list[str] = []
    start = 1
    for number, line in enumerate(decode(content(file), printable(file.name), encoding)[0].splitlines(), 1):
        if not line.strip() or line.startswith(("-DOCSTART-", "# ")) or line.strip() == "#":
            if tokens and not line.strip():
                yield f"{file.name} line {start:,}", tokens, tags
                tokens, tags = [], []
            start = number + 1
            continue
        cells = _cells(line)
        if len(cells) < 2:
            what = f"{file.name} line {number:,}: expected a token and its tag, received {line.strip()!r:.60}"
            if skipped is None:
                raise UntaggedError(
                    f"{what}.",
                    remedy="an empty line ends a sentence; columns are separated by white space; --skip-bad "
                    "leaves such lines out",
                )
            skipped.append(what)
            continue
        if len(cells) == UNIVERSAL and "\t" in line:
            if not cells[0].isdigit():
                continue  # 1-2 is a word that is written as one and read as two; 1.1 is not written at all
            cells = [cells[1], cells[3]]
        tokens.append(cells[0])
        tags.append(cells[-1])
    if tokens:
        yield f"{file.name} line {start:,}", tokens, tags


def _cells(line: str) -> list[str]:
    return line.rstrip("\n").split("\t") if "\t" in line else line.split()
