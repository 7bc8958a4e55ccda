"""Detect how a file of delimited text is written, from its first few hundred kilobytes."""

from __future__ import annotations

import codecs
import contextlib
import csv as python_csv
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from pellucid.config import CsvConfig
from pellucid.data import numerals
from pellucid.data.sources.content import BLOCK_BYTES, Content, unpacked
from pellucid.data.sources.disguise import refuse_disguised
from pellucid.data.sources.header import has_header, is_value, unique_names
from pellucid.data.text import decoding
from pellucid.errors import BadDataError

DELIMITERS = (",", ";", "\t", "|")
COMMENT = "#"
_HEAD_BYTES = 1 << 18
_GUESS_BYTES = 1 << 28
_SAMPLE = 200
_SEP_LINE = re.compile(r"\ufeff?\"?sep=(.)\"?[ \t]*(?:\r\n|\n|\r)", re.IGNORECASE)


@dataclass(frozen=True)
class Dialect:
    """How cells are separated.

    Attributes:
        delimiter: between cells; " " is any white space.
        quote: around cells that hold the delimiter; "": none.
        escaped: a quotation mark inside quotes follows a backslash.
        padded: spaces may stand before an opening quotation mark.
    """

    delimiter: str
    quote: str = '"'
    escaped: bool = False
    padded: bool = False

    def rows(self, lines: Iterator[str]) -> Iterator[tuple[int, int, list[str]]]:
        """Yield every record with the numbers of its first and last line; blank lines are skipped."""
        if self.delimiter == " ":
            lines = (re.sub(r"[ \t]+", " ", line.strip(" \t\r\n")) for line in lines)
        reader = python_csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar=self.quote or None,
            quoting=python_csv.QUOTE_MINIMAL if self.quote else python_csv.QUOTE_NONE,
            escapechar="\\" if self.escaped else None,
            doublequote=not self.escaped,
            skipinitialspace=self.padded,
        )
        begins = 1
        with contextlib.suppress(python_csv.Error):
            for record in reader:
                if record:
                    yield begins, reader.line_num, record
                begins = reader.line_num + 1


@dataclass(frozen=True)
class Layout:
    """How a file is written.

    Attributes:
        content: the file.
        encoding: of its text.
        dialect: how cells are separated.
        names: of the columns.
        header: whether the names stand in the file.
        skip: lines before the first row.
        extra: cells that the rows have and the names have not: "row names" in front, or "blanks" at the end.
        commas: whether some column can only be numbers with decimal commas.
        notes: unusual decisions, one line each.
    """

    content: Content
    encoding: str
    dialect: Dialect
    names: tuple[str, ...]
    header: bool = True
    skip: int = 1
    extra: str = ""
    commas: bool = False
    notes: tuple[str, ...] = ()

    @property
    def above(self) -> str:
        """The last line above the table that is not blank."""
        with self.content.text(self.encoding) as file:
            lines = [file.readline().strip() for _ in range(self.skip - self.header)]
        return next((line for line in reversed(lines) if line), "")

    @property
    def width(self) -> int:
        """Number of cells of a row."""
        return len(self.names) + (self.extra == "blanks")

    def places(self, rows: Sequence[int]) -> list[str]:
        """Name the lines of rows, counted from 0, numbered as in an editor."""
        return [f"{self.content.name} line {line:,}" for line in self.lines(rows)]

    def lines(self, rows: Sequence[int]) -> list[int]:
        """Return the line each row begins on; reads the file up to the last one asked for."""
        wanted, found, row = set(rows), {}, 0
        for line, record in self.records():
            if len(record) != self.width:
                continue
            if row in wanted:
                found[row] = line
                if len(found) == len(wanted):
                    break
            row += 1
        return [found.get(row, row + 1 + self.skip) for row in rows]

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield every row with the line it begins on."""
        with self.content.text(self.encoding) as file:
            for _ in range(self.skip):
                file.readline()
            for line, _, record in self.dialect.rows(iter(file)):
                yield line + self.skip, record


def sniff(source: Path | Content, config: CsvConfig | None = None) -> Layout:
    """Detect how a file is written, except for what the user said about it.

    Raises:
        BadDataError: it is empty or not text.
        ConfigError: there is no such encoding.
    """
    content = source if isinstance(source, Content) else unpacked(source)
    config = config or CsvConfig()
    content, text, encoding, notes = _decode(content, config)
    if not text.strip():
        raise BadDataError(f"{content.path} is empty: expected a header line and rows.")
    found = _SEP_LINE.match(text)
    if found and config.delimiter is None:
        config = config.model_copy(update={"delimiter": found[1]})
    dialect = _dialect(text[found.end() :] if found else text, content, config)
    rows = _rows(text, dialect, found is not None, config.skip)
    if not rows:
        raise BadDataError(f"{content.path} is empty: expected a header line and rows.")
    layout, records = _with_names(content, encoding, dialect, rows, config)
    unusual = _unusual(layout, bool(found), config)
    return replace(layout, commas=_has_commas(records, dialect), notes=(*notes, *layout.notes, *unusual))


# ---- characters ----------------------------------------------------------------------------------


def _decode(content: Content, config: CsvConfig) -> tuple[Content, str, str, list[str]]:
    """Return a file, its beginning as text, up to the end of a line, its encoding, and notes."""
    head = content.head(_HEAD_BYTES)
    refuse_disguised(content.path, head)
    if config.encoding is not None:
        encoding, notes = decoding.known(config.encoding, "data.csv.encoding"), []
    elif b"\x00" in head or any(head.startswith(mark) for mark, _ in decoding.MARKS):
        encoding, notes = decoding.encoding_of(head[: len(head) // 4 * 4 or len(head)], content.name)
    elif _is_utf8(content):
        encoding, notes = "utf-8", []
    else:
        raw = content.head(_GUESS_BYTES, 0)
        encoding, notes = decoding.encoding_of(raw, content.name)
        if encoding == "utf-8":
            with content.open() as file:
                content = Content(content.path, file.read().decode("utf-8", "replace").encode())
            head = content.head(_HEAD_BYTES)
    if encoding == "utf-8" and head.startswith(codecs.BOM_UTF8):
        encoding = "utf-8-sig"
    if not encoding.startswith(("utf-16", "utf-32")):
        if b"\x00" in head:
            raise BadDataError(
                f"{content.path} is not text: byte {head.index(0):,} is 0.",
                remedy="give a CSV, Parquet or image source",
            )
        if b"\n" in head and len(head) >= _HEAD_BYTES:
            head = head[: head.rindex(b"\n") + 1]
    return content, head.decode(encoding, errors="replace"), encoding, notes


def _is_utf8(content: Content) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with content.open() as file:
            while chunk := file.read(BLOCK_BYTES):
                decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    except (OSError, EOFError, zlib.error) as error:
        raise BadDataError(f"{content.path} cannot be read: {error}.") from None
    return True


# ---- cells ---------------------------------------------------------------------------------------


def _dialect(text: str, content: Content, config: CsvConfig) -> Dialect:
    """Return the dialect in which most records have the same width and most cells are values."""
    plain = re.sub(rf"(?m)^{COMMENT}.*(?:\n|\Z)", "", text) or text
    usual = "\t" if ".tsv" in content.suffixes or ".tab" in content.suffixes else ","
    best, most = Dialect(config.delimiter or usual, '"' if config.quote is None else config.quote), 0.0
    typed: dict[str, float] = {}
    regular = False
    for dialect in _candidates(plain, usual, config):
        even, values = _fit(plain, dialect)
        if dialect.delimiter == " " != config.delimiter and values < (0.5 if regular else 0.3):
            continue
        regular |= even > 0.9
        values = min(values, typed.setdefault(dialect.delimiter, values))  # only widths speak against quotes
        score = even * (0.5 + values / 2) * (0.95 if dialect.delimiter == " " else 1.0)
        if score > most + 0.004:
            best, most = dialect, score
    return best


def _candidates(text: str, usual: str, config: CsvConfig) -> Iterator[Dialect]:
    """Yield dialects, the most usual first."""
    order = sorted((*DELIMITERS, " "), key=lambda delimiter: delimiter != usual)
    for delimiter in (config.delimiter,) if config.delimiter else order:
        if config.quote is not None:
            yield Dialect(delimiter, config.quote)
            continue
        yield Dialect(delimiter)
        mark = re.escape(delimiter)
        if re.search(rf"{mark} +\"", text):
            yield Dialect(delimiter, padded=True)
        if '\\"' in text:
            yield Dialect(delimiter, escaped=True)
        if re.search(rf"(?m)(?:^|{mark})'[^'\n]*'(?:{mark}|$)", text):
            yield Dialect(delimiter, "'")
        if '"' in text:
            yield Dialect(delimiter, "")


def _fit(text: str, dialect: Dialect) -> tuple[float, float]:
    """Return the share of records with the usual width, and of cells that are numbers or dates.

    The first record, which may hold the names, counts more.
    """
    records = [record for _, _, record in _read(text, dialect, _SAMPLE)]
    if not records:
        return 0.0, 0.0
    width, count = _usual_width(records)
    if width < 2:
        return 0.0, 0.0
    if not dialect.quote and 3 * sum(map(_cuts_quoted, records)) >= len(records):
        return 0.0, 0.0
    cells = [cell for record in records[1:] if len(record) == width for cell in record[:500]][:5000]
    typed = sum(map(is_value, cells)) / max(len(cells), 1)
    if dialect.delimiter == " " and any(_holds_delimiter(cell) for cell in cells):
        return 0.0, 0.0
    begins = {width: 1.0, 1: 0.9}.get(len(records[0]), 0.8)  # names, a title, or something else
    return count / len(records) * begins, typed


def _cuts_quoted(record: Sequence[str]) -> bool:
    """Whether a delimiter within quotation marks has cut a cell in two, as in `"a, b"`."""
    marks = [(cell.startswith('"'), cell.endswith('"'), len(cell) == 1) for cell in record]
    opens = [begins and (lone or not ends) for begins, ends, lone in marks]
    closes = [ends and (lone or not begins) for begins, ends, lone in marks]
    return True in opens and True in closes[opens.index(True) + 1 :]


def _holds_delimiter(cell: str) -> bool:
    return any(mark in cell for mark in DELIMITERS) and not is_value(cell)


def _usual_width(records: Sequence[Sequence[str]]) -> tuple[int, int]:
    """Return the most common number of cells, the larger of equally common ones, and how often it occurs."""
    counts = Counter(map(len, records))
    return max(counts.items(), key=lambda item: (item[1], item[0]))


def _read(text: str, dialect: Dialect, limit: int) -> list[tuple[int, int, list[str]]]:
    rows = dialect.rows(iter(io.StringIO(text, newline="")))
    return [row for row, _ in zip(rows, range(limit), strict=False)]


# ---- the first lines -----------------------------------------------------------------------------


class _Row(NamedTuple):
    begins: int
    ends: int
    cells: list[str]


def _rows(text: str, dialect: Dialect, sep_line: bool, skip: int | None) -> list[_Row]:
    """Return the first rows without the lines above the table: `sep=`, comments, titles, blank lines."""
    ignored = skip or int(sep_line)
    lines = list(io.StringIO(text, newline=""))
    rows = [
        _Row(begins + ignored, ends + ignored, cells)
        for begins, ends, cells in _read("".join(lines[ignored:]), dialect, _SAMPLE)
    ]
    if skip is not None or not rows:
        return rows
    body = [row for row in rows if not row.cells[0].startswith(COMMENT)] or rows
    width = _usual_width([row.cells for row in body])[0]
    start = 0
    while start < len(rows) - 1 and _is_above(rows[start], rows[start + 1 :], width):
        start += 1
    return rows[start:]


def _is_above(row: _Row, rest: Sequence[_Row], width: int) -> bool:
    """Whether a row stands above the table: a comment, or a title in a table of several columns."""
    filled = [cell for cell in row.cells if cell.strip()]
    if row.cells[0].startswith(COMMENT) and len(row.cells) != width:
        return True
    if width < 2 or not any(len(other.cells) == width for other in rest):
        return False
    if len(row.cells) < width:
        near = next(other for other in rest if other.cells)
        title = len(near.cells) < width and sum(map(bool, near.cells)) <= 1
        return title or len(filled) <= 1 or (2 * len(row.cells) <= width and len(near.cells) >= width - 1)
    names = [cell for cell in rest[0].cells if cell.strip()]
    return width > 2 and len(filled) <= 1 and (len(names) <= 1 or len(names) >= width - 1)


def _with_names(
    content: Content, encoding: str, dialect: Dialect, rows: Sequence[_Row], config: CsvConfig
) -> tuple[Layout, list[list[str]]]:
    """Return the layout with its names, and the first rows below them."""
    first, rest = rows[0], [row.cells for row in rows[1:] if not row.cells[0].startswith(COMMENT)]
    width, count = _usual_width(rest or [first.cells])
    longer = len(first.cells) == width - 1 and count >= 0.9 * len(rest)
    notes: list[str] = []
    extra = ""
    cells = [*first.cells]
    commented = cells[0].startswith(COMMENT) and len(cells) == width
    even = [cells, *(row for row in rest if len(row) == len(cells))]
    named = config.header
    if named is None:
        named = commented or longer or has_header(even[:100])
    if not named:
        names = [f"column_{index + 1}" for index in range(len(cells))]
        notes.append(
            f"{content.name} has no header: columns are named {names[0]} to {names[-1]}; "
            "--set data.csv.header=true if the first row holds names"
        )
        return Layout(
            content, encoding, dialect, tuple(names), False, first.begins - 1, notes=tuple(notes)
        ), even
    if commented and len(cells[0].lstrip("# ")):
        cells[0] = cells[0].lstrip("# ")
    if longer:
        blank = all(not row[-1].strip() for row in rest if len(row) == width)
        extra = "blanks" if blank else "row names"
        cells = cells if blank else ["row" if "row" not in cells else "row_name", *cells]
    names, said = unique_names(cells)
    notes += [f"{content.name}: {line}" for line in said]
    return Layout(content, encoding, dialect, tuple(names), True, first.ends, extra, notes=tuple(notes)), rest


def _unusual(layout: Layout, sep_line: bool, config: CsvConfig) -> list[str]:
    """Say what a user may not expect of the layout."""
    name, dialect, said = layout.content.name, layout.dialect, []
    above = layout.skip - layout.header - sep_line
    if above > 0 and config.skip is None:
        said.append(
            f"{name}: {above} lines above the table are left out, the last is {layout.above!r:.60}; "
            "--set data.csv.skip=0 reads them"
        )
    if dialect.delimiter == " " and config.delimiter is None:
        said.append(f"{name}: cells are separated by white space")
    if dialect.quote == "'" and config.quote is None:
        said.append(f"{name}: cells are quoted with '")
    if not dialect.quote and config.quote is None:
        said.append(
            f"{name}: quotation marks are part of the text; --set data.csv.quote='\"' for marks around cells"
        )
    if layout.extra == "row names":
        said.append(
            f"{name}: rows have a name in front, in a column without a name; it is called {layout.names[0]!r}"
        )
    return said


def _has_commas(records: Sequence[Sequence[str]], dialect: Dialect) -> bool:
    """Whether some column can only be numbers with decimal commas."""
    if dialect.delimiter == "," and not dialect.quote:
        return False
    even = [row for row in records[:50] if len(row) == len(records[0])]
    for column in list(zip(*even, strict=True))[:2000]:
        present = [cell.strip() for cell in column if cell.strip()]
        if any("," in cell for cell in present) and numerals.shows_decimal_comma(present):
            found = numerals.find(present)
            if found is not None and found.decimal == ",":
                return True
    return False
