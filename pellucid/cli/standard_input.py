"""`-` as an input of `predict`: texts, a table or an image from standard input."""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from pellucid.errors import UsageError
from pellucid.record import Run


def read_standard_input(run: Run) -> Any:
    """Read standard input as what a run takes: a text a line, rows of CSV or JSON lines, or an image.

    Raises:
        UsageError: there is nothing.
    """
    data = b"" if sys.stdin is None else sys.stdin.buffer.read()
    if not data.strip():
        raise UsageError("Standard input is empty: expected what is to be predicted.")
    kinds = {column["kind"] for column in (run.facts.get("dataset") or {}).get("inputs") or []}
    if kinds == {"image"}:
        return data
    if kinds == {"text"} or not kinds:
        text = data.decode("utf-8", "replace").replace("\r\n", "\n")
        lines = [line for line in text.split("\n") if line.strip()]
        return lines if len(lines) > 1 else text.strip("\n")
    return _as_file(data)


def _as_file(data: bytes) -> Path:
    """Return a table as a file that lasts until the process ends."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    suffix = ".parquet" if data[:4] == b"PAR1" else ".jsonl" if data.lstrip()[:1] in (b"{", b"[") else ".csv"
    path = folder / f"standard input{suffix}"
    path.write_bytes(data)
    return path
