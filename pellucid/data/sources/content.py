"""The bytes of a file of text: plain, compressed, or made from another format."""

from __future__ import annotations

import functools
import gzip
import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pellucid.data.sources.disguise import GZIP
from pellucid.errors import BadDataError, DataNotFoundError

TEXT = (".csv", ".tsv", ".tab", ".txt", ".data", ".dat")
"""Endings of files of delimited text."""

BLOCK_BYTES = 1 << 24
"""The longest row that can be read, in bytes."""


@dataclass(frozen=True)
class Content:
    """A file of text.

    Attributes:
        path: the file.
        data: its text, where that is not simply the bytes of the file.
    """

    path: Path
    data: bytes | None = None

    @property
    def name(self) -> str:
        """The name of the file, for messages."""
        return self.path.name

    @property
    def suffixes(self) -> list[str]:
        return [suffix.lower() for suffix in self.path.suffixes]

    @functools.cached_property
    def packed(self) -> bool:
        """Whether the file is compressed with gzip, which its first bytes tell better than its name."""
        if self.data is not None:
            return False
        with open(self.path, "rb") as file:
            begins = file.read(len(GZIP))
        return begins == GZIP or (not begins and self.suffixes[-1:] == [".gz"])

    def open(self) -> IO[bytes]:
        """Open the text as bytes, decompressed."""
        if self.data is not None:
            return io.BytesIO(self.data)
        return gzip.open(self.path) if self.packed else open(self.path, "rb")  # type: ignore[return-value]

    def text(self, encoding: str) -> IO[str]:
        """Open the text; bytes that are no text become question marks."""
        return io.TextIOWrapper(self.open(), encoding=encoding, errors="replace", newline="")

    def head(self, size: int, lines: int = 5) -> bytes:
        """Return the first bytes: at least `size`, and some lines if the lines are long.

        Raises:
            DataNotFoundError: there is no such file.
            BadDataError: it cannot be read.
        """
        try:
            with self.open() as file:
                head = file.read(size)
                while head.count(b"\n") < lines and len(head) < BLOCK_BYTES and (more := file.read(size)):
                    head += more
        except FileNotFoundError:
            raise DataNotFoundError(f"There is no file {self.path}.") from None
        except (OSError, EOFError, zlib.error) as error:
            raise BadDataError(f"{self.path} cannot be read: {error}.") from None
        return head


def unpacked(path: Path) -> Content:
    """Return the content of a file; of a .zip that of the only file of text in it.

    Raises:
        BadDataError: a .zip is damaged, or holds none or several.
    """
    if path.suffix.lower() != ".zip":
        return Content(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = [
                name
                for name in archive.namelist()
                if not name.endswith("/") and not name.startswith("__MACOSX") and "/." not in f"/{name}"
            ]
            texts = [name for name in names if Path(name).suffix.lower() in TEXT]
            if len(texts) != 1:
                shown = ", ".join(names[:5]) or "nothing"
                raise BadDataError(
                    f"{path} holds {len(texts)} tables of text: expected one, received {shown}.",
                    remedy="unpack it, and pass the file or the folder",
                )
            return Content(path, archive.read(texts[0]))
    except (zipfile.BadZipFile, OSError, EOFError, zlib.error, NotImplementedError, RuntimeError) as error:
        raise BadDataError(f"{path} is not a .zip file that can be read: {error}.") from None
