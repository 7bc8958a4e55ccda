"""What is given to predict, as lists of tokens."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pellucid.config import CsvConfig
from pellucid.data.input_rows import InputRows, joined, numbered, within
from pellucid.data.preprocess import Preprocess
from pellucid.data.sources import arrays, conll, tables, tagged, textfiles
from pellucid.data.text.token_lists import TokenLists
from pellucid.errors import DataNotFoundError, ModelError


def token_lists(preprocess: Preprocess) -> TokenLists:
    """Return the vocabulary of a tagger."""
    assert isinstance(preprocess.encoded, TokenLists)
    return preprocess.encoded


def read_rows(preprocess: Preprocess, source: Any) -> InputRows:
    """Return prediction inputs as rows of tokens, in one column of lists.

    Args:
        preprocess: of the run.
        source: a text, or several, which are split at white space (into letters where tokens are letters);
            lists of tokens; a data frame; files: a text on every line, a token on every line (CoNLL), or a
            table with the column of tokens.

    Raises:
        DataNotFoundError: there is no such file.
        ModelError: it is something else, or a row has no tokens.
    """
    if isinstance(source, (list, tuple)) and source and all(_is_file(item) for item in source):
        return joined([within(Path(item), read_rows(preprocess, Path(item))) for item in source])
    encoded = token_lists(preprocess)
    rows = _rows(encoded, preprocess.written, source)
    for number, tokens in enumerate(rows, 1):
        if not tokens:
            raise ModelError(f"Row {number:,} has no tokens: expected a text.")
    return numbered(pa.table({encoded.name: pa.array(rows, pa.list_(pa.string()))}))


def _is_file(source: Any) -> bool:
    return isinstance(source, os.PathLike) or (isinstance(source, str) and os.path.isfile(source))


def _rows(encoded: TokenLists, written: Mapping[str, Any], source: Any) -> list[list[str]]:
    if _is_file(source):
        return _file(encoded, written, Path(source))
    if isinstance(source, str):
        return [encoded.split(source)]
    if isinstance(source, np.ndarray):
        source = source.tolist()
    if isinstance(source, Mapping):
        source = source.get(encoded.name, next(iter(source.values()), None))
        return _rows(encoded, written, source)
    if isinstance(source, (list, tuple)):
        return [encoded.split(row) if isinstance(row, str) else list(map(str, row)) for row in source]
    frame = arrays.frame(source)
    if frame is None:
        raise ModelError(f"Expected texts or lists of tokens, received {type(source).__name__}.")
    return _column(encoded, frame, "the data frame")


def _file(encoded: TokenLists, written: Mapping[str, Any], path: Path) -> list[list[str]]:
    if not path.is_file():
        raise DataNotFoundError(
            f"There is no file {path} to predict." if not path.exists() else f"{path} is a folder."
        )
    if tables.is_part(path) or path.suffix.lower() in (".jsonl", ".ndjson", ".json"):
        raw = tables.raw_tables(path, csv=CsvConfig.model_validate(dict(written)))
        return _column(encoded, raw.splits["train"], path.name)
    if conll.is_conll(path):
        return conll.read_conll(path).splits["train"][conll.TOKENS].to_pylist()
    return [encoded.split(line) for line in textfiles.read_text(path)[0].splitlines() if line.strip()]


def _column(encoded: TokenLists, table: Any, where: str) -> list[list[str]]:
    if encoded.name not in table.column_names:
        raise ModelError(
            f"{where}: expected the column {encoded.name!r}, received "
            f"{', '.join(map(repr, table.column_names))}."
        )
    return tagged.lists(table[encoded.name], encoded.split)
