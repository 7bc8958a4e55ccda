"""Files that are something else than their name says, seen by their first bytes."""

from __future__ import annotations

import re
from pathlib import Path

from pellucid.errors import BadDataError

GZIP = b"\x1f\x8b"
"""How a file compressed with gzip begins."""

_RENAME = "give it the ending {}"
_BEGINNINGS = (
    (b"PK\x03\x04", "an Excel file or a ZIP archive", _RENAME.format(".xlsx or .zip")),
    (b"PAR1", "a Parquet file", _RENAME.format(".parquet")),
    (b"ARROW1", "an Arrow file", _RENAME.format(".arrow")),
    (b"FEA1", "an old Feather file", "pandas.read_feather(path).to_parquet('data.parquet')"),
    (b"\xd0\xcf\x11\xe0", "an old Excel file", "save it as .xlsx or .csv"),
    (b"SQLite format 3", "an SQLite database", "write its table to a CSV or Parquet file"),
    (b"\x89HDF", "an HDF5 file", "pandas.read_hdf(path).to_parquet('data.parquet')"),
    (b"%PDF", "a PDF", "look for the table in another format"),
    (b"BZh", "compressed with bzip2", "unpack it first"),
    (b"\xfd7zXZ", "compressed with xz", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it first"),
    (b"version https://git-lfs", "only a pointer of Git LFS to the data", "git lfs pull"),
)
_PAGE = re.compile(rb"\s*<(!doctype html|html|table|\?xml)\b", re.IGNORECASE)
_JSON = re.compile(rb"\s*(\[\s*)?\{\s*\"")


def refuse_disguised(path: Path, head: bytes) -> None:
    """Raise for a table of text that begins as a file of another format does.

    Raises:
        BadDataError: says what it is, and what to try.
    """
    head = head.removeprefix(b"\xef\xbb\xbf")
    for begins, what, remedy in _BEGINNINGS:
        if head.startswith(begins):
            raise BadDataError(f"{path} is {what}, whatever its name says.", remedy=remedy)
    if _PAGE.match(head):
        raise BadDataError(
            f"{path} is a web page or XML, not a table of text.",
            remedy="open it in a browser: it may say why there is no data",
        )
    if _JSON.match(head):
        raise BadDataError(
            f"{path} is JSON, not a table of text.", remedy="give it the ending .jsonl or .json"
        )
