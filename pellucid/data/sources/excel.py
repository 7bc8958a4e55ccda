"""The first table of an Excel file as delimited text, which is then read like any other."""

from __future__ import annotations

import csv
import datetime
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pellucid.data.sources.content import Content
from pellucid.errors import BadDataError, MissingExtraError

MOST_SHEETS = 10
_TAIL = 1 << 20


def as_text(path: Path) -> tuple[Content, list[str]]:
    """Return the values of a sheet as CSV, and notes; formulas are the values that Excel stored.

    It is the first sheet that holds a table. Cells that are merged with cells below hold the same value.
    Blank rows stay blank lines, so that lines have the numbers of rows.

    Raises:
        MissingExtraError: openpyxl is not installed.
        BadDataError: it is not an Excel file, or has no rows.
    """
    try:
        import openpyxl  # pyright: ignore[reportMissingModuleSource, reportMissingImports]
    except ImportError:
        raise MissingExtraError("openpyxl", "excel") from None
    try:
        merged = _has_merged_cells(path)
        book = openpyxl.load_workbook(path, read_only=not merged, data_only=True)
        title, rows, filled = _first_table(book.worksheets[:MOST_SHEETS], merged)
        sheets = len(book.sheetnames)
        book.close()
    except (zipfile.BadZipFile, KeyError, OSError, ValueError, IndexError, TypeError) as error:
        raise BadDataError(
            f"{path} is not an Excel file that can be read: {error}.", remedy="save it again, or as CSV"
        ) from None
    if not any(map(any, rows)):
        raise BadDataError(f"{path} has no rows in its first sheet: expected a header line and rows.")
    notes = [f"{path.name}: only the sheet {title!r} is read, of {sheets}"] if sheets > 1 else []
    if filled:
        notes.append(f"{path.name}: {filled:,} cells that are merged with one above hold its value")
    text = io.StringIO(newline="")
    csv.writer(text).writerows(row if any(row) else [] for row in rows)
    return Content(path, text.getvalue().encode()), notes


def _has_merged_cells(path: Path) -> bool:
    """Whether some sheet has merged cells, which openpyxl does not say while it streams rows."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.startswith("xl/worksheets/") and name.endswith(".xml"):
                with archive.open(name) as sheet:
                    sheet.seek(max(0, archive.getinfo(name).file_size - _TAIL))
                    if b"<mergeCell" in sheet.read():
                        return True
    return False


def _first_table(sheets: Sequence[Any], merged: bool) -> tuple[str, list[list[str]], int]:
    """Return the name and the cells of the first sheet that holds a table, or else of the first sheet."""
    first = None
    for sheet in sheets:
        rows, filled = _rows(sheet, merged)
        if _is_table(rows):
            return sheet.title, rows, filled
        first = first or (sheet.title, rows, filled)
    return first or ("", [], 0)


def _rows(sheet: Any, merged: bool) -> tuple[list[list[str]], int]:
    """Return the cells of a sheet as text, and how many were filled with the value they are merged with."""
    rows = [[_text(value) for value in row] for row in sheet.iter_rows(values_only=True)]
    filled = 0
    for area in sheet.merged_cells.ranges if merged else ():
        column = area.min_col - 1
        for row in rows[area.min_row : area.max_row]:
            row[column] = rows[area.min_row - 1][column]
            filled += 1
    return rows, filled


def _is_table(rows: Sequence[Sequence[str]]) -> bool:
    """Whether there are several rows, and several cells in some of them."""
    return sum(map(any, rows)) > 1 and any(sum(map(bool, row)) > 1 for row in rows)


def _text(value: Any) -> str:
    """Write a cell as text: dates in ISO 8601, whole numbers without a decimal point."""
    if value is None:
        return ""
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value)
