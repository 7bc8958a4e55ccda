"""Time series as people have them: several in one file, a target with covariates, gaps, months, no config."""

import json
import math
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
import torch
import yaml
from typer.testing import CliRunner

import pellucid
from pellucid.cli.main import app
from pellucid.config import Config, DataConfig
from pellucid.data.inspect import inspect_data
from pellucid.data.sources.open_source import open_source
from pellucid.errors import BadDataError, ConfigError, UnknownNameError
from pellucid.models import BUILDERS
from pellucid.tasks.forecasting.task import Forecasting, inputs_of

TASK = Forecasting()
START = datetime(2020, 1, 1)
SMALL = {"window": 12, "horizon": 4}


def write(path, **columns):
    pyarrow.csv.write_csv(pa.table(columns), path)
    return str(path)


def prepared(source, target=None, **series):
    data = {"source": source, "target": target, "series": {**SMALL, **series}}
    config = Config.parse({"objective": {"name": "forecasting"}, "data": data})
    return TASK.prepare(open_source(config.data, labelled=False, form="series"), config, False)


def days(count, start=0):
    return [(START + timedelta(days=start + day)).date() for day in range(count)]


@pytest.fixture
def stores(tmp_path):
    """Three stores that count days, each from a different number on, with a text that names the store."""
    names = [name for name in "abc" for _ in range(100)]
    sales = [1000.0 * number + day for number in range(3) for day in range(100)]
    return write(tmp_path / "stores.csv", store=names, day=days(100) * 3, sales=sales)


# ---- several series ------------------------------------------------------------------------------


def test_windows_do_not_cross_from_one_series_into_another(stores):
    made = prepared(stores, id="store")
    encoded = inputs_of(made.preprocess)
    assert {split: len(rows) for split, rows in made.rows.items()} == {
        "train": 3 * (80 - 12 - 4 + 1),
        "validation": 3 * (10 - 4 + 1),
        "test": 3 * (10 - 4 + 1),
    }
    for split in made.rows:
        for inputs, targets in made.batches(split):
            whole = torch.cat([inputs, targets], dim=1)[:, :, 0].double() * encoded.std[0]
            assert torch.allclose(
                whole.diff(dim=1), torch.ones(1).double(), atol=1e-2
            )  # one day after another
    assert encoded.names == ("sales",)
    assert any("3 series, each split in the order of time" in note for note in made.dataset.notes)


def test_rows_of_several_series_may_be_mixed(tmp_path, stores):
    rows = pyarrow.csv.read_csv(stores)
    mixed = rows.take(np.random.default_rng(0).permutation(len(rows)))
    pyarrow.csv.write_csv(mixed, tmp_path / "mixed.csv")
    one, two = prepared(stores, id="store"), prepared(str(tmp_path / "mixed.csv"), id="store")
    starts = [sorted(part.rows["test"].inputs[:, 0, 0].tolist()) for part in (one, two)]
    assert starts[0] == pytest.approx(starts[1], abs=1e-5)
    assert any("are sorted by 'day'" in note for note in two.dataset.notes)


@pytest.mark.parametrize("time", ["day", "t"])
def test_several_series_without_an_id_are_noticed(tmp_path, time):
    when = days(100) * 3 if time == "day" else list(range(100)) * 3
    path = write(
        tmp_path / "a.csv",
        shop=[n for n in (1, 2, 3) for _ in range(100)],
        **{time: when},
        y=[1.5, 2.0, 4.0] * 100,
    )
    with pytest.raises(BadDataError, match=r"each of the 3 values of 'shop'(.|\n)*'data.series.id': 'shop'"):
        prepared(path)
    assert len(prepared(path, id="shop").rows["test"]) == 21


def test_several_columns_may_name_a_series(tmp_path):
    keys = [(store, item) for store in "ab" for item in (1, 2) for _ in range(80)]
    path = write(
        tmp_path / "a.csv",
        store=[k[0] for k in keys],
        item=[k[1] for k in keys],
        t=list(range(80)) * 4,
        sales=np.arange(320) * 1.0,
    )
    made = prepared(path, id="store,item")
    assert inputs_of(made.preprocess).names == ("sales",)
    assert len(made.rows["train"]) == 4 * (64 - 15)
    with pytest.raises(UnknownNameError, match="stor"):
        prepared(path, id="stor")


def test_series_that_are_too_short_are_learned_from_or_left_out(tmp_path):
    sizes = {"long": 100, "short": 20, "tiny": 10}
    path = write(
        tmp_path / "a.csv",
        id=[name for name, size in sizes.items() for _ in range(size)],
        t=[row for size in sizes.values() for row in range(size)],
        y=np.arange(130) * 1.0,
    )
    made = prepared(path, id="id")
    assert len(made.rows["train"]) == 65 + 5
    notes = " ".join(made.dataset.notes)
    assert "only learned from: short" in notes
    assert "left out: tiny" in notes
    with pytest.raises(BadDataError, match="the longest of 3 series has 100 rows"):
        prepared(path, id="id", horizon=20)
    with pytest.raises(ConfigError, match="one series"):
        prepared(path, id="id", rows=[50, 20, 20])


def test_a_run_forecasts_every_series_of_a_file(stores, tmp_path):
    settings = {"data.series": {**SMALL, "id": "store"}}
    run = pellucid.fit(
        "nlinear", stores, objective="forecasting", epochs=2, settings=settings, progress=False, runs=tmp_path
    )
    rows = run.predict(stores).rows()
    assert [row["series"] for row in rows] == ["a"] * 4 + ["b"] * 4 + ["c"] * 4
    assert rows[4]["time"].startswith("2020-04-10")
    assert 1090 < rows[4]["prediction"]["sales"] < 1110
    assert run.evaluate("test").metrics["mse"] == pytest.approx(run.metrics["test/mse"], rel=1e-5)


# ---- time ----------------------------------------------------------------------------------------


def test_numbers_may_be_the_time(tmp_path):
    path = write(tmp_path / "a.csv", t=list(range(0, 500, 5)), tick_value=[0.5, 1.5] * 50)
    made = prepared(path)
    assert inputs_of(made.preprocess).names == ("tick_value",)
    assert any("'t' is the time" in note for note in made.dataset.notes)
    odd = write(tmp_path / "b.csv", minutes_run=list(range(100)), y=[0.5, 1.5] * 50)
    assert inputs_of(prepared(odd).preprocess).names == ("minutes_run", "y")
    assert inputs_of(prepared(odd, time="minutes_run").preprocess).names == ("y",)


@pytest.mark.parametrize(("months", "end"), [(1, False), (3, False), (12, False), (1, True)])
def test_months_are_evenly_spaced_and_forecast_as_months(tmp_path, months, end):
    when = []
    for step in range(60):
        year, month = divmod(months * step, 12)
        first = datetime(1950 + year, month + 1, 1)
        when.append(
            ((first + timedelta(days=32)).replace(day=1) - timedelta(days=1) if end else first).date()
        )
    path = write(tmp_path / "a.csv", date=when, y=np.arange(60) * 1.0)
    settings = {"data.series": {"window": 6, "horizon": 3}}
    run = pellucid.fit(
        "nlinear", path, objective="forecasting", epochs=1, settings=settings, progress=False, runs=tmp_path
    )
    first = datetime.fromisoformat(run.predict(path).rows()[0]["time"])
    total = 1950 * 12 + 60 * months
    assert (first.year, first.month - 1) == divmod(total, 12)
    assert ((first + timedelta(days=1)).day == 1) == end


# ---- gaps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fill", "expected"), [("previous", 9.0), ("linear", 10.0), ("zero", 0.0)])
def test_gaps_are_filled_when_told(tmp_path, fill, expected):
    kept = [day for day in range(100) if day != 10]
    sales = [None if day == 20 else float(day) for day in kept]
    path = write(tmp_path / "a.csv", day=[days(100)[day] for day in kept], sales=pa.array(sales))
    with pytest.raises(BadDataError, match=r"'data\.series\.fill': 'previous'"):
        prepared(path)
    made = prepared(path, fill=fill)
    train = made.dataset.splits["train"]
    assert train["sales"][10].as_py() == expected
    assert train["day"][10].as_py() == START + timedelta(days=10)
    assert train["sales"][20].as_py() == {"previous": 19.0, "linear": 20.0, "zero": 0.0}[fill]
    assert any("1 missing rows and 1 missing values filled" in note for note in made.dataset.notes)


def test_missing_months_are_filled_as_months(tmp_path):
    when = [datetime(2000 + n // 12, n % 12 + 1, 1).date() for n in range(60) if n != 7]
    path = write(tmp_path / "a.csv", date=when, y=np.arange(59) * 1.0)
    with pytest.raises(BadDataError, match="1 gap"):
        prepared(path)
    assert prepared(path, fill="previous").dataset.splits["train"]["date"][7].as_py() == datetime(2000, 8, 1)


# ---- a target with covariates --------------------------------------------------------------------


@pytest.fixture
def promoted(tmp_path):
    """Sales that depend only on the promotion a step before."""
    rng = np.random.default_rng(0)
    promo = rng.integers(0, 2, 600)
    sales = np.concatenate([[0.0], 5.0 * promo[:-1]]) + 0.01 * rng.normal(size=600)
    return write(
        tmp_path / "a.csv", date=days(600), promo=promo, sales=sales, open=[d % 7 != 6 for d in range(600)]
    )


@pytest.mark.parametrize("model", ["nlinear", "dlinear", "patch_transformer", "patch_lstm", "mlp"])
def test_only_the_target_is_forecast_and_covariates_are_read(promoted, tmp_path, model):
    made = prepared(promoted, target="sales", horizon=1)
    encoded = inputs_of(made.preprocess)
    assert encoded.names == ("sales", "promo", "open")
    assert (encoded.forecast_names, TASK.num_outputs(made.preprocess)) == (("sales",), 1)
    assert made.rows["train"].targets.shape[1:] == (1, 1)
    settings = {"data.target": "sales", "data.series": {"window": 12, "horizon": 1}}
    run = pellucid.fit(
        model,
        promoted,
        objective="forecasting",
        epochs=20,
        lr=1e-2,
        settings=settings,
        progress=False,
        runs=tmp_path,
    )
    assert run.metrics["test/mse"] < 0.5  # 1 is always forecasting the mean: what counts is in the covariate
    assert [row["prediction"].keys() for row in run.predict(promoted).rows()] == [{"sales"}]
    assert run.facts["baselines"]["prior"]["test/mse"] == pytest.approx(1, abs=0.2)


def test_a_target_that_is_no_number_is_refused(stores, promoted):
    with pytest.raises(BadDataError, match="'date' cannot be forecast"):
        prepared(promoted, target="date")
    with pytest.raises(UnknownNameError, match="sale"):
        prepared(stores, target="sale", id="store")


def test_names_of_targets_do_not_make_a_channel_a_class(tmp_path):
    path = write(tmp_path / "a.csv", date=days(100), y=[0, 1, 2, 3] * 25)
    assert inputs_of(prepared(path).preprocess).names == ("y",)


@pytest.mark.parametrize("model", ["nlinear", "dlinear", "patch_transformer", "patch_lstm"])
def test_models_of_all_channels_are_as_before(model):
    torch.manual_seed(0)
    plain = BUILDERS[model]((32, 3), 24)
    assert not any("covariates" in name for name, _ in plain.named_parameters())
    assert plain(torch.randn(2, 32, 3)).shape == (2, 24)


# ---- the command line ----------------------------------------------------------------------------


def command(*arguments):
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    return result.output


def test_a_file_is_forecast_without_a_config(stores, tmp_path):
    output = command(
        *("train", stores, "--set", "objective.name=forecasting", "--set", "data.series.id=store"),
        *("--target", "sales", "--epochs", 1, "--runs", tmp_path / "runs", "--json"),
    )
    found = json.loads(output[output.index("{") :])
    config = Config.read(f"{found['run']}/config.yaml")
    assert (config.data.series.window, config.data.series.horizon) == (14, 7)  # days: a week from two
    assert math.isfinite(found["metrics"]["test/mse"])


def test_inspect_offers_to_forecast(stores, tmp_path):
    found = inspect_data(DataConfig(source=stores))
    assert (found.chosen, found.offers[0].learns) == (
        "forecast",
        "the next rows of each 'store' from the last: a row every day",
    )
    assert Config.parse(yaml.safe_load(found.config)).data.series.id == "store"
    single = write(tmp_path / "a.csv", date=days(200), sales=np.arange(200) * 0.5, label=[1, 2] * 100)
    found = inspect_data(DataConfig(source=single))
    assert [offer.name for offer in found.offers][:2] == ["classify", "forecast"]
    assert any("a time series, a row every day" in note and "--task forecast" in note for note in found.notes)
    table = write(tmp_path / "b.csv", born=days(40)[::-1] + days(40), a=np.arange(80), label=[1, 2] * 40)
    assert not any("time series" in note for note in inspect_data(DataConfig(source=table)).notes)
