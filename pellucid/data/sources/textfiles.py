"""Plain text: one file is one document, a folder holds a document in every file."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from pellucid.data import images
from pellucid.data.build_dataset import RawTables
from pellucid.data.dataset import Source
from pellucid.data.sources.tables import in_run, split_of
from pellucid.errors import BadDataError, DataNotFoundError

SUFFIX = ".txt"


def is_text(path: Path) -> bool:
    """Return whether this module reads files with this name."""
    return path.suffix.lower() == SUFFIX


def holds_texts(path: Path) -> bool:
    """Return whether a path is a text file, or a folder with text files and no others."""
    if path.is_file():
        return is_text(path)
    suffixes = {file.suffix.lower() for file in _files(path)}
    return SUFFIX in suffixes <= {SUFFIX, ".md"}


def read_texts(path: Path) -> RawTables:
    """Read a file or folder of text; subfolders and files named after splits are those splits.

    Raises:
        BadDataError: a file is empty or not text; names it.
    """
    files = [path] if path.is_file() else [file for file in _files(path) if is_text(file)]
    splits: dict[str, list[str]] = {}
    notes: list[str] = []
    for file in sorted(files, key=lambda file: images.natural(str(file))):
        text, note = read_text(file)
        splits.setdefault((path.is_dir() and split_of(file, path)) or "train", []).append(text)
        notes += note
    tables = {name: pa.table({"text": pa.array(texts, pa.large_string())}) for name, texts in splits.items()}
    return RawTables(path.stem, tables, Source(str(path), "text"), notes=tuple(notes), documents=True)


def read_text(file: Path) -> tuple[str, list[str]]:
    """Read one document; the notes say what was decided.

    Raises:
        DataNotFoundError: there is no such file.
        BadDataError: it is empty or not text.
    """
    if not file.is_file():
        raise DataNotFoundError(f"There is no file {file}.")
    raw = file.read_bytes()
    if b"\x00" in raw:
        raise BadDataError(f"{file} is not text: byte {raw.index(0):,} is 0.")
    try:
        text, note = raw.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        text, note = raw.decode("latin-1"), [f"{file.name} is not UTF-8; read as Latin-1"]
    if not text.strip():
        raise BadDataError(f"{file} is empty: expected text.")
    return text.replace("\r\n", "\n"), note


def _files(folder: Path) -> list[Path]:
    return [
        file
        for file in folder.rglob("*")
        if file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
        and not in_run(file, folder)
    ]
