"""Read delimited text as a table of text cells with column names, and locate the line of any row."""

from __future__ import annotations

import codecs
import contextlib
import csv as python_csv
import gzip
import io
import os
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.csv

from pellucid.data import parse
from pellucid.errors import BadDataError, DataNotFoundError

DELIMITERS = (",", ";", "\t", "|")
SHOWN = 5
BLOCK_BYTES = 1 << 24
"""The longest row that can be read, in bytes."""
_HEAD_BYTES = 1 << 18
_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


@dataclass(frozen=True)
class Layout:
    """How a file is written.

    Attributes:
        path: the file.
        encoding: of its text.
        delimiter: between cells.
        names: of the columns.
        header: whether the first line holds the names.
        notes: unusual decisions, one line each.
    """

    path: Path
    encoding: str
    delimiter: str
    names: tuple[str, ...]
    header: bool = True
    notes: tuple[str, ...] = ()

    def places(self, rows: Sequence[int]) -> list[str]:
        """Name the lines of rows (counted from 0, without the header), numbered as in an editor."""
        return [f"{self.path.name} line {line:,}" for line in self.lines(rows)]

    def lines(self, rows: Sequence[int]) -> list[int]:
        """Return the line each row begins on; reads the file up to the last one asked for."""
        wanted, found = set(rows), {}
        row = -1 if self.header else 0
        for line, record in self.records():
            if len(record) != len(self.names):
                continue
            if row in wanted:
                found[row] = line
                if len(found) == len(wanted):
                    break
            row += 1
        return [found.get(row, row + 1 + self.header) for row in rows]

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield every record with the line it begins on; blank lines are skipped."""
        with _text(self.path, self.encoding) as file:
            reader = python_csv.reader(file, delimiter=self.delimiter)
            begins = 1
            with contextlib.suppress(python_csv.Error):
                for record in reader:
                    if record:
                        yield begins, record
                    begins = reader.line_num + 1


def read(path: Path, *, skip_bad: bool = False) -> tuple[pa.Table, Layout, list[str]]:
    """Read a file, with every cell as text.

    Args:
        path: a .csv, .tsv or .txt file, or one of these with .gz.
        skip_bad: leave out lines with too few or too many cells.

    Returns:
        The table, how it is written, and the lines that were left out.

    Raises:
        BadDataError: naming the file and the line.
    """
    layout = sniff(path)
    table, ragged = _parse(layout)
    lines = _ragged_lines(layout, ragged, 100 if skip_bad else SHOWN) if ragged else []
    if ragged and not skip_bad:
        raise BadDataError(
            "\n".join(lines),
            remedy="put text that holds the delimiter in quotes, or leave such lines out with --skip-bad",
        )
    if not table.num_rows:
        raise BadDataError(
            f"{path} has no rows: expected data under the header {', '.join(map(repr, layout.names[:5]))}."
        )
    if _ends_in_quotes(layout, table):
        line = layout.lines([len(table) - 1])[0]
        raise _unreadable(path, f"a quotation mark opened in the row of line {line:,} is never closed")
    return table, layout, lines


def sniff(path: Path) -> Layout:
    """Detect how a file is written: the encoding from all of it, the rest from its beginning."""
    head, marked = _head(path)
    encoding, notes = marked or "utf-8", ()
    if marked != "utf-16" and not _is_utf8(path):
        encoding, notes = "latin-1", (f"{path.name} is not UTF-8; read as Latin-1",)
    if marked in (None, "utf-8-sig") and b"\x00" in head:
        at = head.index(b"\x00")
        raise BadDataError(
            f"{path} is not text: byte {at:,} is 0.", remedy="give a CSV, Parquet or image source"
        )
    text = head.decode(encoding, errors="replace")
    if not text.strip():
        raise BadDataError(f"{path} is empty: expected a header line and rows.")
    delimiter = _delimiter(text, path)
    records = [record for record in _records(text, delimiter, 3) if record]
    if not records:
        raise BadDataError(f"{path} is empty: expected a header line and rows.")
    names = [name.strip() for name in records[0]]
    if _is_data(records):
        names = [f"column_{index + 1}" for index in range(len(names))]
        note = f"{path.name} has no header: columns are named {names[0]} to {names[-1]}"
        return Layout(path, encoding, delimiter, tuple(names), header=False, notes=(*notes, note))
    names = [name or f"unnamed_{index + 1}" for index, name in enumerate(names)]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise BadDataError(
            f"{path} line 1: the column name {twice[0]!r} occurs {names.count(twice[0])} times.",
            remedy="give every column its own name",
        )
    return Layout(path, encoding, delimiter, tuple(names), notes=notes)


# ---- parsing -------------------------------------------------------------------------------------


def _parse(layout: Layout) -> tuple[pa.Table, int]:
    """Parse the whole file; return the table and how many lines had the wrong number of cells."""
    ragged = Counter()

    def odd_line(row: pyarrow.csv.InvalidRow) -> str:
        ragged["lines"] += 1
        return "skip"

    width = len(layout.names)
    try:
        table = pyarrow.csv.read_csv(
            layout.path,
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False,  # a thread that drops `odd_line` while Python exits aborts the process
                autogenerate_column_names=True,
                encoding=layout.encoding.removesuffix("-sig"),
                block_size=BLOCK_BYTES,
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=layout.delimiter, newlines_in_values=True, invalid_row_handler=odd_line
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={f"f{index}": pa.string() for index in range(width)}, strings_can_be_null=False
            ),
        )
    except (pa.ArrowException, OSError, EOFError, UnicodeError, zlib.error) as error:
        raise _unreadable(layout.path, error) from None
    if table.num_columns != width:
        raise _unreadable(layout.path, f"the first line has {table.num_columns} cells, expected {width}")
    table = table.slice(1 if layout.header else 0).rename_columns(list(layout.names))
    return table, ragged["lines"]


def _ragged_lines(layout: Layout, count: int, limit: int) -> list[str]:
    """Name the lines that have the wrong number of cells."""
    width, lines = len(layout.names), []
    for line, record in layout.records():
        if len(record) != width:
            lines.append(f"{layout.path.name} line {line:,}: expected {width} cells, received {len(record)}")
            if len(lines) == limit:
                break
    return lines + ([f"... and {count - len(lines):,} more lines"] if count > len(lines) else [])


def _ends_in_quotes(layout: Layout, table: pa.Table) -> bool:
    """Return whether the last cell contains the rest of the file: its quotation mark is never closed."""
    if (
        layout.path.suffix == ".gz"
        or layout.encoding == "utf-16"
        or "\n" not in (table[-1][-1].as_py() or "")
    ):
        return False
    with open(layout.path, "rb") as file:
        file.seek(-min(1024, layout.path.stat().st_size), os.SEEK_END)
        return not file.read().rstrip(b"\r\n").endswith(b'"')


def _unreadable(path: Path, error: Exception | str) -> BadDataError:
    return BadDataError(
        f"{path} cannot be read as a table of text: {error}.",
        remedy="look for a quotation mark that is never closed, or a file that was cut short",
    )


# ---- sniffing ------------------------------------------------------------------------------------


def _head(path: Path) -> tuple[bytes, str | None]:
    """Return the first bytes, up to the end of a line, and the encoding that they declare."""
    try:
        with _binary(path) as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError:
        raise DataNotFoundError(f"There is no file {path}.") from None
    except (OSError, EOFError, zlib.error) as error:
        raise BadDataError(f"{path} cannot be read: {error}.") from None
    marked = next((name for mark, name in _MARKS if head.startswith(mark)), None)
    if len(head) == _HEAD_BYTES and marked != "utf-16" and b"\n" in head:
        head = head[: head.rindex(b"\n")]
    return head, marked


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with _binary(path) as file:
            while chunk := file.read(BLOCK_BYTES):
                decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from None
    return True


def _delimiter(text: str, path: Path) -> str:
    """Return the delimiter with which most records have as many cells as the first."""
    usual = "\t" if ".tsv" in path.suffixes else ","

    def score(delimiter: str) -> tuple[float, bool, int]:
        widths = [len(record) for record in _records(text, delimiter, 100) if record]
        if not widths or widths[0] < 2:
            return 0.0, False, 0
        return sum(width == widths[0] for width in widths) / len(widths), delimiter == usual, widths[0]

    best = max(DELIMITERS, key=score)
    return best if score(best)[0] > 0 else usual


def _records(text: str, delimiter: str, limit: int) -> list[list[str]]:
    reader = python_csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    found = []
    with contextlib.suppress(python_csv.Error):
        for record in reader:
            found.append(record)
            if len(found) == limit:
                break
    return found


def _is_data(records: list[list[str]]) -> bool:
    """Return whether the first record holds numbers where the next ones do, so that it is not a header."""

    def numeric(record: list[str]) -> list[bool]:
        column = pa.chunked_array([pa.array(record, pa.string())])
        return parse.numbers(parse.clean(column)).is_valid().to_pylist()

    if len(records) < 2 or len(records[0]) != len(records[1]):
        return False
    first, second = numeric(records[0]), numeric(records[1])
    return any(first) and sum(first) >= 0.5 * len(first) and first == second


def _binary(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix == ".gz" else open(path, "rb")  # type: ignore[return-value]


def _text(path: Path, encoding: str) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding=encoding, errors="replace", newline="")
    return open(path, encoding=encoding, errors="replace", newline="")
