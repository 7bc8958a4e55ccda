"""Read delimited text as a table of text cells with column names, and locate the line of any row."""

from __future__ import annotations

import os
import re
import zlib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from pellucid.config import CsvConfig
from pellucid.data.compute import pc
from pellucid.data.sources.content import BLOCK_BYTES, Content, unpacked
from pellucid.data.sources.quotes import swallowed_rows
from pellucid.data.sources.sniff import COMMENT, Layout, sniff
from pellucid.data.text import decoding
from pellucid.errors import BadDataError

SHOWN = 5
_LOOKED_AT = 1 << 28


def read(
    source: Path | Content, *, skip_bad: bool = False, config: CsvConfig | None = None
) -> tuple[pa.Table, Layout, list[str]]:
    """Read a file, with every cell as text.

    Args:
        source: a .csv, .tsv or .txt file, or one of these with .gz, or in a .zip.
        skip_bad: leave out lines with too few or too many cells.
        config: how the file is written; None: found out.

    Returns:
        The table, how it is written, and the lines that were left out.

    Raises:
        BadDataError: naming the file and the line, or other encodings.
    """
    content = source if isinstance(source, Content) else unpacked(source)
    config = config or CsvConfig()
    layout = sniff(content, config)
    table, left_out = _parse(layout)
    if layout.dialect.quote and config.quote is None:
        table, layout, left_out = _without_quotes(table, layout, left_out, config)
    ragged, comments = left_out["ragged"], left_out["comments"]
    if comments:
        note = f"{content.name}: {comments:,} lines that begin with {COMMENT} are left out"
        layout = replace(layout, notes=(*layout.notes, note))
    table, layout = _without_blank(table, layout)
    lines = _ragged_lines(layout, ragged, 100 if skip_bad else SHOWN) if ragged else []
    if ragged and not skip_bad:
        raise BadDataError("\n".join(lines), remedy=_advice(layout))
    if not table.num_rows:
        raise BadDataError(
            f"{content.path} has no rows: expected data under the header "
            f"{', '.join(map(repr, layout.names[:5]))}."
        )
    if _ends_in_quotes(layout, table):
        line = layout.lines([len(table) - 1])[0]
        raise _unreadable(layout, f"a quotation mark opened in the row of line {line:,} is never closed")
    return table, layout, lines


def _parse(layout: Layout) -> tuple[pa.Table, Counter]:
    """Parse the whole file; return the table, and how many lines are comments or have the wrong width."""
    left_out = Counter()

    def odd_line(row: pyarrow.csv.InvalidRow) -> str:
        left_out["comments" if (row.text or "").lstrip().startswith(COMMENT) else "ragged"] += 1
        return "skip"

    names, dialect = [f"f{index}" for index in range(layout.width)], layout.dialect
    source, encoding = _source(layout)
    try:
        table = pyarrow.csv.read_csv(
            source,
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False,  # a thread that drops `odd_line` while Python exits aborts the process
                column_names=names,
                skip_rows=layout.skip,
                encoding=encoding,
                block_size=BLOCK_BYTES,
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=dialect.delimiter,
                quote_char=dialect.quote or False,
                escape_char="\\" if dialect.escaped else False,
                double_quote=bool(dialect.quote) and not dialect.escaped,
                newlines_in_values=bool(dialect.quote),
                invalid_row_handler=odd_line,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except (pa.ArrowException, OSError, EOFError, UnicodeError, zlib.error) as error:
        if any(words in str(error) for words in ("Empty CSV file", "Could not skip initial")):
            return pa.table({name: pa.array([], pa.string()) for name in layout.names}), left_out
        if isinstance(error, UnicodeError) or "UTF8" in str(error):
            with layout.content.open() as file:
                decoding.decode(file.read(_LOOKED_AT), layout.content.name, layout.encoding)
        raise _unreadable(layout, error) from None
    return table.select(names[: len(layout.names)]).rename_columns(list(layout.names)), left_out


def _source(layout: Layout) -> tuple[Any, str]:
    """Return what pyarrow reads, and its encoding: the file itself, wherever pyarrow can read it."""
    content, dialect, encoding = layout.content, layout.dialect, layout.encoding.removesuffix("-sig")
    if dialect.delimiter != " " and not dialect.padded:
        if content.data is not None:
            return pa.BufferReader(content.data), encoding
        return pa.input_stream(str(content.path), compression="gzip" if content.packed else None), encoding
    with content.text(layout.encoding) as file:
        text = file.read()
    if dialect.delimiter == " ":
        text = re.sub(r"(?m)^[ \t]+|[ \t]+(?=\r?$)", "", text)
        text = re.sub(r'("[^"\n]*")|[ \t]+', lambda found: found[1] or " ", text)
    else:
        text = re.sub(rf"({re.escape(dialect.delimiter)}|^) +", r"\1", text, flags=re.MULTILINE)
    return pa.BufferReader(text.encode()), "utf-8"


# ---- what does not fit ---------------------------------------------------------------------------


def _without_quotes(
    table: pa.Table, layout: Layout, left_out: Counter, config: CsvConfig
) -> tuple[pa.Table, Layout, Counter]:
    """Read the file again with quotation marks as part of the text, if they swallowed rows."""
    breaks = [name for name in table.column_names if pc.any(pc.match_substring(table[name], "\n")).as_py()]
    if not breaks:
        return table, layout, left_out
    plain = sniff(layout.content, config.model_copy(update={"quote": ""}))
    if plain.names != layout.names or plain.dialect.delimiter != layout.dialect.delimiter:
        return table, layout, left_out
    again, left = _parse(plain)
    if left["ragged"] or not swallowed_rows(table, again, breaks):
        return table, layout, left_out
    note = f"{plain.content.name}: quotation marks are part of the text, since they would join rows"
    return again, replace(plain, notes=(*layout.notes, note)), left


def _without_blank(table: pa.Table, layout: Layout) -> tuple[pa.Table, Layout]:
    """Leave out the last rows if all of their cells are empty, as spreadsheets write them."""
    rows = len(table)
    while (
        rows
        and layout.width > 1
        and not any((column[rows - 1].as_py() or "").strip() for column in table.columns)
    ):
        rows -= 1
    if rows == len(table):
        return table, layout
    note = f"{layout.content.name}: {len(table) - rows:,} rows at the end without any value are left out"
    return table.slice(0, rows), replace(layout, notes=(*layout.notes, note))


def _ragged_lines(layout: Layout, count: int, limit: int) -> list[str]:
    """Name the lines that have the wrong number of cells."""
    width, lines = layout.width, []
    for line, record in layout.records():
        if len(record) != width and not record[0].lstrip().startswith(COMMENT):
            lines.append(
                f"{layout.content.name} line {line:,}: expected {width} cells, received {len(record)}"
            )
            if len(lines) == limit:
                break
    return lines + ([f"... and {count - len(lines):,} more lines"] if count > len(lines) else [])


def _advice(layout: Layout) -> str:
    """Say what to try for lines with the wrong number of cells."""
    mark = {"\t": "tab", " ": "white space"}.get(layout.dialect.delimiter, layout.dialect.delimiter)
    return (
        f"cells are taken to be separated by {mark}: put text that holds it in quotes, leave such lines out "
        "with --skip-bad, or say how the file is written with --set data.csv.delimiter, data.csv.skip "
        "(lines above the header) or data.csv.quote"
    )


def _ends_in_quotes(layout: Layout, table: pa.Table) -> bool:
    """Return whether the last cell contains the rest of the file: its quotation mark is never closed."""
    content = layout.content
    if (
        content.packed
        or content.data is not None
        or layout.encoding.startswith("utf-16")
        or not layout.dialect.quote
        or "\n" not in (table[-1][-1].as_py() or "")
    ):
        return False
    with open(content.path, "rb") as file:
        file.seek(-min(1024, content.path.stat().st_size), os.SEEK_END)
        return not file.read().rstrip(b"\r\n").endswith(layout.dialect.quote.encode())


def _unreadable(layout: Layout, error: Exception | str) -> BadDataError:
    return BadDataError(
        f"{layout.content.path} cannot be read as a table of text: {error}.",
        remedy="look for a quotation mark that is never closed, or a file that was cut short; "
        "--set data.csv.quote='' takes quotation marks as text",
    )
