"""Row hashes and fingerprints depend only on content, not on storage."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest

from pellucid.data import hashing, tensor_column
from pellucid.data.dataset import fingerprint

COLUMNS = {
    "number": pa.chunked_array([pa.array([1.5, None, -0.0, 3.0])]),
    "whole": pa.chunked_array([pa.array([1, None, 0, 3])]),
    "flag": pa.chunked_array([pa.array([True, None, False, True])]),
    "text": pa.chunked_array([pa.array(["a", None, "", "long text"])]),
    "date": pa.chunked_array(
        [pa.array([datetime(2020, 1, 1), None, datetime(1960, 1, 1), datetime(2021, 1, 1)])]
    ),
    "image": pa.chunked_array([pa.array([{"bytes": bytes([i]), "path": None} for i in range(4)])]),
    "tensor": tensor_column.tensor(np.arange(24.0).reshape(4, 2, 3)),
    "list": pa.chunked_array([pa.array([[1], None, [], [1, 2]])]),
}


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_hash_does_not_depend_on_storage(column):
    whole = hashing.values(column)
    assert len(np.unique(whole)) == (3 if pa.types.is_boolean(column.type) else 4)
    pieces = pa.chunked_array([*column.slice(0, 1).chunks, *column.slice(1, 3).chunks], column.type)
    np.testing.assert_array_equal(hashing.values(pieces), whole)
    np.testing.assert_array_equal(hashing.values(column.slice(2)), whole[2:])
    np.testing.assert_array_equal(hashing.values(column.take(pa.array([3, 0]))), whole[[3, 0]])


def test_hash_does_not_depend_on_chunk_sizes():
    texts = pa.chunked_array([pa.array([None, *(f"t{i % 999}" for i in range(100_001))])])
    np.testing.assert_array_equal(hashing.values(texts)[:50], hashing.values(texts.slice(0, 50)))


def test_fingerprint_depends_on_content_and_names():
    table = pa.table(COLUMNS)
    assert fingerprint(pa.concat_tables([table.slice(0, 3), table.slice(3)])) == fingerprint(table)
    assert fingerprint(table.slice(0, 3)) != fingerprint(table)
    assert fingerprint(table.rename_columns(["x", *table.column_names[1:]])) != fingerprint(table)
    assert fingerprint(table.take(pa.array([1, 0, 2, 3]))) != fingerprint(table)
