"""One file of a table, in any format that is read: its cells, and the places of its rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq

from pellucid.config import CsvConfig
from pellucid.data.build_dataset import Locate
from pellucid.data.sources import csvfile, excel, jsonlines
from pellucid.data.sources.content import TEXT
from pellucid.data.sources.header import unique_names
from pellucid.errors import BadDataError

SUFFIXES = (
    *TEXT,
    ".zip",
    ".parquet",
    ".pq",
    ".feather",
    ".arrow",
    ".ipc",
    ".jsonl",
    ".ndjson",
    ".json",
    ".xlsx",
)
"""Endings of the files that are read; those of text also with .gz."""

OTHERS = {
    ".xls": "save it as .xlsx or .csv",
    ".ods": "save it as .xlsx or .csv",
    ".dta": "pandas.read_stata(path).to_parquet('data.parquet')",
    ".sav": "pandas.read_spss(path).to_parquet('data.parquet')",
    ".sas7bdat": "pandas.read_sas(path).to_parquet('data.parquet')",
    ".h5": "pandas.read_hdf(path).to_parquet('data.parquet')",
    ".hdf5": "h5py, and pellucid.arrays(X, y)",
    ".pkl": "pandas.read_pickle(path).to_parquet('data.parquet'), if you trust the file: it can run any code",
    ".pickle": "pandas.read_pickle(path).to_parquet('data.parquet')",
    ".rds": "write.csv(x, 'data.csv', row.names = FALSE) in R",
    ".rdata": "write.csv(x, 'data.csv', row.names = FALSE) in R",
    ".mat": "scipy.io.loadmat(path), and pellucid.arrays(X, y)",
    ".arff": "scipy.io.arff.loadarff(path), and pandas.DataFrame(data).to_csv('data.csv', index=False)",
    ".orc": "pyarrow.orc.read_table(path), and pyarrow.parquet.write_table(table, 'data.parquet')",
    ".avro": "convert it to Parquet or CSV",
    ".xml": "pandas.read_xml(path).to_csv('data.csv', index=False)",
    ".html": "pandas.read_html(path)[0].to_csv('data.csv', index=False)",
    ".sqlite": "pandas.read_sql('select * from TABLE', connection).to_parquet('data.parquet')",
    ".db": "pandas.read_sql('select * from TABLE', connection).to_parquet('data.parquet')",
    **dict.fromkeys((".rar", ".7z", ".tar", ".tgz", ".bz2", ".xz", ".zst"), "unpack it first"),
    ".gz": "unpack it first, or give it a name such as data.csv.gz",
}
"""Endings of tables that are not read, and what to do with them."""


@dataclass(frozen=True)
class Part:
    """The content of one file.

    Attributes:
        table: its rows; those of text files hold only text.
        locate: names the places of rows.
        skipped: lines that were left out, one entry each.
        notes: what was decided, one line each.
        commas: whether some column can only be numbers with decimal commas.
        semicolons: whether cells are separated by semicolons.
        header: whether a file of text has a header; None for other files.
    """

    table: pa.Table
    locate: Locate
    skipped: Sequence[str] = ()
    notes: Sequence[str] = ()
    commas: bool = False
    semicolons: bool = False
    header: bool | None = None


def read(path: Path, config: CsvConfig | None = None, *, skip_bad: bool = False) -> Part:
    """Read a file.

    Args:
        path: one of `SUFFIXES`.
        config: how files of text are written; None: found out.
        skip_bad: leave out lines of text with too few or too many cells.

    Raises:
        BadDataError: it cannot be read; names the file, and the line where there is one.
        MissingExtraError: it is an Excel file, and openpyxl is not installed.
    """
    suffix = suffix_of(path)
    if suffix in (*TEXT, ".zip", ".xlsx"):
        source, notes = excel.as_text(path) if suffix == ".xlsx" else (path, [])
        table, layout, skipped = csvfile.read(source, skip_bad=skip_bad, config=config)
        semicolons = layout.dialect.delimiter == ";"
        return Part(
            table, layout.places, skipped, (*notes, *layout.notes), layout.commas, semicolons, layout.header
        )
    table, said = (_typed(path, _READERS[suffix]), []) if suffix in _READERS else _json(path, config)
    names, notes = unique_names(table.column_names)
    if len(set(table.column_names)) < len(names):
        table = table.rename_columns(names)
    return Part(table, lambda rows: [f"{path.name} row {row + 1:,}" for row in rows], notes=[*said, *notes])


def suffix_of(path: Path) -> str:
    """Return the ending of a file in lower case, without .gz."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def is_text_suffix(suffix: str) -> bool:
    """Whether files with this ending are text, or are read as text."""
    return suffix in (*TEXT, ".zip", ".xlsx")


def _typed(path: Path, reader: Callable[[Path], pa.Table]) -> pa.Table:
    try:
        table = reader(path)
    except (pa.ArrowException, OSError, ValueError, RecursionError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadDataError(
            f"{path} is not a {suffix_of(path)} file that can be read: {first}.",
            remedy="write or download it again",
        ) from None
    dropped = [name for name in table.column_names if name.startswith("__index_level_")]
    return table.drop_columns(dropped).replace_schema_metadata(None)


def _feather(path: Path) -> pa.Table:
    """Read Arrow's file format, which Feather is, or its stream format."""
    try:
        return pyarrow.feather.read_table(path, memory_map=True)
    except pa.ArrowInvalid:
        with pa.memory_map(str(path)) as source:
            return pa.ipc.open_stream(source).read_all()


def _json(path: Path, config: CsvConfig | None) -> tuple[pa.Table, Sequence[str]]:
    """Read columns by name, as pandas writes them, or else records; return what was left out as notes."""
    records, notes = _records(_whole(path))
    if records is not None:
        return jsonlines.table_of(path, records, notes), notes
    raw = jsonlines.read_json_lines(path, encoding=config.encoding if config else None)
    return raw.splits["train"], raw.notes


def _records(values: Any) -> tuple[list[Any] | None, list[str]]:
    """Return the rows of one JSON object, and what was left out; None where it is no table."""
    if not isinstance(values, dict):
        return None, []
    if isinstance(values.get("columns"), list) and isinstance(values.get("data"), list):  # orient="split"
        names = [str(name) for name in values["columns"]]
        return [dict(zip(names, row, strict=False)) for row in values["data"] if isinstance(row, list)], []
    lists = [name for name, inner in values.items() if isinstance(inner, list) and inner]
    tables = [name for name in lists if isinstance(values[name][0], dict)]
    if len(tables) == 1:
        others = [repr(name) for name in values if name != tables[0]]
        return values[tables[0]], [
            f"rows from {tables[0]!r}; left out: {', '.join(others)}"
        ] if others else []
    columns = {name: list(v.values()) if isinstance(v, dict) else v for name, v in values.items()}
    if not all(isinstance(column, list) for column in columns.values()):
        return None, []
    if len({len(column) for column in columns.values()}) != 1:
        return None, []
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)], []


def _whole(path: Path) -> Any:
    """Return a .json file as one value; None for records, one a line."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig")) if suffix_of(path) == ".json" else None
    except (OSError, ValueError):
        return None


_READERS: dict[str, Callable[[Path], pa.Table]] = {
    **dict.fromkeys((".parquet", ".pq"), lambda path: pq.ParquetFile(path, memory_map=True).read()),
    **dict.fromkeys((".feather", ".arrow", ".ipc"), _feather),
}
