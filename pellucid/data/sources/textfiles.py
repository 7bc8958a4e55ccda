"""Plain text: one file is one document, a folder holds a document in every file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from pellucid.data import images
from pellucid.data.build_dataset import RawTables
from pellucid.data.dataset import Source
from pellucid.data.sources import csvfile, jsonlines
from pellucid.data.sources.raw_files import content, printable, suffix_of
from pellucid.data.sources.tables import in_run, split_of
from pellucid.data.text.decoding import decode
from pellucid.errors import BadDataError, DataNotFoundError, PellucidError

PROSE = (".txt", ".text", ".md", ".markdown", ".mdx", ".rst", ".org", ".adoc", ".tex", ".srt", ".vtt", ".abc")
CODE = (
    *(
        ".py",
        ".pyi",
        ".ipynb",
        ".js",
        ".mjs",
        ".jsx",
        ".ts",
        ".tsx",
        ".java",
        ".kt",
        ".scala",
        ".c",
        ".h",
        ".cc",
    ),
    *(".cpp", ".cxx", ".hpp", ".cs", ".go", ".rs", ".swift", ".rb", ".php", ".pl", ".lua", ".r", ".jl", ".m"),
    *(".hs", ".ml", ".clj", ".ex", ".exs", ".erl", ".lisp", ".el", ".sh", ".bash", ".sql", ".css", ".html"),
    *(".htm", ".f90", ".asm", ".s", ".v", ".vhd", ".zig", ".dart", ".nim", ".proto", ".cu", ".sol", ".vue"),
)
SUFFIXES = frozenset([*PROSE, *CODE])
"""Files that are read as text wherever they are."""

READ = (
    "text is read from .txt, .md, .rst, .tex, source code (.py, .js, .c ...), .jsonl, also with .gz, and "
    "from folders of these"
)
"""The kinds of files that hold text, for messages."""

_FORMATS = (
    (b"%PDF", "a PDF", "save its text: pdftotext FILE FILE.txt"),
    (b"PK\x03\x04", "a ZIP archive, as .docx, .epub and .odt are too", "unpack it, or save it as .txt"),
    (b"\xd0\xcf\x11\xe0", "a document of Microsoft Office", "save it as .txt"),
    (b"{\\rtf", "a rich text document", "save it as .txt"),
)
"""Beginnings of documents that are not plain text."""


def is_text(path: Path) -> bool:
    """Return whether files with this name are text."""
    return suffix_of(path) in SUFFIXES


def holds_texts(path: Path) -> bool:
    """Return whether a path is a file of text, or a folder with such files and none of another kind."""
    if path.is_file():
        return is_text(path)
    files = _files(path)
    return bool(files) and all(is_text(file) or not file.suffix for file in files)


def has_texts(folder: Path) -> bool:
    """Return whether there is a file of text in a folder."""
    return any(is_text(file) or jsonlines.is_json_lines(file) for file in _files(folder))


def is_prose(path: Path) -> bool:
    """Return whether a file of text is no table: its lines do not have the same number of cells."""
    if suffix_of(path) != ".txt":
        return is_text(path)
    try:
        layout = csvfile.sniff(path)
        records = [record for _, (_, record) in zip(range(200), layout.records(), strict=False)]
        widths = [len(record) for record in records]
    except PellucidError:
        return True
    width = len(layout.names)
    if layout.dialect.delimiter == "," and _are_sentences(layout.names, records):
        return True
    return width < 2 or sum(found == width for found in widths) < 0.9 * len(widths)


def _are_sentences(names: Sequence[str], records: Sequence[Sequence[str]]) -> bool:
    """Return whether lines with commas are sentences.

    A name of 4 words is none; and cells of a table seldom have 3 words, or rows a full stop at their end.
    """
    cells = [cell for record in records for cell in record]
    long = sum(len(cell.split()) >= 3 for cell in cells)
    ended = sum(record[-1].rstrip().endswith((".", "!", "?")) for record in records if record)
    return any(len(name.split()) >= 4 for name in names) or long > len(cells) / 2 or ended > len(records) / 2


def read_texts(path: Path, *, encoding: str | None = None, field: str | None = None) -> RawTables:
    """Read a file or folder of text; subfolders and files named after splits are those splits.

    Files of JSON lines hold a text in every line.

    Args:
        path: a file, whatever its name, or a folder, in which files that are not text are skipped.
        encoding: of the files; None: as their bytes tell.
        field: of JSON lines that holds the text; None: a usual name.

    Raises:
        BadDataError: a file is empty or not text, or there is none in a folder; names it.
    """
    files = [path] if path.is_file() else _chosen(path)
    splits: dict[str, list[str]] = {}
    notes: dict[str, None] = {}
    empty = []
    for file in sorted(files, key=lambda file: images.natural(str(file))):
        split = (path.is_dir() and split_of(file, path)) or "train"
        if jsonlines.is_json_lines(file):
            texts, said = jsonlines.texts(file, field, encoding)
        elif path.is_dir() and not file.stat().st_size:
            empty.append(file)
            continue
        else:
            text, said = read_text(file, encoding)
            texts = [text]
        splits.setdefault(split, []).extend(texts)
        notes |= dict.fromkeys(said)
    if not splits:
        raise BadDataError(f"All {len(empty):,} files of text in {path} are empty.")
    if empty:
        notes[f"{len(empty):,} files are empty and were left out"] = None
    if path.is_dir():
        notes |= dict.fromkeys(_passed_over(path, files))
    tables = {name: pa.table({"text": pa.array(texts, pa.large_string())}) for name, texts in splits.items()}
    return RawTables(path.stem, tables, Source(str(path), "text"), notes=tuple(notes), documents=True)


def read_text(file: Path, encoding: str | None = None) -> tuple[str, list[str]]:
    """Read one document; the notes say what was decided.

    Raises:
        DataNotFoundError: there is no such file.
        BadDataError: it is empty or not text.
    """
    if not file.is_file():
        raise DataNotFoundError(f"There is no file {file}.")
    raw = content(file)
    for start, what, remedy in _FORMATS:
        if raw.startswith(start):
            raise BadDataError(f"{printable(file)} is {what}, and no plain text.", remedy=remedy)
    text, notes = decode(raw, printable(file.name), encoding)
    if not text.strip():
        raise BadDataError(f"{printable(file)} is empty: expected text.")
    return text.replace("\r\n", "\n"), notes


def _chosen(folder: Path) -> list[Path]:
    """The files of a folder that are text.

    Raises:
        BadDataError: there are none.
    """
    files = [file for file in _files(folder) if is_text(file) or jsonlines.is_json_lines(file)]
    if not files:
        found = Counter(suffix_of(file) or "without an ending" for file in _files(folder))
        received = ", ".join(f"{count:,} {suffix}" for suffix, count in found.most_common(4)) or "nothing"
        raise BadDataError(f"{folder} holds no text: received {received}.", remedy=READ)
    return files


def _passed_over(folder: Path, files: list[Path]) -> list[str]:
    """Say which kinds of text were read, and how many other files were not."""
    read = Counter(suffix_of(file) for file in files)
    chosen = set(files)
    others = Counter(suffix_of(file) or file.name for file in _files(folder) if file not in chosen)
    notes = [f"text from {_tally(read)} files"] if len(read) > 1 or others else []
    return notes + (
        [f"{sum(others.values()):,} other files were ignored ({_tally(others)})"] if others else []
    )


def files_below(folder: Path) -> list[Path]:
    """Return the files of text in a folder and in the folders below it."""
    return [file for file in _files(folder) if is_text(file)]


def _tally(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {printable(suffix)}" for suffix, count in counts.most_common(4))


def _files(folder: Path) -> list[Path]:
    return [
        file
        for file in folder.rglob("*")
        if file.is_file()
        and not any(
            part.startswith(".") or part in ("__MACOSX", "__pycache__")
            for part in file.relative_to(folder).parts
        )
        and not in_run(file, folder)
    ]
