"""Files as bytes, decompressed, and their names as text: not every name is valid UTF-8."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import zlib
from pathlib import Path

from pellucid.errors import BadDataError

COMPRESSED = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}
"""What decompresses a file, by the end of its name."""


def content(file: Path) -> bytes:
    """Return the bytes of a file, decompressed if its name says that it is compressed.

    Raises:
        BadDataError: it cannot be read.
    """
    try:
        return COMPRESSED.get(file.suffix.lower(), bytes)(file.read_bytes())
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise BadDataError(f"{printable(file)} cannot be read: {error}.") from None


def suffix_of(path: Path) -> str:
    """Return the end of a name in lower case, without that of a compression: ".txt" for a.TXT.gz."""
    name = Path(path.name.lower())
    return name.with_suffix("").suffix if name.suffix in COMPRESSED else name.suffix


def printable(name: str | Path) -> str:
    """Return a name that can be written and stored: bytes that are not UTF-8 are read as Windows-1252."""
    text = str(name)
    try:
        text.encode()
    except UnicodeEncodeError:
        return os.fsencode(text).decode("cp1252", "replace")
    return text


def is_printable(name: str | Path) -> bool:
    """Return whether a name is valid UTF-8."""
    return printable(name) == str(name)
