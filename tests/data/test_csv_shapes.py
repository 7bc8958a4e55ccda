"""The files that spreadsheets, R, loggers and NumPy write."""

from __future__ import annotations

import gzip
import json
import zipfile

import pandas as pd
import pyarrow as pa
import pytest

import pellucid
from pellucid.config import Config
from pellucid.data.sources import csvfile, tablefile
from pellucid.data.sources.open_source import open_data
from pellucid.data.sources.tables import csv
from pellucid.errors import BadDataError, ConfigError, MissingExtraError, UnknownNameError

BODY = "".join(f"{i / 7:.2f},{i * i % 13},{'ab'[i % 2]}\n" for i in range(60))
HEAD = "x,y,label\n"
FILE = HEAD + BODY


def quoted(text: str) -> str:
    return "\n".join(",".join(f'"{cell}"' for cell in line.split(",")) for line in text.splitlines())


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\n" + FILE.replace(",", ";"),
        '"sep=,"\r\n' + FILE.replace("\n", "\r\n"),
        "# made by a logger, version 2\n#\n" + FILE,
        "# " + FILE,
        HEAD + BODY[:420] + "# a pause\n" + BODY[420:] if BODY[419] == "\n" else "# " + FILE,
        "Report 2024\n\n" + FILE,
        "Report 2024,,\n,,\n" + FILE,
        "Report, by me\nMonday\n\n" + FILE,
        "\n\n" + FILE.replace("a\n", "a\n\n"),
        FILE.replace(",", " "),
        FILE.replace(",", "    "),
        "  " + FILE.replace(",", "   ").replace("\n", "\n   "),
        FILE.replace(",", "|"),
        FILE.replace(",", ", "),
        FILE.replace(",a", ', "a, c"').replace(",b", ", b"),
        FILE.replace(",a", ",'a, c'").replace(",b", ",'b'"),
        HEAD + BODY.replace("\n", ",\n"),
        FILE.replace("\n", ",\n"),
        HEAD + "".join(f'"{i}",{line}\n' for i, line in enumerate(BODY.splitlines())),
        quoted(FILE),
        FILE.rstrip("\n"),
    ],
)
def test_shapes(write, text):
    dataset = csv(write(text), target="label")
    assert [(column.name, column.kind) for column in dataset.columns] == [
        ("x", "number"),
        ("y", "number"),
        ("label", "category"),
    ]
    assert len(dataset.splits["train"]) == 60
    assert dataset.splits["train"]["y"][:4].to_pylist() == [0, 1, 4, 9]


def test_lines_are_counted_from_the_top_of_the_file(write):
    path = write("Report 2024\n\n" + FILE + "oops,1,a\n")
    with pytest.raises(BadDataError, match="line 64, column 'x': expected a finite number, received 'oops'"):
        csv(path, "label")


NUMBERS = "".join(f"{i / 7:.2f},{i % 5 / 3:.2f},{i * i % 11 / 7:.2f},{i % 2}\n" for i in range(60))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("0,1,2,3\n" + NUMBERS, "0,1,2,3"),
        (",0,1,2,3\n" + "".join(f"{i},{line}\n" for i, line in enumerate(NUMBERS.split())), "0,1,2,3"),
        ("1,2,3,4\n" + NUMBERS, "1,2,3,4"),
        ("2019,2020,2021,2022\n" + NUMBERS, "2019,2020,2021,2022"),
        ("400,410,420,430\n" + NUMBERS, "400,410,420,430"),
        (NUMBERS, "column_1,column_2,column_3,column_4"),
        ("a,a,b,y\n" + NUMBERS, "a,a_2,b,y"),
        ("".join(f"{'ny'[i % 2]}es,{'big' if i % 3 else 'small'}\n" for i in range(60)), "column_1,column_2"),
        ("answer,size\n" + "".join(f"{'ny'[i % 2]}es,big{i % 3}\n" for i in range(60)), "answer,size"),
        ("".join(f"{i % 7},{'?' if i % 4 else 3},{i % 5},{i % 2}\n" for i in range(60)),
         "column_1,column_2,column_3,column_4"),
    ],
)  # fmt: skip
def test_headers(write, text, names):
    dataset = csv(write(text))
    assert [column.name for column in dataset.columns] == names.split(",")
    assert len(dataset.splits["train"]) == 60


def test_a_header_can_be_said(write):
    path = write(NUMBERS)
    assert len(csv(path, header=True).splits["train"]) == 59
    words = write("yes,no\n" + "yes,no\nno,no\n" * 20)
    assert len(csv(words, header=False).splits["train"]) == 41
    with pytest.raises(UnknownNameError, match="Did you mean 'header'"):
        csv(path, headers=True)
    with pytest.raises(ConfigError, match="decimal"):
        csv(path, decimal=";")


def test_settings_of_files_are_kept_for_predictions(write, tmp_path):
    path = write(NUMBERS.replace(",", "~"))
    settings = {"data.csv.delimiter": "~", "data.target": "column_4"}
    run = pellucid.fit("mlp", str(path), epochs=1, settings=settings, runs=tmp_path / "runs", progress=False)
    assert len(run.predict(str(write("0.5~0.1~0.2\n", name="new.csv"))).labels) == 1  # one row, no header


def test_marks_from_the_command_line():
    from pellucid.config_text import parse_override

    for text, value in (("decimal=,", ","), ("delimiter=|", "|"), ("dates=%d/%m/%Y", "%d/%m/%Y")):
        assert parse_override(f"data.csv.{text}") == (f"data.csv.{text.split('=')[0]}", value)
    config = Config().patch({"data.csv.missing": [-999, "unknown"], "data.csv.delimiter": "\\t"})
    assert (config.data.csv.missing, config.data.csv.delimiter) == (["-999", "unknown"], "\t")


# ---- quotation marks -----------------------------------------------------------------------------


def test_stray_quotes_do_not_join_rows(write):
    lines = [("ham", '"hello there'), ("spam", "buy it now"), ("ham", 'ok then"'), ("spam", "plain text")]
    text = "".join(f"{label}\t{words} {i}\n".replace('" ', ' ') if label == "spam" else f"{label}\t{words}\n"
                   for i in range(20) for label, words in lines)  # fmt: skip
    dataset = csv(write("label\ttext\n" + text, name="a.tsv"))
    assert len(dataset.splits["train"]) == 80
    assert any("quotation marks are part of the text" in note for note in dataset.notes)


@pytest.mark.parametrize("cell", ["first line, {i}\nsecond, line", "Main Street {i},\nTown"])
def test_quoted_lines_stay_one_row(write, cell):
    rows = "".join(f'"{cell.format(i=i)}",{"uv"[i % 2]}\n' for i in range(60))
    assert csv(write("text,label\n" + rows)).splits["train"]["text"][0].as_py() == cell.format(i=0)


def test_escaped_quotes(write):
    path = write(
        "text,label\n" + "".join(f'"he said \\"no, {i}\\" twice",{"uv"[i % 2]}\n' for i in range(30))
    )
    assert csv(path).splits["train"]["text"][0].as_py() == 'he said "no, 0" twice'


# ---- encodings and formats -----------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-16-le", "utf-8-sig"])
def test_encodings(write, encoding):
    text = "größe,label\n" + "".join(f"{i},{'“b'[i % 2]}\n" for i in range(40))
    dataset = csv(write(text, encoding=encoding))
    assert [column.name for column in dataset.columns] == ["größe", "label"]
    assert dataset.classes == ("b", "“")


def test_an_encoding_can_be_said(write):
    path = write("名前,label\n" + "1,日\n2,本\n" * 20, encoding="shift_jis")
    assert set(csv(path, encoding="shift_jis").classes) == {"日", "本"}


def test_formats(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame({"x": [i / 7 for i in range(60)], "label": ["a", "b"] * 30})
    table, text = pa.Table.from_pandas(frame), frame.to_csv(index=False)
    frame.to_json("lines.jsonl", orient="records", lines=True)
    frame.to_json("columns.json")
    frame.to_json("split.json", orient="split")
    (tmp_path / "records.json").write_text(json.dumps({"data": frame.to_dict("records")}))
    frame.to_feather("a.feather")
    with pa.OSFile("stream.arrow", "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.encode()))
    with zipfile.ZipFile("a.zip", "w") as archive:
        archive.writestr("folder/a.csv", text)
        archive.writestr("__MACOSX/._a.csv", "x")
    for name in ("lines.jsonl", "columns.json", "split.json", "records.json", "a.feather", "stream.arrow",
                 "a.csv.gz", "a.zip"):  # fmt: skip
        dataset = open_data(Config().patch({"data.source": name}).data)
        assert sum(map(len, dataset.splits.values())) == 60, name
        assert dataset.classes == ("a", "b"), name


def test_a_field_of_json_lines_does_not_vanish_quietly(tmp_path):
    lines = [json.dumps({"x": i, "user": {"id": i}, "label": "ab"[i % 2]}) for i in range(40)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    assert any("'user.id'" in note for note in csv(tmp_path / "a.jsonl").notes)


def test_what_is_left_out_of_a_file_is_said(write):
    notes = csv(write("Report 2024\n" + HEAD + BODY + "# a pause\n" + BODY + ",,\n , ,\n")).notes
    assert any("1 lines above the table are left out, the last is 'Report 2024'" in note for note in notes)
    assert any("1 lines that begin with # are left out" in note for note in notes)
    assert any("2 rows at the end without any value are left out" in note for note in notes)


def test_a_blank_row_between_others_is_named(write):
    with pytest.raises(BadDataError, match="line 62, column 'label': expected a class, received nothing"):
        csv(write(HEAD + BODY + ",,\n" + BODY))


@pytest.mark.parametrize(
    ("text", "left_out"),
    [
        ({"data": [{"x": 1, "y": 2}, {"x": 3, "y": 4}], "meta": {"version": 1}}, "'meta'"),
        ({"columns": ["x", "y"], "data": [[1, "2"], [3, 4]]}, ""),
        ({"x": [1, "two"], "y": [2, {"a": 1}]}, "'y'"),
        ({"rows": [{"x": 1, "y": [1, "a"]}, {"x": 2, "y": 5}]}, "'y'"),
    ],
)
def test_json_in_other_shapes(tmp_path, text, left_out):
    (tmp_path / "a.json").write_text(json.dumps(text))
    part = tablefile.read(tmp_path / "a.json")
    assert (part.table.num_rows, part.table.column_names[0]) == (2, "x")
    assert not left_out or any(left_out in note for note in part.notes)


@pytest.mark.parametrize(
    ("name", "said"),
    [("a.xls", "save it as .xlsx or .csv"), ("a.pkl", "read_pickle"), ("a.mat", "loadmat"),
     ("a.7z", "unpack"), ("a.jsonl", "line 1 is not JSON"),
     ("a.zip", "not a .zip file"), ("a.odd", "no known kind")],
)  # fmt: skip
def test_what_is_not_read_is_explained(tmp_path, name, said):
    (tmp_path / name).write_text("x")
    with pytest.raises(BadDataError, match=said):
        open_data(Config().patch({"data.source": str(tmp_path / name)}).data)


def test_excel(tmp_path, monkeypatch):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in [["Report"], [], ["x", "when", "label"]]:
        book.active.append(row)
    for i in range(60):
        book.active.append([i / 7, pd.Timestamp(2020, 1, 1 + i % 28), "ab"[i % 2]])
    book.save(tmp_path / "a.xlsx")
    dataset = csv(tmp_path / "a.xlsx")
    assert [column.kind for column in dataset.columns] == ["number", "date", "category"]


def test_excel_with_notes_merged_cells_and_blank_rows(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["Read the second sheet"])
    sheet = book.create_sheet("Data")
    for row in [["Report", None, None], [], ["region", "x", "label"]]:
        sheet.append(row)
    for i in range(60):
        sheet.append([f"region {i // 15}" if i % 15 == 0 else None, i / 7, "ab"[i % 2]])
    for first in range(4, 64, 15):
        sheet.merge_cells(start_row=first, end_row=first + 14, start_column=1, end_column=1)
    sheet.merge_cells("A1:C1")
    sheet.append(["region 9", "oops", "a"])
    book.save(tmp_path / "a.xlsx")
    with pytest.raises(BadDataError, match="line 64, column 'x': expected a finite number, received 'oops'"):
        csv(tmp_path / "a.xlsx")
    sheet.delete_rows(64)
    book.save(tmp_path / "a.xlsx")
    dataset = csv(tmp_path / "a.xlsx")
    assert dataset.column("region").categories == tuple(f"region {i}" for i in range(4))
    assert dataset.splits["train"]["region"].null_count == 0
    assert any("56 cells that are merged" in note for note in dataset.notes)
    assert any("only the sheet 'Data' is read, of 2" in note for note in dataset.notes)


def test_excel_needs_an_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    (tmp_path / "a.xlsx").write_text("x")
    with pytest.raises(MissingExtraError, match=r'pip install "pellucid\[excel\]"'):
        csv(tmp_path / "a.xlsx")


# ---- targets of words ----------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["None", "NA", "null", "N/A"])
def test_a_class_may_be_called_none(write, word):
    names = [word, "Apnea", "Insomnia"]
    path = write("hours,disorder\n" + "".join(f"{i / 7:.2f},{names[i % 3]}\n" for i in range(90)))
    dataset = csv(path, "disorder")
    assert set(dataset.classes) == set(names)
    assert any(f"'{word}' is a class" in note and "data.csv.missing" in note for note in dataset.notes)
    with pytest.raises(BadDataError, match=f"expected a class, received '{word}'"):
        csv(path, "disorder", missing=[word])


@pytest.mark.parametrize("rows", [["|"], ["|", "|"], ["a;b", "c;d", "e;f"]])
def test_delimiters_within_quotation_marks_do_not_count(tmp_path, rows):
    path = tmp_path / "one_column.csv"
    path.write_text('"name"\n' + "".join(f'"{row}"\n' for row in rows))
    table, layout, _ = csvfile.read(path)
    assert table.to_pydict() == {"name": rows}
    assert layout.header
