"""The first sheet of an Excel file as delimited text, which is then read like any other."""

from __future__ import annotations

import csv
import datetime
import io
import zipfile
from pathlib import Path
from typing import Any

from pellucid.data.sources.content import Content
from pellucid.errors import BadDataError, MissingExtraError


def as_text(path: Path) -> tuple[Content, list[str]]:
    """Return the values of the first sheet as CSV, and notes; formulas are the values that Excel stored.

    Raises:
        MissingExtraError: openpyxl is not installed.
        BadDataError: it is not an Excel file, or has no rows.
    """
    try:
        import openpyxl  # pyright: ignore[reportMissingModuleSource, reportMissingImports]
    except ImportError:
        raise MissingExtraError("openpyxl", "excel") from None
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        sheet, *others = book.worksheets
        notes = [f"{path.name}: only the first sheet, {sheet.title!r}, is read"] if others else []
        rows = [[_text(value) for value in row] for row in sheet.iter_rows(values_only=True)]
        book.close()
    except (zipfile.BadZipFile, KeyError, OSError, ValueError, IndexError, TypeError) as error:
        raise BadDataError(
            f"{path} is not an Excel file that can be read: {error}.", remedy="save it again, or as CSV"
        ) from None
    rows = [row for row in rows if any(row)]
    if not rows:
        raise BadDataError(f"{path} has no rows in its first sheet: expected a header line and rows.")
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return Content(path, text.getvalue().encode()), notes


def _text(value: Any) -> str:
    """Write a cell as text: dates in ISO 8601, whole numbers without a decimal point."""
    if value is None:
        return ""
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value)
