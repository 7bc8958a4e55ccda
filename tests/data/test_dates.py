"""Dates as people write them, and the form of the training rows in a prediction."""

from __future__ import annotations

import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pellucid
from pellucid.data import dates
from pellucid.data.sources.tables import csv
from pellucid.errors import BadDataError


@pytest.mark.parametrize(
    ("cells", "first"),
    [
        (["2020-03", "2020-04"], "2020-03-01 00:00"),
        (["2020Q1", "2020Q4"], "2020-01-01 00:00"),
        (["Q4 2020", "Q1 2021"], "2020-10-01 00:00"),
        (["03/12/2020 02:30 PM", "03/25/2020 12:05 AM"], "2020-03-12 14:30"),
        (["03/25/2020 12:05 AM"], "2020-03-25 00:05"),
        (["3/5/2020, 12:30 PM", "3/25/2020, 1:00 AM"], "2020-03-05 12:30"),
        (["12-Mar-20", "1-Apr-21"], "2020-03-12 00:00"),
        (["March 2020", "April 2021"], "2020-03-01 00:00"),
        (["May 5, 2020", "June 7, 2020"], "2020-05-05 00:00"),
        (["20200312", "20211231"], "2020-03-12 00:00"),
        (["2020-03-12T10:00:00+02:00"], "2020-03-12 08:00"),
        (["9999-12-31", "0001-01-01"], "9999-12-31 00:00"),
        (["31/12/9999", "01/01/2000"], "9999-12-31 00:00"),
        (["1/2/2021 2:05 p.m.", "1/25/2021 9:00 a.m."], "2021-01-02 14:05"),
        (["1/2/2021 2:05 p. m.", "1/25/2021 9:00 a. m."], "2021-01-02 14:05"),
        (["Mai 2020", "Dez 2020"], "2020-05-01 00:00"),
        (["5. März 2020", "17. Oktober 2020"], "2020-03-05 00:00"),
        (["5 août 2020", "17 février 2021"], "2020-08-05 00:00"),
        (["5 de enero de 2020", "17 de marzo de 2020"], "2020-01-05 00:00"),
        (["Sept. 5, 2020", "Jan. 17, 2021"], "2020-09-05 00:00"),
        (["Mon Apr 06 22:19:45 PDT 2009", "Tue Apr  7 02:00:00 PDT 2009"], "2009-04-06 22:19"),
        (["2020-03-12 10:00:00 UTC", "2020-03-13 10:00:00 UTC"], "2020-03-12 10:00"),
        (["2020-03-12 10:00:00 +0200"], "2020-03-12 08:00"),
        (["2021-W01", "2020-W53"], "2021-01-04 00:00"),
        (["01.03.2020", "01.03.2020 13:30"], "2020-03-01 00:00"),
    ],
)
def test_forms(cells, first):
    form = dates.find(cells)
    assert form is not None
    assert dates.read(pa.chunked_array([cells]), form)[0].as_py().strftime("%Y-%m-%d %H:%M") == first


@pytest.mark.parametrize("cells", [["12.5", "13.5"], ["hello 5"], ["14:30"], ["31/31/2020"], ["555-1234"]])
def test_other_things_are_not_dates(cells):
    assert dates.find(cells) is None


@pytest.mark.parametrize("cells", [["2021-W54"], ["2021-W00"], ["marzo"], ["may 5th of something"]])
def test_what_only_begins_like_a_date_is_none(cells):
    assert dates.find(cells) is None


def test_later_rows_decide_what_the_first_leave_open(write):
    start = datetime.date(2020, 1, 1)
    lines = "".join(
        f"{start + datetime.timedelta(days=i // 300):%m/%d/%Y},{'uv'[i % 2]}\n" for i in range(9000)
    )
    dataset = csv(write("day,y\n" + lines))
    assert dataset.splits["train"]["day"][8999].as_py() == datetime.datetime(2020, 1, 30)
    assert not any("fits too" in note for note in dataset.notes)


def test_a_cell_that_is_no_date_is_named(write):
    lines = "".join(f"{1 + i % 28}.3.2020,{'uv'[i % 2]}\n" for i in range(60))
    with pytest.raises(BadDataError, match=r"line 2, column 'day': expected a date such as .*'unknown'"):
        csv(write("day,y\nunknown,u\n" + lines))


def test_dates_never_become_words_quietly(write):
    lines = "".join(
        f"{'unknown' if i % 4 == 0 else f'2020-03-{1 + i % 28:02}'},{'uv'[i % 2]}\n" for i in range(60)
    )
    (note,) = [note for note in csv(write("day,y\n" + lines)).notes if "'day'" in note]
    assert "75% of its values look like dates, but 'unknown' is not one" in note
    assert "settings={'data.columns': {'day': 'date'}}" in note


def test_days_of_zeros_are_missing(write):
    lines = "".join(
        f"{'0000-00-00' if i % 4 == 0 else f'2020-03-{1 + i % 28:02}'},{'uv'[i % 2]}\n" for i in range(60)
    )
    days = csv(write("day,y\n" + lines)).splits["train"]["day"]
    assert (pa.types.is_timestamp(days.type), days.null_count) == (True, 15)


def test_months_in_long_strings_of_arrow(tmp_path):
    months = pa.array([f"{2010 + i // 12}-{1 + i % 12:02}" for i in range(60)], pa.large_string())
    pq.write_table(pa.table({"month": months, "y": ["u", "v"] * 30}), tmp_path / "data.parquet")
    dataset = pellucid.parquet(tmp_path / "data.parquet", target="y")
    assert dataset.splits["train"]["month"][59].as_py() == datetime.datetime(2014, 12, 1)


def test_order_decides_what_days_leave_open():
    assert dates.find(["01/02/2020", "02/02/2020", "03/02/2020"]) == "%d/%m/%Y"
    assert dates.find(["02/01/2020", "02/02/2020", "02/03/2020"]) == "%m/%d/%Y"


def test_the_form_of_the_training_rows_is_kept(write, tmp_path):
    days = [datetime.date(2020, 1, 1) + datetime.timedelta(days=3 * i) for i in range(100)]
    path = write("day,price\n" + "".join(f"{day:%m/%d/%Y},{day.timetuple().tm_yday}.5\n" for day in days))
    run = pellucid.fit("mlp", str(path), epochs=1, runs=tmp_path / "runs", progress=False)
    kept = pellucid.inference.load_trained(run).preprocess
    assert kept.columns[0].form == {"format": "%m/%d/%Y"}
    alone = kept.table_from({"day": ["03/12/2020"]})["day"].to_pylist()
    assert alone == [datetime.datetime(2020, 3, 12)]
    assert kept.table_from({"day": ["2020-03-12"]})["day"].to_pylist() == alone  # ISO 8601 is never in doubt
    with pytest.raises(BadDataError, match="expected a date such as 03/25/2020, received '25/03/2020'"):
        kept.table_from({"day": ["25/03/2020"]})


def test_an_open_order_is_said_and_can_be_set(write):
    path = write(
        "day,y\n" + "".join(f"0{1 + i % 9}/0{1 + i * 5 % 8}/2020,{'uv'[i % 2]}\n" for i in range(40))
    )
    assert any("'data.csv.dates': '%m/%d/%Y'" in note for note in csv(path).notes)
    assert csv(path, dates="%m/%d/%Y").splits["train"]["day"][1].as_py() == datetime.datetime(2020, 2, 6)


def test_far_dates_are_learned_from(write, tmp_path):
    cells = ["9999-12-31", "0001-01-01", "2020-05-05"]
    path = write("until,size,y\n" + "".join(f"{cells[i % 3]},{i},{'uv'[i % 2]}\n" for i in range(60)))
    run = pellucid.fit("mlp", str(path), epochs=1, runs=tmp_path / "runs", progress=False)
    assert run.status == "finished"
