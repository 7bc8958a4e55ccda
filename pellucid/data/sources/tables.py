"""CSV and Parquet: a file, a folder of files, or one file for each split."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pellucid.data.build_dataset import DataOptions, Locate, RawTables, build_dataset
from pellucid.data.dataset import Dataset, Source
from pellucid.data.sources import csvfile
from pellucid.errors import BadDataError, DataNotFoundError

CSV = (".csv", ".tsv", ".txt")  # file name endings
PARQUET = (".parquet", ".pq")
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Usual names of splits, and their names here."""


def csv(path: str | os.PathLike, target: str | None = None) -> Dataset:
    """Read a file of delimited text, or a folder of train, validation and test files.

    Args:
        path: .csv, .tsv or .txt, also with .gz; or a folder of these.
        target: the column to predict; several with commas between them; None: the usual names.

    Returns:
        A dataset; not split if there is one file.

    Raises:
        DataNotFoundError: there is no such file.
        BadDataError: a cell does not fit; names line and column.
        UnknownNameError: there is no column `target`.
    """
    return read_tables(Path(path), DataOptions(target=target))


def parquet(path: str | os.PathLike, target: str | None = None) -> Dataset:
    """Read a Parquet file, a folder of its parts, or of train, validation and test files.

    Args and errors are those of `csv`.
    """
    return read_tables(Path(path), DataOptions(target=target))


def is_table_file(path: Path) -> bool:
    """Return whether this module reads files with this name."""
    return _suffix(path) in (*CSV, *PARQUET)


def read_tables(path: Path, options: DataOptions | None = None) -> Dataset:
    """Read a table file, or a folder of them."""
    options = options or DataOptions()
    if not path.exists():
        raise DataNotFoundError(
            f"There is no file or folder {path}.", remedy="pass the path of a CSV or Parquet file"
        )
    return build_dataset(raw_tables(path, skip_bad=options.skip_bad), options)


def raw_tables(path: Path, *, skip_bad: bool = False) -> RawTables:
    """Read the cells of a file, or of the files of a folder, without interpreting them."""
    files = {"train": [path]} if path.is_file() else _files(path)
    kind = "parquet" if _suffix(next(iter(files.values()))[0]) in PARQUET else "csv"
    splits: dict[str, pa.Table] = {}
    locate: dict[str, Locate] = {}
    skipped: list[str] = []
    notes: list[str] = []
    for split, parts in files.items():
        splits[split], locate[split], left_out, decided = _read_parts(parts, skip_bad)
        skipped += left_out
        notes += decided
    return RawTables(
        name=_name(path),
        splits=splits,
        source=Source(str(path), kind),
        locate=locate,
        folder=path if path.is_dir() else path.parent,
        skipped=tuple(skipped),
        notes=tuple(notes),
    )


def _name(path: Path) -> str:
    name = path.name or path.resolve().name
    return name.split(".")[0] or name


def _files(folder: Path) -> dict[str, list[Path]]:
    """Find the table files of a folder by split; files that name no split are all training rows.

    Raises:
        BadDataError: there are none, there are two kinds, or only some name a split.
    """
    found = sorted(
        file
        for file in folder.rglob("*")
        if file.is_file() and is_table_file(file) and not _hidden(file, folder)
    )
    found = [file for file in found if _suffix(file) != ".txt"]
    if not found:
        raise BadDataError(f"{folder} holds no CSV or Parquet file.")
    if len({_suffix(file) in PARQUET for file in found}) > 1:
        raise BadDataError(
            f"{folder} holds CSV and Parquet files: expected one kind.", remedy="name the file to use"
        )
    splits: dict[str, list[Path]] = {}
    for file in found:
        splits.setdefault(split_of(file, folder) or "", []).append(file)
    unnamed = splits.pop("", [])
    if unnamed and splits:
        raise BadDataError(
            f"{folder}: {unnamed[0].name} names no split, though {next(iter(splits.values()))[0].name} does.",
            remedy="name the file to use, or call the files train, validation and test",
        )
    return splits or {"train": unnamed}


def split_of(file: Path, folder: Path) -> str | None:
    """Return the split that a file or its folder is named after, e.g. train-00000-of-00002.parquet."""
    relative = file.relative_to(folder)
    for part in (relative.name.split(".")[0], *relative.parts[:-1]):
        word = part.lower().replace("_", "-").split("-")[0]
        if word in SPLIT_NAMES:
            return SPLIT_NAMES[word]
    return None


def _read_parts(parts: Sequence[Path], skip_bad: bool) -> tuple[pa.Table, Locate, list[str], list[str]]:
    """Read and concatenate the files of one split."""
    tables, places, skipped, notes = [], [], [], []
    for part in parts:
        if _suffix(part) in PARQUET:
            table = _read_parquet(part)
            places.append(lambda rows, part=part: [f"{part.name} row {row + 1:,}" for row in rows])
        else:
            table, layout, left_out = csvfile.read(part, skip_bad=skip_bad)
            places.append(layout.places)
            skipped += left_out
            notes += layout.notes
        if tables and set(table.column_names) != set(tables[0].column_names):
            odd = sorted(set(table.column_names) ^ set(tables[0].column_names))
            raise BadDataError(
                f"{part} and {parts[0].name} differ in columns: only one has {', '.join(map(repr, odd))}."
            )
        tables.append(table.select(tables[0].column_names) if tables else table)
    try:
        joined = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise BadDataError(
            f"The files {parts[0].name} to {parts[-1].name} hold different types: {error}."
        ) from None
    return joined, _joined_places([len(table) for table in tables], places), skipped, notes


def _joined_places(sizes: Sequence[int], places: Sequence[Locate]) -> Locate:
    """Return what locates the rows of several concatenated files."""

    def locate(rows: Sequence[int]) -> list[str]:
        found, start = [], 0
        for size, place in zip(sizes, places, strict=True):
            inside = [row - start for row in rows if start <= row < start + size]
            found += place(inside) if inside else []
            start += size
        return found

    return locate


def _read_parquet(path: Path) -> pa.Table:
    try:
        table = pq.ParquetFile(path, memory_map=True).read()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise BadDataError(
            f"{path} is not a Parquet file that can be read: {error}.",
            remedy="write or download it again",
        ) from None
    twice = [name for name in table.column_names if table.column_names.count(name) > 1]
    if twice:
        raise BadDataError(
            f"{path}: the column name {twice[0]!r} occurs {table.column_names.count(twice[0])} times."
        )
    dropped = [name for name in table.column_names if name.startswith("__index_level_")]
    return table.drop_columns(dropped).replace_schema_metadata(None)


def _suffix(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def _hidden(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith((".", "_")) for part in file.relative_to(folder).parts)
    return hidden or in_run(file, folder)


def in_run(file: Path, folder: Path) -> bool:
    """Return whether a file below a folder belongs to a run, and so is no data."""
    below = itertools.takewhile(lambda parent: parent != folder, file.parents)
    return any((parent / "run.json").is_file() for parent in below)
