"""Files whose bytes say something else than their name, or no encoding."""

from __future__ import annotations

import gzip
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pellucid.data.sources.tables import csv
from pellucid.errors import BadDataError, ConfigError

BODY = "".join(f"{i / 7:.2f},{'ab'[i % 2]}\n" for i in range(60))
FILE = "x,label\n" + BODY


@pytest.mark.parametrize(("name", "packed"), [("a.csv.gz", False), ("a.csv", True)])
def test_bytes_say_better_than_a_name_what_is_compressed(tmp_path, name, packed):
    (tmp_path / name).write_bytes(gzip.compress(FILE.encode()) if packed else FILE.encode())
    assert len(csv(tmp_path / name).splits["train"]) == 60


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("<!DOCTYPE html>\n<html><body>Please, log in</body></html>", "a web page"),
        ("\ufeff<html>\n<body>a,b</body></html>", "a web page"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git lfs pull"),
        ('[{"a": 1, "label": "x"},\n {"a": 2, "label": "y"}]', r"JSON.*\.jsonl"),
    ],
)
def test_text_of_another_format_is_named(write, content, said):
    with pytest.raises(BadDataError, match=rf"(?s){said}"):
        csv(write(content))


def test_binary_files_of_another_format_are_named(tmp_path):
    pq.write_table(pa.table({"x": [1, 2]}), tmp_path / "parquet.csv")
    with zipfile.ZipFile(tmp_path / "excel.csv", "w") as archive:
        archive.writestr("xl/workbook.xml", "x")
    for name, ending in (("parquet", ".parquet"), ("excel", ".xlsx")):
        with pytest.raises(BadDataError, match=rf"(?s)whatever its name says.*{ending}"):
            csv(tmp_path / f"{name}.csv")


@pytest.mark.parametrize(
    ("encoding", "words", "shown"),
    [
        ("cp1251", "город,класс\nМосква,да\nКазань,нет\n", "cp1251 (город"),
        ("cp1250", "miasto,opis\nŁódź,ciężki\nGdańsk,średni\n", "cp1250"),
        ("shift_jis", "都市,答え\n東京,いいえ\n大阪,はい\n", "shift_jis (都市"),
    ],
)
def test_other_alphabets_are_asked_for_and_not_guessed(write, encoding, words, shown):
    header, *rows = words.splitlines(keepends=True)
    path = write(header + "".join(rows) * 20, encoding=encoding)
    with pytest.raises(BadDataError, match="unknown encoding") as raised:
        csv(path)
    assert shown in str(raised.value)
    assert csv(path, encoding=encoding).columns[0].name == header.split(",")[0]


def test_a_wrong_encoding_is_said(write):
    path = write("city,y\n" + "Zürich,1\nGenève,0\n" * 20, encoding="cp1252")
    with pytest.raises(BadDataError, match=r"not in utf-8, the data\.encoding: byte 8 is 0xfc"):
        csv(path, encoding="utf-8")
    with pytest.raises(ConfigError, match="no encoding that Python knows"):
        csv(path, encoding="utf-9")


def test_accents_of_a_short_header(write):
    path = write("Größe,µ,y\n" + "".join(f"{i},{i % 7},{i % 2}\n" for i in range(40)), encoding="cp1252")
    assert [column.name for column in csv(path).columns] == ["Größe", "µ", "y"]


def test_a_damaged_byte_keeps_the_rest_in_utf8(tmp_path):
    text = "city,y\n" + "Köln,1\nGenève,0\n" * 20
    (tmp_path / "a.csv").write_bytes(text.encode() + "Zürich,1\n".encode("cp1252"))
    dataset = csv(tmp_path / "a.csv")
    assert dataset.splits["train"]["city"].to_pylist()[-3:] == ["Köln", "Genève", "Z\ufffdrich"]
    assert any("is UTF-8, but 1 bytes are not" in note for note in dataset.notes)


@pytest.mark.parametrize("encoding", ["utf-32", "utf-16-be", "utf-8-sig"])
def test_wide_encodings(write, encoding):
    dataset = csv(write("größe,label\n" + BODY, encoding=encoding))
    assert (dataset.columns[0].name, len(dataset.splits["train"])) == ("größe", 60)


def test_two_byte_order_marks(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" * 2 + FILE.encode())
    assert csv(tmp_path / "a.csv").columns[0].name == "x"
