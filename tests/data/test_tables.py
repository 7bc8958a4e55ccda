"""CSV and Parquet: what is read, and the error for each kind of bad file."""

from __future__ import annotations

import contextlib
import csv as python_csv
import gzip
import io

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pellucid.config import DataConfig
from pellucid.data.build_dataset import DataOptions
from pellucid.data.dataset import Dataset
from pellucid.data.sources import csvfile, tables
from pellucid.data.sources.open_source import open_data
from pellucid.data.sources.tables import csv, parquet
from pellucid.errors import BadDataError, DataError, DataNotFoundError, UnknownNameError


def kinds(dataset: Dataset) -> dict[str, str]:
    return {column.name: column.kind for column in dataset.columns}


# ---- what is read --------------------------------------------------------------------------------


def test_mixed_columns_are_typed(titanic):
    dataset = csv(titanic)
    assert kinds(dataset) == {
        "Pclass": "number",
        "Name": "text",
        "Sex": "category",
        "Age": "number",
        "Fare": "number",
        "Cabin": "category",
        "Embarked": "category",
        "Boarded": "date",
        "Alone": "boolean",
        "Survived": "category",
    }
    assert dataset.task == "classification"
    assert dataset.classes == ("0", "1")
    assert len(dataset.splits["train"]) == 300
    notes = "\n".join(dataset.notes)
    assert "PassengerId" in notes
    assert "always 'RMS Titanic'" in notes


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_found(write, delimiter):
    rows = [["size", "note, long", "kind"], *[[str(i), f"a {i}", "xy"[i % 2]] for i in range(30)]]
    text = io.StringIO()
    python_csv.writer(text, delimiter=delimiter).writerows(rows)
    dataset = csv(write(text.getvalue()), target="kind")
    assert dataset.splits["train"]["size"].to_pylist() == list(range(30))


def test_gzip_and_tsv(tmp_path):
    path = tmp_path / "a.tsv.gz"
    path.write_bytes(gzip.compress(b"a\ty\n1\tu\n2\tv\n3\tu\n4\tv\n"))
    assert csv(path).classes == ("u", "v")


def test_quoted_newlines_keep_line_numbers(write):
    path = write(
        'text,age,y\n"one\ntwo",1,a\n' + "".join(f'"x{i}",{i},b\n' for i in range(2, 30)) + '"z",old,a\n'
    )
    with pytest.raises(
        BadDataError, match=r"data\.csv line 32, column 'age': expected a finite number, received 'old'"
    ):
        csv(path)


def test_latin1_is_read_with_a_notice(write):
    path = write("city,y\n" + "Zürich,1\nGenève,0\n" * 5, encoding="latin-1")
    dataset = csv(path)
    assert "Zürich" in dataset.splits["train"]["city"].to_pylist()
    assert any("Windows-1252" in note for note in dataset.notes)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_are_recognized(write, encoding):
    dataset = csv(write("city,y\n" + "Zürich,1\nGenève,0\n" * 5, encoding=encoding))
    assert kinds(dataset) == {"city": "category", "y": "category"}


def test_a_file_without_header_is_read(write):
    dataset = csv(write("5.1,3.5,setosa\n4.9,3.0,setosa\n6.2,2.2,virginica\n5.0,2.1,virginica\n"))
    assert dataset.target == "column_3"
    assert len(dataset.splits["train"]) == 4
    assert any("no header" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("cells", "first"),
    [
        (["2021-03-04", "2020-01-01"], "2021-03-04"),
        (["2021-03-04 10:20:30", "2020-01-01 00:00:00"], "2021-03-04"),
        (["25/12/2020", "01/02/2021"], "2020-12-25"),
        (["12/25/2020", "01/02/2021"], "2020-12-25"),
        (["25.12.2020", "01.02.2021"], "2020-12-25"),
        (["4 Mar 2021", "5 Jan 2020"], "2021-03-04"),
    ],
)
def test_dates_are_recognized(write, cells, first):
    dataset = csv(write("when,y\n" + "".join(f"{cells[i % 2]},{i % 2}\n" for i in range(20))))
    assert kinds(dataset)["when"] == "date"
    assert str(dataset.splits["train"]["when"][0].as_py().date()) == first


def test_choosing_the_last_column_is_announced(write):
    dataset = csv(write("a,b\n" + "".join(f"{i},{i * 0.5}\n" for i in range(50))))
    assert (dataset.target, dataset.task) == ("b", "regression")
    assert any("last column" in note and "target=" in note for note in dataset.notes)


def test_several_targets_are_read(write):
    path = write("a,rain,wind\n" + "".join(f"{i / 7},{i % 2},{i % 3 % 2}\n" for i in range(30)))
    dataset = csv(path, target="rain, wind")
    assert (dataset.task, dataset.classes) == ("multilabel", ("rain", "wind"))


def test_lists_of_labels_are_read(tmp_path):
    rows = pa.table({"a": [float(i) for i in range(12)], "labels": [["x"], ["x", "y"], []] * 4})
    pq.write_table(rows, tmp_path / "a.parquet")
    dataset = parquet(tmp_path / "a.parquet")
    assert (dataset.task, dataset.classes) == ("multilabel", ("x", "y"))
    ragged = pa.table({"a": [1.0, 2.0], "target": [[0.5], [0.5, 1.5]]})
    pq.write_table(ragged, tmp_path / "b.parquet")
    with pytest.raises(BadDataError, match="'target' holds lists of several lengths"):
        parquet(tmp_path / "b.parquet")


def test_column_kinds_can_be_set(write):
    path = write("age,zip,y\n" + "".join(f"{20 + i},{8000 + i % 3},{i % 2}\n" for i in range(30)))
    dataset = tables.read_tables(path, DataOptions(columns={"zip": "category"}, inputs=["zip"]))
    assert kinds(dataset) == {"zip": "category", "y": "category"}
    assert dataset.column("zip").categories == ("8000", "8001", "8002")


def test_parquet_types_and_split_files_are_read(tmp_path):
    frame = pd.DataFrame({"a": range(40), "flag": [i % 3 == 0 for i in range(40)], "label": ["u", "v"] * 20})
    frame.to_parquet(tmp_path / "train-00000-of-00001.parquet")
    frame.head(6).to_parquet(tmp_path / "val.parquet")
    frame.tail(10).to_parquet(tmp_path / "test.parquet")
    dataset = parquet(tmp_path)
    assert {name: len(table) for name, table in dataset.splits.items()} == {
        "train": 40,
        "validation": 6,
        "test": 10,
    }
    assert kinds(dataset) == {"a": "number", "flag": "boolean", "label": "category"}
    assert len(open_data(DataConfig(source=str(tmp_path))).splits["train"]) == 40


def test_test_file_without_target_is_not_used(tmp_path):
    (tmp_path / "train.csv").write_text("a,y\n" + "1,u\n2,v\n" * 10)
    (tmp_path / "test.csv").write_text("a\n1\n")
    dataset = csv(tmp_path)
    assert list(dataset.splits) == ["train"]
    assert any("test: not used" in note for note in dataset.notes)


def test_image_paths_are_read(tmp_path, picture):
    for index in range(6):
        picture(tmp_path / "img" / f"{index}.png", value=20 + 30 * index)
    (tmp_path / "list.csv").write_text(
        "photo,y\n" + "".join(f"img/{i}.png,{'ab'[i % 2]}\n" for i in range(6))
    )
    assert kinds(csv(tmp_path / "list.csv"))["photo"] == "image"
    (tmp_path / "img" / "3.png").write_bytes(b"")
    with pytest.raises(BadDataError, match=r"list\.csv line 5, column 'photo'.*it is empty"):
        csv(tmp_path / "list.csv")


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("   \n\n", "is empty"),
        ("a,b\n", "has no rows"),
        (
            "a,b\n1,2\n1,2,3\n4\n",
            r"line 3: expected 2 cells, received 3\n.*line 4: expected 2 cells, received 1",
        ),
        (
            "x,y\n" + "1,a\n2,b\n" * 10 + "inf,a\n",
            r"line 22, column 'x': expected a finite number, received 'inf'",
        ),
        ("x,y\n" + "1,a\n2,b\n" * 10 + "3,\n", r"line 22, column 'y': expected a class, received nothing"),
        ("x\n1\n2\n", "no column to learn from"),
        ('a,b\n1,"2\n3,4\n', "quotation mark|expected 2 cells"),
    ],
)
def test_undecodable_text_is_located(write, text, said):
    with pytest.raises(BadDataError, match=rf"(?s){said}"):
        csv(write(text))


def test_text_in_a_numeric_column_is_located(write):
    path = write("age,y\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(40)) + "old,a\nyoung,b\n")
    with pytest.raises(BadDataError) as raised:
        csv(path)
    assert "data.csv line 42, column 'age': expected a finite number, received 'old'" in str(raised.value)
    assert "settings={'data.columns': {'age': 'category'}}" in str(raised.value)
    assert "data.skip_bad" in str(raised.value)
    skipped = tables.read_tables(path, DataOptions(skip_bad=True))
    assert len(skipped.splits["train"]) == 40
    assert len(skipped.skipped) == 2
    told = tables.read_tables(path, DataOptions(columns={"age": "category"}))
    assert len(told.splits["train"]) == 42


def test_ragged_lines_can_be_skipped(write):
    dataset = tables.read_tables(
        write("a,y\n" + "1,u\n2,v\n" * 5 + "1,2,3\n4,u\n"), DataOptions(skip_bad=True)
    )
    assert len(dataset.splits["train"]) == 11
    assert dataset.skipped == ("data.csv line 12: expected 2 cells, received 3",)


def test_unknown_columns_suggest_the_nearest(titanic):
    with pytest.raises(UnknownNameError, match="Did you mean 'Survived'"):
        csv(titanic, target="Survive")
    with pytest.raises(UnknownNameError, match="Did you mean 'Fare'"):
        open_data(DataConfig(source=str(titanic), columns={"Fair": "number"}))
    with pytest.raises(DataNotFoundError, match="no\\.csv"):
        open_data(DataConfig(source="no.csv"))


def test_a_target_with_a_class_per_row_is_refused(titanic):
    with pytest.raises(BadDataError, match=r"'Name' has 300 different texts in 300 rows"):
        csv(titanic, target="Name")


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"PAR1" + data]
)
def test_damaged_parquet_is_refused(tmp_path, damage):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": list(range(100)), "y": ["u", "v"] * 50}), path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BadDataError, match=r"a\.parquet"):
        parquet(path)


def test_damaged_gzip_is_refused(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 100_000)[:200])
    with pytest.raises(BadDataError, match=r"a\.csv\.gz"):
        csv(path)


# ---- any file at all -----------------------------------------------------------------------------

quick = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
words = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00\r", exclude_categories=["Cs"]), max_size=12
)
CELL = st.one_of(
    words, st.integers().map(str), st.floats().map(str), st.sampled_from(["", "NA", "yes", "2020-01-01"])
)


def reads_or_explains(path) -> None:
    with contextlib.suppress(DataError):
        assert isinstance(csv(path), Dataset)


@quick
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_explained(tmp_path, data):
    path = tmp_path / "any.csv"
    path.write_bytes(data)
    reads_or_explains(path)


@quick
@given(st.lists(st.lists(CELL, min_size=1, max_size=4), max_size=12), st.sampled_from(",;\t|"))
def test_any_table_is_read_or_explained(tmp_path, rows, delimiter):
    path = tmp_path / "any.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        python_csv.writer(file, delimiter=delimiter).writerows(rows)
    reads_or_explains(path)


@quick
@given(
    st.integers(1, 4).flatmap(
        lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), min_size=1)
    )
)
def test_well_formed_tables_are_read_exactly(tmp_path, rows):
    assume(len(rows[0]) == 1 or any(map(str.strip, rows[-1])))  # a last row of blanks is left out
    header = [f"name{index}" for index in range(len(rows[0]))]
    path = tmp_path / "any.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        python_csv.writer(file, quoting=python_csv.QUOTE_ALL).writerows([header, *rows])
    table, layout, skipped = csvfile.read(path)
    assert table.column_names == header
    assert [list(row.values()) for row in table.to_pylist()] == rows
    assert layout.header
    assert not skipped
