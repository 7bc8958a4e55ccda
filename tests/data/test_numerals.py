"""Numbers as people write them: decimal commas, thousands, currencies, per cent, units."""

from __future__ import annotations

import pyarrow as pa
import pytest

import pellucid
from pellucid.data import numerals
from pellucid.data.sources.tables import csv
from pellucid.errors import BadDataError


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1,5", "2,25", "3"], [1.5, 2.25, 3.0]),
        (["1.234,5", "12,5"], [1234.5, 12.5]),
        (["1,234", "56,789", "1"], [1234, 56789, 1]),
        (["1,234", "0,567"], [1.234, 0.567]),
        (["1.234", "5.678"], [1.234, 5.678]),
        (["1.234.567", "12.345"], [1234567, 12345]),
        (["1 234,5", "12,25"], [1234.5, 12.25]),
        (["1\u00a0234,5", "12,25"], [1234.5, 12.25]),
        (["1'234.50", "2"], [1234.5, 2.0]),
        (["1,23,456", "12,345"], [123456, 12345]),
        (["$1,234.50", "$3.20"], [1234.5, 3.2]),
        (["-$5.00", "$-3.00"], [-5.0, -3.0]),
        (["5,00 €", "1.200,00 €"], [5.0, 1200.0]),
        (["CHF 1'200.50", "CHF 3"], [1200.5, 3.0]),
        (["12.5%", "3 %"], [12.5, 3.0]),
        (["5 kg", "12 kg"], [5, 12]),
        (["1 year", "2 years"], [1, 2]),
        (["€110.5M", "€600K", "€0"], [110.5e6, 600e3, 0.0]),
        (["(1,234.50)", "3.25"], [-1234.5, 3.25]),
        (["\u22125,5", "3,2"], [-5.5, 3.2]),
        (["12-", "5"], [-12, 5]),
        (["1e5", "2,5e3"], [100000.0, 2500.0]),
        (["9.882e-01", "1.234e+02"], [0.9882, 123.4]),
        (["$1,234.50", "$-", "$ -", "$2.00"], [1234.5, 0.0, 0.0, 2.0]),
        (["12,00 €", "- €"], [12.0, 0.0]),
    ],
)
def test_numbers_are_read(cells, values):
    found = numerals.find(cells)
    assert found is not None
    assert found.read(pa.chunked_array([cells])).to_pylist() == values
    again = numerals.Numerals.from_state(found.state())
    assert again.read(pa.chunked_array([cells[:1]])).to_pylist() == values[:1]


@pytest.mark.parametrize(
    "cells", [["A1", "A2"], ["2020-01-01"], ["12:30"], ["$5", "€6"], ["5/10", "3/7"], ["3rd", "4th"]]
)
def test_other_things_are_not_numbers(cells):
    assert numerals.find(cells) is None


def rows(*columns: list[str], names: str, mark: str = ";", count: int = 40) -> str:
    lines = [mark.join(column[i % len(column)] for column in columns) for i in range(count)]
    return "\n".join([names, *lines]) + "\n"


def test_a_file_of_decimal_commas(write):
    path = write(rows(["1,5", "2,25", "3,1"], ["1.100", "1.200", "1.300"], ["u", "v"], names="a;b;y"))
    train = csv(path).splits["train"]
    assert train["a"][:3].to_pylist() == [1.5, 2.25, 3.1]
    assert train["b"][:3].to_pylist() == [1100, 1200, 1300]  # a point cannot be the decimal mark here
    assert any("decimal commas" in note and "'a'" in note for note in csv(path).notes)


def test_a_power_of_ten_is_no_thousand_in_a_file_of_decimal_commas(write):
    path = write(rows(["1,5", "2,25"], ["9.882e-01", "1.234e+02"], ["u", "v"], names="a;b;y"))
    assert csv(path).splits["train"]["b"][:2].to_pylist() == [0.9882, 123.4]


@pytest.mark.parametrize(
    ("usual", "late", "value", "mark"),
    [("12,5", "1.234,5", 1234.5, ";"), ("12.5", "1 234.5", 1234.5, ";"), ("12", "1,234", 1234, "\t")],
)
@pytest.mark.parametrize("count", [3, 3000])
def test_late_rows_show_how_thousands_are_written(write, usual, late, value, mark, count):
    early = "".join(f"{usual}{mark}{'uv'[i % 2]}\n" for i in range(7000))
    dataset = csv(write(f"a{mark}y\n" + early + f"{late}{mark}u\n" * count))
    assert dataset.splits["train"]["a"][-1].as_py() == value
    assert dataset.splits["train"]["a"].null_count == 0
    assert any("between thousands: 'a'" in note for note in dataset.notes)


def test_marks_can_be_set(write):
    path = write(rows(["1,500", "2,250", "3,100"], ["u", "v"], names="a;y"))
    assert csv(path, decimal=",").splits["train"]["a"][:2].to_pylist() == [1.5, 2.25]
    assert csv(path, thousands=",").splits["train"]["a"][:2].to_pylist() == [1500, 2250]


def test_marks_of_the_training_rows_are_used_again(write, tmp_path):
    path = write(rows(["1.234,5", "12,5", "7,25"], ["10,5", "20,5"], names="a;price"))
    run = pellucid.fit(
        "mlp", str(path), objective="regression", epochs=1, runs=tmp_path / "runs", progress=False
    )
    new = write("a\n1.234\n", name="new.csv")  # alone it would be 1 and something
    kept = pellucid.inference.load_trained(run).preprocess
    assert kept.table_from(str(new))["a"].to_pylist() == [1234]
    assert run.evaluate(path).metrics["mae"] >= 0
    with pytest.raises(BadDataError) as raised:
        kept.table_from(str(write("a;b\n1,5;1\n1'234.5;2\n", name="other.csv")))
    assert "other.csv line 3, column 'a': expected a finite number with decimal commas" in str(raised.value)
    assert "leave the cell empty" in str(raised.value)


def test_words_for_missing(write):
    text = rows(["unknown", *map(str, range(12))], ["-999", "3", "4"], ["u", "v"], names="a,b,y", mark=",")
    path = write(text)
    with pytest.raises(BadDataError, match=r"'data\.csv\.missing': \['unknown'\]"):
        csv(path)
    train = csv(path, missing=["unknown", -999]).splits["train"]
    assert (train["a"].null_count, train["b"].null_count) == (4, 14)


def notes_of(path, about: str) -> list[str]:
    return [note for note in csv(path).notes if about in note]


@pytest.mark.parametrize(("number", "others"), [("-999", 60), ("-1", 60), ("999", 60), ("9999", 100)])
def test_numbers_that_may_mean_a_missing_value_are_said(write, number, others):
    ages = [number, *map(str, range(20, others))]
    (note,) = notes_of(write(rows(ages, ["u", "v"], names="age,y", mark=",", count=120)), "stands out")
    assert f"{number} stands out in 'age'; settings={{'data.csv.missing': [{number}]}}" in note
    kept = csv(write(rows(ages, ["u", "v"], names="age,y", mark=",", count=120)), missing=[number])
    assert kept.splits["train"]["age"].null_count > 1


@pytest.mark.parametrize("cells", [range(-1, 30), [-1, 0, 1], range(-999, 999, 50), [99, *range(60, 98)]])
def test_usual_numbers_do_not_stand_out(write, cells):
    path = write(rows([str(cell) for cell in cells], ["u", "v"], names="a,y", mark=",", count=30))
    assert not notes_of(path, "stands out")


def test_words_that_are_missing_values_are_said(write):
    path = write(rows(["NA", "DE", "US"], ["u", "v"], names="country,y", mark=","))
    (note,) = notes_of(path, "missing value in")
    assert "'NA' is a missing value in 'country'; settings={'data.csv.missing': []}" in note
    assert csv(path, missing=[]).column("country").categories == ("DE", "NA", "US")
    assert not any("missing value in" in note for note in csv(path, missing=[]).notes)


def test_values_that_differ_only_in_case_are_said(write):
    path = write(rows(["Yes", "yes", "No"], ["1", "2", "3", "5"], names="a,y", mark=","))
    assert notes_of(path, "differ only in case") == [
        "'Yes', 'yes' of 'a' differ only in case: they count as different"
    ]


def test_codes_keep_their_zeros(write, tmp_path):
    zips = ["01067", "10115", "20095"]
    path = write(rows(zips, [str(i) for i in range(40)], ["u", "v"], names="zip,size,y", mark=","))
    dataset = csv(path)
    assert dataset.column("zip").categories == ("01067", "10115", "20095")
    assert any("'zip' is read as names" in note for note in dataset.notes)
    run = pellucid.fit("mlp", str(path), epochs=1, runs=tmp_path / "runs", progress=False)
    kept = pellucid.inference.load_trained(run).preprocess
    for again in (1067, 1067.0, "1067.0", "1067"):  # as other programs write it
        assert kept.table_from({"zip": [again], "size": [3]})["zip"].to_pylist() == ["01067"]
    assert csv(write(rows(["1", "2"], ["01", "02", "03"], names="a,y", mark=","))).classes == (
        "01",
        "02",
        "03",
    )


def test_digits_never_become_words_quietly(write):
    path = write(rows(["<5", "7", "8", "<9"], ["u", "v"], names="a,y", mark=","))
    assert any("'a' is read as category" in note and "'<5' is not one" in note for note in csv(path).notes)
    path = write("a,b,y\n" + "".join(f"<{i},{i % 3},{'uv'[i % 2]}\n" for i in range(40)))
    assert any("left out 'a'" in note and "look like numbers" in note for note in csv(path).notes)


def test_large_whole_numbers(write, tmp_path):
    first = 570306133677760001
    lines = [f"{first + i},{first + 1000 * (i % 7)},{10**18 + i * 10**9},{'uv'[i % 2]}" for i in range(60)]
    path = write("\n".join(["tweet_id,user,nanoseconds,y", *lines]) + "\n")
    dataset = csv(path)
    assert [(column.name, column.kind) for column in dataset.columns] == [
        ("user", "category"),
        ("nanoseconds", "number"),
        ("y", "category"),
    ]
    notes = "\n".join(dataset.notes)
    assert "left out 'tweet_id'" in notes
    assert "'user' is read as names" in notes
    assert "beyond 2^53" in notes
    run = pellucid.fit("mlp", str(path), epochs=1, runs=tmp_path / "runs", progress=False)
    assert run.status == "finished"
