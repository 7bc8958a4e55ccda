"""Write predictions to a file: CSV, JSON lines or Parquet, by its ending."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pellucid.errors import StorageError, UsageError
from pellucid.record import files

ENDINGS = (".csv", ".jsonl", ".parquet")


def check_path(path: str | Path) -> Path:
    """Return the path of a file to write; nothing is written.

    Raises:
        UsageError: its ending is none of `ENDINGS`.
        StorageError: its folder does not exist.
    """
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(
            f"Predictions are written by the ending of the file: expected one of {', '.join(ENDINGS)}, "
            f"received {str(path)!r}.",
            remedy=f"{path.with_suffix('.csv') if path.name else 'predictions.csv'}",
        )
    if not path.parent.is_dir():
        raise StorageError(f"There is no folder {path.parent} to write {path.name} to.", remedy="create it")
    return path


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one row for each prediction.

    In CSV and Parquet, the entry `probs` of the class `a` is the column `probs.a`; in CSV a list is JSON.

    Args:
        path: the file; see `check_path`.
        rows: what `Answer.rows` returns.
    """
    formats = {".csv": _csv, ".jsonl": _json_lines, ".parquet": _parquet}
    files.write(path, formats[path.suffix.lower()](rows), "a file in a folder you may write")


def _json_lines(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)


def _parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(_table([_flat(row, lists=False) for row in rows]), sink)
    return sink.getvalue().to_pybytes()


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    flat = [_flat(row) for row in rows]
    text = io.StringIO()
    table = csv.DictWriter(text, list(dict.fromkeys(key for row in flat for key in row)), lineterminator="\n")
    table.writeheader()
    table.writerows(flat)
    return text.getvalue()


def _table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: _column([row.get(name) for row in rows]) for name in names})


def _column(values: list[Any]) -> pa.Array:
    """Return values as a column; of several types as text."""
    try:
        return pa.array(values)
    except (pa.ArrowException, TypeError, ValueError):
        return pa.array([None if value is None else str(value) for value in values])


def _flat(row: Mapping[str, Any], prefix: str = "", *, lists: bool = True) -> dict[str, Any]:
    """Return the entries of nested dicts under dotted names, and lists as JSON if asked."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.", lists=lists)
        else:
            as_text = lists and isinstance(value, (list, tuple))
            flat[prefix + name] = json.dumps(value, ensure_ascii=False, default=str) if as_text else value
    return flat
