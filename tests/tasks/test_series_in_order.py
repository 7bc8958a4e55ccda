"""Forecasts read rows as training did, and the splits of a source stay."""

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

import pellucid
from pellucid.config import Config, DataConfig
from pellucid.data.contents import look
from pellucid.data.offers import choose
from pellucid.data.panel import read_panel
from pellucid.data.sources.open_source import open_source
from pellucid.errors import BadDataError, ConfigError, PellucidError
from pellucid.runner.data import prepare
from pellucid.tasks.forecasting import windows
from pellucid.tasks.forecasting.task import Forecasting, inputs_of

TASK = Forecasting()
START = datetime(2020, 1, 1)


def dates(count, start=0, hours=24):
    return [START + timedelta(hours=hours * (start + row)) for row in range(count)]


def write(path, **columns):
    path.parent.mkdir(exist_ok=True)
    pyarrow.csv.write_csv(pa.table(columns), path)
    return str(path)


def config_of(source, target=None, data=(), **series):
    settings = {"source": str(source), "target": target, **dict(data)}
    series = {"window": 12, "horizon": 4, **series}
    return Config.parse({"objective": {"name": "forecasting"}, "data": {**settings, "series": series}})


def prepared(source, target=None, **series):
    config = config_of(source, target, **series)
    return TASK.prepare(open_source(config.data, labelled=False, form="series"), config, False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on days of rising numbers, and its file."""
    folder = tmp_path_factory.mktemp("days")
    sales = np.arange(100.0) + np.sin(np.arange(100))
    path = write(folder / "sales.csv", day=dates(100), sales=sales)
    settings = {
        "objective.name": "forecasting",
        "data.series.window": 12,
        "data.series.horizon": 4,
        "train.epochs": 1,
        "train.execution": "eager",
    }
    run = pellucid.fit("nlinear", path, settings=settings, runs=folder / "runs", progress=False)
    return run, pyarrow.csv.read_csv(path)


# ---- prediction ----------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [slice(None, None, -1), np.random.default_rng(0).permutation(100)])
def test_rows_to_forecast_from_are_put_in_the_order_of_time(trained, tmp_path, order):
    run, rows = trained
    other = tmp_path / "other.csv"
    pyarrow.csv.write_csv(rows.take(np.arange(100)[order]), other)
    expected = run.predict(rows)
    assert np.array_equal(run.predict(other).values, expected.values)
    assert run.predict(other).times == expected.times


def test_rows_that_are_not_a_training_step_apart_are_refused(trained, tmp_path):
    run, rows = trained
    hourly = write(tmp_path / "hourly.csv", day=dates(100, hours=1), sales=np.arange(100.0))
    with pytest.raises(BadDataError, match="expected a row every day, as in training, received 2020-01-04"):
        run.predict(hourly)
    with pytest.raises(BadDataError, match="expected a row every day"):
        run.predict(rows.take(np.delete(np.arange(100), 95)))
    old_gap = rows.take(np.delete(np.arange(100), 50))
    assert np.array_equal(run.predict(old_gap).values, run.predict(rows).values)


def test_several_series_are_not_forecast_as_one(trained, tmp_path):
    run = trained[0]
    both = write(
        tmp_path / "both.csv", day=dates(50) * 2, sales=np.arange(100.0), store=["a"] * 50 + ["b"] * 50
    )
    with pytest.raises(BadDataError, match="time repeats"):
        run.predict(both)


def test_a_series_that_is_too_short_to_forecast_from_is_named(tmp_path):
    sales = np.arange(120.0)
    path = write(tmp_path / "two.csv", store=["a"] * 60 + ["b"] * 60, day=dates(60) * 2, sales=sales)
    settings = {"objective.name": "forecasting", "data.series.id": "store", "train.epochs": 1}
    settings |= {"data.series.window": 12, "data.series.horizon": 4, "train.execution": "eager"}
    run = pellucid.fit("nlinear", path, settings=settings, runs=tmp_path / "runs", progress=False)
    short = write(
        tmp_path / "short.csv", store=["a"] * 20 + ["b"] * 5, day=dates(20) + dates(5), sales=sales[:25]
    )
    found = run.predict(short)
    assert "1 series have fewer than 12 rows, and no forecast: b" in found.notes
    assert len(found.rows()) == 4
    alone = pyarrow.csv.read_csv(path).slice(0, 60).drop_columns(["store"])
    assert np.array_equal(run.predict(alone.take(np.arange(60)[::-1])).values, run.predict(alone).values)


def test_dates_are_read_at_prediction_as_in_training(tmp_path):
    written = [day.strftime("%d/%m/%Y") for day in dates(100)]
    made = prepared(write(tmp_path / "days.csv", day=written, sales=np.arange(100.0)))
    encoded = inputs_of(made.preprocess)
    assert encoded.time_column.form["format"] == "%d/%m/%Y"
    assert type(encoded).from_state(encoded.state()) == encoded


# ---- splits of the source --------------------------------------------------------------------------


@pytest.mark.parametrize("fill", [None, "previous"])
def test_the_splits_of_a_source_are_kept_for_several_series(tmp_path, fill):
    for name, start, count in (("train", 0, 60), ("val", 60, 20), ("test", 80, 20)):
        store, rows = [letter for letter in "ab" for _ in range(count)], dates(count, start) * 2
        write(tmp_path / "split" / f"{name}.csv", store=store, day=rows, sales=np.arange(2.0 * count))
    made = prepared(tmp_path / "split", id="store", fill=fill)
    assert {name: len(table) for name, table in made.dataset.splits.items()} == {
        "train": 120,
        "validation": 40,
        "test": 40,
    }
    assert min(made.dataset.splits["test"]["day"].to_pylist()) == dates(1, 80)[0]


def test_a_series_may_be_in_the_test_split_only(tmp_path):
    for name, letters in (("train", "ab"), ("test", "c")):
        store = [letter for letter in letters for _ in range(60)]
        sales = np.arange(len(store)) + 1000.0 * (name == "test")
        write(tmp_path / "split" / f"{name}.csv", store=store, day=dates(60) * len(letters), sales=sales)
    made = prepared(tmp_path / "split", id="store")
    assert set(made.dataset.splits["test"]["store"].to_pylist()) == {"c"}
    assert len(made.rows["test"]) == 60 - 12 - 4 + 1
    encoded = inputs_of(made.preprocess)
    lowest = made.rows["test"].inputs.min() * encoded.std[0] + encoded.mean[0]
    assert lowest >= 999.0  # no window reaches into another series
    starts = windows.starts(made.dataset.splits, encoded, "test")
    assert starts[0] == dates(1, 12)[0]
    assert len(starts) == len(made.rows["test"])


def test_splits_that_are_not_in_the_order_of_time_are_refused(tmp_path):
    for name, start in (("train", 60), ("test", 0)):
        write(
            tmp_path / "split" / f"{name}.csv",
            store=["a"] * 60,
            day=dates(60, start),
            sales=np.arange(60.0),
        )
    with pytest.raises(BadDataError, match="Series 'a': test begins at 2020-01-01"):
        prepared(tmp_path / "split", id="store")


@pytest.mark.parametrize("rule", [{"group": "sales"}, {"folds": 3}, {"time": "day"}, {"column": "sales"}])
def test_rules_of_splits_are_refused_for_a_series(tmp_path, rule):
    path = write(tmp_path / "days.csv", day=dates(100), sales=np.arange(100.0))
    with pytest.raises(ConfigError, match=f"data.split.{next(iter(rule))}=.*in the order of time"):
        prepare(config_of(path, data={"split": rule}))


def test_a_fold_without_folds_is_refused():
    with pytest.raises(PellucidError, match="fold is 2 and folds is not set"):
        Config.parse({"data": {"split": {"fold": 2}}})


# ---- what belongs together -----------------------------------------------------------------------


def test_each_file_of_a_folder_may_be_a_series(tmp_path):
    for number, name in enumerate(["berlin", "rome"]):
        write(tmp_path / "cities" / f"{name}.csv", day=dates(80), heat=np.arange(80.0) + 500 * number)
    with pytest.raises(BadDataError, match="repeats or goes back") as caught:
        prepared(tmp_path / "cities")
    assert "--set data.series.id=file" in caught.value.remedy
    made = prepared(tmp_path / "cities", id="file")
    assert set(made.dataset.splits["train"]["file"].to_pylist()) == {"berlin", "rome"}
    assert any("2 series" in note for note in made.dataset.notes)


def test_ids_of_several_columns_do_not_run_into_each_other(tmp_path):
    path = write(
        tmp_path / "shops.csv",
        city=["new york"] * 60 + ["new"] * 60,
        shop=["x"] * 60 + ["york x"] * 60,
        day=dates(60) + dates(60, 60),
        sales=np.arange(120.0),
    )
    made = prepared(path, id="city,shop")
    assert any("2 series" in note for note in made.dataset.notes)


def test_series_of_other_steps_are_refused(tmp_path):
    path = write(
        tmp_path / "mixed.csv",
        name=["days"] * 100 + ["hours"] * 100,
        day=dates(100) + dates(100, hours=1),
        sales=np.arange(200.0),
    )
    with pytest.raises(BadDataError, match="'hours' has a row every hour, others every day"):
        prepared(path, id="name")


def test_columns_that_cannot_be_read_are_named(tmp_path):
    promo = ["none", "big"] * 50
    path = write(tmp_path / "promo.csv", day=dates(100), sales=np.arange(100.0), promo=promo)
    made = prepared(path, target="sales")
    assert any("not read" in note and "'promo' (category)" in note for note in made.dataset.notes)


def test_a_constant_series_is_said_to_be_one(tmp_path):
    path = write(tmp_path / "flat.csv", day=dates(100), sales=[5.0] * 100)
    for target in (None, "sales"):
        with pytest.raises(BadDataError, match="left out 'sales': it is always 5"):
            prepared(path, target=target)


def _sales(tmp_path, name, rows, header="unique_id,ds,y"):
    path = tmp_path / name
    path.write_text(header + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    return look(DataConfig(source=str(path)))


def test_shuffled_rows_of_several_series_are_found_and_sorted(tmp_path):
    days = [f"2024-{1 + day // 28:02}-{1 + day % 28:02}" for day in range(28)]
    rows = [
        (series, day, place + 0.5 * number)
        for place, series in enumerate("ab")
        for number, day in enumerate(days)
    ]
    found = choose(_sales(tmp_path, "s.csv", rows[::-1][::3] + rows[::-1][1::3] + rows[::-1][2::3]))
    assert found.learns == "the next rows of each 'unique_id' from the last: a row every day"
    assert found.suggest(None).config.data.series.id == "unique_id"


def test_one_series_that_is_not_sorted_is_sorted(tmp_path):
    rows = [(f"2024-01-{day:02}", day) for day in [*range(16, 31), *range(1, 16)]] + [("2024-01-31", 31)]
    contents = _sales(tmp_path, "s.csv", rows, "date,sales")
    data = choose(contents).suggest(None).config.data
    panel = read_panel(contents.dataset, contents.table, data.series, ["sales"])
    assert panel.tables[0]["sales"].to_pylist() == list(range(1, 32))
    assert panel.notes == ("the rows are sorted by 'date'",)


def test_months_are_called_so(tmp_path):
    rows = [(f"{year}-{month:02}-01", year + month) for year in range(2000, 2005) for month in range(1, 13)]
    assert choose(_sales(tmp_path, "m.csv", rows, "date,price")).learns.endswith("a row every month")


def test_times_that_are_numbers_go_on(tmp_path):
    path = tmp_path / "years.csv"
    path.write_text("year,temp\n" + "".join(f"{year},{year % 7}.5\n" for year in range(1960, 2020)))
    settings = {"data.series": {"window": 8, "horizon": 3}, "train.device": "cpu"}
    run = pellucid.fit(
        "nlinear",
        path,
        objective="forecasting",
        epochs=1,
        runs=tmp_path / "runs",
        progress=False,
        settings=settings,
    )
    assert run.predict(path).times == (2020, 2021, 2022)
    assert [row["time"] for row in run.predict(path).rows()] == [2020, 2021, 2022]
