"""Forecasts as they come out: dates, intervals and files, for each series."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import pellucid
from pellucid import Run
from pellucid.config import DataConfig
from pellucid.data import offers, time_index
from pellucid.data.contents import look
from pellucid.errors import BadDataError, UsageError
from tests.cli.conftest import CommandLine

RNG = np.random.default_rng(0)
SERIES = {"window": 14, "horizon": 5}


def daily(name: str, level: float, rows: int = 200) -> pd.DataFrame:
    week = np.sin(2 * np.pi * np.arange(rows) / 7)
    sales = level * (10 + week + 0.1 * RNG.normal(size=rows))
    return pd.DataFrame(
        {"store": name, "day": pd.date_range("2024-01-01", periods=rows), "sales": np.round(sales, 3)}
    )


def trained(data: Path, folder: Path, **series: object) -> Run:
    settings = {"data.series": {**SERIES, **series}}
    return pellucid.fit(
        "nlinear",
        str(data),
        objective="forecasting",
        epochs=3,
        settings=settings,
        runs=folder,
        progress=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stores")
    both = [daily("small", 1.0), daily("large", 1000.0)]
    pd.concat(both).to_csv(folder / "stores.csv", index=False)
    both[0].drop(columns="store").to_csv(folder / "one.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def stores(folder: Path) -> Run:
    return trained(folder / "stores.csv", folder / "runs", id="store")


def test_every_series_has_dates_and_an_interval_of_its_own_scale(stores: Run, folder: Path) -> None:
    found = stores.predict(folder / "stores.csv")
    assert found.values.shape == found.low.shape == (2, 5, 1)
    rows = found.rows()
    assert [row["series"] for row in rows] == ["large"] * 5 + ["small"] * 5 or rows[0]["series"] == "small"
    assert rows[0]["time"].startswith("2024-07-19")
    widths = {"small": 0.0, "large": 0.0}
    for row in rows:
        assert row["low"]["sales"] < row["prediction"]["sales"] < row["high"]["sales"]
        widths[row["series"]] += row["high"]["sales"] - row["low"]["sales"]
    assert 300 < widths["large"] / widths["small"] < 3000  # one has a thousand times the sales of the other
    assert any(
        "90 % of the validation errors" in note and "on test rows they held" in note for note in found.notes
    )


def test_forecasts_are_written_as_one_number_a_row(stores: Run, folder: Path, tmp_path: Path) -> None:
    stores.predict(folder / "stores.csv", out=tmp_path / "next.csv", horizon=2)
    table = pd.read_csv(tmp_path / "next.csv", parse_dates=["time"])
    assert list(table) == ["series", "step", "time", "target", "value", "low", "high"]
    assert len(table) == 4
    done = CommandLine(folder)("predict", stores.path, "stores.csv", "--set", "horizon=2")
    lines = done.out.splitlines()
    assert lines[0] in ("small", "large"), done.err
    assert lines[1].split()[0] == "2024-07-19"
    assert "note: intervals hold 90 %" in done.err


def test_a_longer_horizon_goes_on_from_forecasts(folder: Path) -> None:
    run = trained(folder / "one.csv", folder / "one")
    found = run.predict(folder / "one.csv", horizon=12)
    assert found.values.shape == (12, 1)
    assert np.allclose(found.values[:5], run.predict(folder / "one.csv").values)
    assert ["low" in row for row in found.rows()] == [True] * 5 + [False] * 7
    assert found.rows()[-1]["time"].startswith("2024-07-30")
    table = pd.read_csv(folder / "one.csv", parse_dates=["day"])
    first = pd.DataFrame({"day": found.times[:5], "sales": found.values[:5, 0]})
    again = run.predict(pd.concat([table, first]))
    assert np.allclose(again.values, found.values[5:10], atol=1e-4)
    with pytest.raises(UsageError, match="whole number"):
        run.predict(folder / "one.csv", horizon=0)


def test_times_may_be_the_index_of_a_series(folder: Path) -> None:
    run = trained(folder / "one.csv", folder / "index")
    indexed = pd.read_csv(folder / "one.csv", parse_dates=["day"], index_col="day")
    expected = run.predict(folder / "one.csv")
    for held in (indexed, indexed.sales):
        assert np.allclose(run.predict(held).values, expected.values)
        assert run.predict(held).times == expected.times


def test_series_that_are_too_short_are_left_out_and_named(stores: Run, folder: Path) -> None:
    table = pd.read_csv(folder / "stores.csv")
    short = table[table.store == "small"].tail(5)
    found = stores.predict(pd.concat([table[table.store == "large"], short]))
    assert list(found.series) == ["large"]
    assert any("no forecast: small" in note for note in found.notes)


# ---- working days --------------------------------------------------------------------------------


def prices(days: pd.DatetimeIndex, missing: int | None = None) -> pd.DataFrame:
    frame = pd.DataFrame({"day": days, "close": 10 + np.sin(2 * np.pi * np.arange(len(days)) / 5)})
    return frame if missing is None else frame.drop(index=missing)


def test_weekends_are_no_gaps_of_working_days(tmp_path: Path) -> None:
    prices(pd.bdate_range("2024-01-01", periods=120)).to_csv(tmp_path / "close.csv", index=False)
    found = offers.choose(look(DataConfig(source=str(tmp_path / "close.csv")))).suggest(None)
    assert found.config.objective.name == "forecasting"
    assert any("season of 5 rows" in reason for reason in found.reasons)
    run = trained(tmp_path / "close.csv", tmp_path / "runs")
    assert "season" in run.facts["baselines"]
    friday = pd.bdate_range("2024-06-03", periods=20)
    rows = run.predict(prices(friday)).rows()
    assert [str(time)[:10] for time in (row["time"] for row in rows)][:2] == ["2024-07-01", "2024-07-02"]
    with pytest.raises(BadDataError, match="expected a row every day, as in training"):
        run.predict(prices(friday, missing=12))


def test_a_missing_working_day_is_a_gap_and_can_be_filled(tmp_path: Path) -> None:
    prices(pd.bdate_range("2024-01-01", periods=120), missing=40).to_csv(tmp_path / "c.csv", index=False)
    with pytest.raises(BadDataError, match=r"1 gap: .*About 1 rows are missing"):
        trained(tmp_path / "c.csv", tmp_path / "runs")
    run = trained(tmp_path / "c.csv", tmp_path / "runs", fill="previous")
    assert any("1 missing rows filled" in note for note in run.facts["dataset"]["notes"])


def test_times_of_working_days() -> None:
    days = pd.bdate_range("2024-02-23", periods=12)
    made = [time_index.workday_after(datetime(2024, 2, 23), count) for count in range(12)]
    assert made == list(days.to_pydatetime())
