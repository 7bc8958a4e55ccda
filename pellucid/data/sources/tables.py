"""Tables: a file, a folder of files, or one file for each split."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from pellucid.config import Config, CsvConfig
from pellucid.data.build_dataset import DataOptions, Locate, RawTables, build_dataset
from pellucid.data.dataset import Dataset, Source
from pellucid.data.marks import Marks
from pellucid.data.sources import jsonlines, tablefile
from pellucid.data.sources.tablefile import SUFFIXES, Part, is_text_suffix, suffix_of
from pellucid.errors import BadDataError, DataNotFoundError, UnknownNameError, similar_file

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Usual names of splits, and their names here."""


def csv(path: str | os.PathLike, target: str | None = None, **written: Any) -> Dataset:
    """Read a file of delimited text, or a folder of train, validation and test files.

    Args:
        path: .csv, .tsv or .txt, also with .gz or in a .zip; or a folder of these.
        target: the column to predict; several with commas between them; None: the usual names.
        written: how the file is written, where that is not found out: `decimal`, `thousands`, `missing`,
            `dates`, `header`, `skip`, `encoding`, `quote`, `delimiter`, as in `data.csv` of a config.

    Returns:
        A dataset; not split if there is one file.

    Raises:
        DataNotFoundError: there is no such file.
        BadDataError: a cell does not fit; names line and column.
        UnknownNameError: there is no column `target`, or no such option.
        ConfigError: an option has a value that it cannot have.
    """
    return read_tables(Path(path), DataOptions(target=target, csv=csv_config(written)))


def parquet(path: str | os.PathLike, target: str | None = None) -> Dataset:
    """Read a Parquet file, a folder of its parts, or of train, validation and test files.

    Feather, Arrow, JSON and Excel files are read too. Args and errors are those of `csv`.
    """
    return read_tables(Path(path), DataOptions(target=target))


def csv_config(written: Mapping[str, Any]) -> CsvConfig:
    """Return the section `data.csv` with some options, by name.

    Raises:
        UnknownNameError: there is no such option.
        ConfigError: an option has a value that it cannot have.
    """
    for name in written:
        if name not in CsvConfig.model_fields:
            raise UnknownNameError("option of csv", name, CsvConfig.model_fields)
    return Config().patch({f"data.csv.{name}": value for name, value in written.items()}, "csv").data.csv


def is_table_file(path: Path) -> bool:
    """Return whether files with this name are read here."""
    return suffix_of(path) in SUFFIXES


def is_part(path: Path) -> bool:
    """Return whether files with this name in a folder are tables; others may be about the data."""
    return is_table_file(path) and suffix_of(path) not in (
        ".txt",
        ".dat",
        ".data",
        ".zip",
        *jsonlines.SUFFIXES,
    )


def read_tables(path: Path, options: DataOptions | None = None) -> Dataset:
    """Read a table file, or a folder of them."""
    options = options or DataOptions()
    if not path.exists():
        raise DataNotFoundError(
            f"There is no file or folder {path}.{similar_file(path)}",
            remedy="pass the path of a CSV or Parquet file",
        )
    raw = raw_tables(
        path,
        skip_bad=options.skip_bad,
        csv=options.csv,
        file_column=options.file_column if path.is_dir() else None,
    )
    return build_dataset(raw, options)


def raw_tables(
    path: Path, *, skip_bad: bool = False, csv: CsvConfig | None = None, file_column: str | None = None
) -> RawTables:
    """Read the cells of a file, or of the files of a folder, without interpreting them.

    Args:
        path: of the file or folder.
        skip_bad: leave out lines that cannot be read.
        csv: how files of text are written.
        file_column: the name of a column to add, which names the file of each row; None: none is added.
    """
    files = {"train": [path]} if path.is_file() else _files(path)
    suffix = suffix_of(next(iter(files.values()))[0])
    kind = "csv" if is_text_suffix(suffix) else "json" if suffix in jsonlines.SUFFIXES else "parquet"
    splits: dict[str, pa.Table] = {}
    locate: dict[str, Locate] = {}
    read: list[Part] = []
    for split, paths in files.items():
        parts = [tablefile.read(part, csv, skip_bad=skip_bad) for part in paths]
        if file_column is not None:
            parts = [_with_file(part, file, file_column) for part, file in zip(parts, paths, strict=True)]
        splits[split], locate[split] = _joined(paths, parts)
        read += parts
    csv = csv or CsvConfig()
    return RawTables(
        name=_name(path),
        splits=splits,
        source=Source(str(path), kind),
        locate=locate,
        folder=path if path.is_dir() else path.parent,
        skipped=tuple(line for part in read for line in part.skipped),
        notes=tuple(dict.fromkeys(line for part in read for line in part.notes)),
        marks=Marks(
            csv.decimal,
            csv.thousands,
            None if csv.missing is None else tuple(csv.missing),
            csv.dates,
            any(part.commas for part in read),
            any(part.semicolons for part in read),
        ),
        written=_written(csv, read),
    )


def _with_file(part: Part, file: Path, name: str) -> Part:
    """Add a column of the name of the file, unless there is a column of this name."""
    if name in part.table.column_names:
        return part
    names = pa.array([_name(file)] * len(part.table), pa.string())
    return replace(part, table=part.table.append_column(name, names))


def _written(csv: CsvConfig, parts: Sequence[Part]) -> dict[str, Any]:
    """Return what the user said of the files, and whether they have a header."""
    said = {name: value for name, value in csv.model_dump().items() if value is not None and name != "skip"}
    headers = {part.header for part in parts} - {None}
    return {**said, "header": headers.pop()} if len(headers) == 1 else said


def _name(path: Path) -> str:
    name = path.name or path.resolve().name
    return name.split(".")[0] or name


def _files(folder: Path) -> dict[str, list[Path]]:
    """Find the table files of a folder by split; files that name no split are all training rows.

    Raises:
        BadDataError: there are none, there are two kinds, or only some name a split.
    """
    found = sorted(files_below(folder))
    if not found:
        raise BadDataError(f"{folder} holds no CSV or Parquet file.")
    if len({is_text_suffix(suffix_of(file)) for file in found}) > 1:
        raise BadDataError(
            f"{folder} holds files of text and of other kinds: expected one kind.",
            remedy="name the file to use",
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


def files_below(folder: Path) -> list[Path]:
    """Return the table files in a folder and in the folders below it."""
    return [
        file for file in folder.rglob("*") if file.is_file() and is_part(file) and not _hidden(file, folder)
    ]


def split_of(file: Path, folder: Path) -> str | None:
    """Return the split that a file or its folder is named after, e.g. train-00000-of-00002.parquet."""
    relative = file.relative_to(folder)
    for part in (relative.name.split(".")[0], *relative.parts[:-1]):
        word = part.lower().replace("_", "-").split("-")[0]
        if word in SPLIT_NAMES:
            return SPLIT_NAMES[word]
    return None


def split_in(name: str, also: Mapping[str, str] | None = None) -> str | None:
    """Return the split that any word of a name stands for, e.g. en_ewt-ud-dev.conllu; None without one.

    Args:
        name: of a file.
        also: further names of splits.
    """
    names = {**SPLIT_NAMES, **(also or {})}
    return next((names[word] for word in re.split(r"[._-]", name.lower()) if word in names), None)


def _joined(paths: Sequence[Path], parts: Sequence[Part]) -> tuple[pa.Table, Locate]:
    """Concatenate the files of one split."""
    first, tables = parts[0].table, []
    for path, part in zip(paths, parts, strict=True):
        odd = sorted(set(part.table.column_names) ^ set(first.column_names))
        if odd:
            raise BadDataError(
                f"{path} and {paths[0].name} differ in columns: only one has {', '.join(map(repr, odd))}."
            )
        same = part.table.column_names == first.column_names
        tables.append(part.table if same else part.table.select(first.column_names))
    try:
        joined = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise BadDataError(
            f"The files {paths[0].name} to {paths[-1].name} hold different types: {error}."
        ) from None
    return joined, _joined_places([len(table) for table in tables], [part.locate for part in parts])


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


def _hidden(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith((".", "_")) for part in file.relative_to(folder).parts)
    return hidden or in_run(file, folder)


def in_run(file: Path, folder: Path) -> bool:
    """Return whether a file below a folder belongs to a run, and so is no data."""
    below = itertools.takewhile(lambda parent: parent != folder, file.parents)
    return any((parent / "run.json").is_file() for parent in below)
