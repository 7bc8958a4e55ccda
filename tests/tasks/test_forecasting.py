"""Forecasting: the published protocol on the hourly ETT series, and windows whose answer is known."""

import json
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from pellucid.config import Config
from pellucid.data.dataset import Column, Dataset, Source
from pellucid.errors import BadDataError, ConfigError, ModelError
from pellucid.evaluation import Trained
from pellucid.models.forecast import nlinear
from pellucid.tasks.forecasting.task import Forecasting, inputs_of, interval, naive
from pellucid.train.optimizers import optimizer
from pellucid.train.trainer import Trainer

TASK = Forecasting()
CHANNELS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")


@pytest.fixture(scope="module")
def ett(mirror):
    table = pq.read_table(mirror / "zhouhaoyi/ETDataset/h1/train-00000-of-00001.parquet")
    when = pa.array(table["date"].to_pylist()).cast(pa.timestamp("us"))
    table = table.set_column(table.column_names.index("date"), "date", when)
    columns = (Column("date", "date"), *(Column(name, "number") for name in CHANNELS))
    return Dataset("ETTh1", {"train": table}, columns, None, None, Source("zhouhaoyi/ETDataset", "mirror"))


def config(**series):
    return Config.parse({"objective": {"name": "forecasting"}, "data": {"series": series}})


@pytest.fixture(scope="module")
def prepared(ett):
    return TASK.prepare(ett, config(rows=[8640, 2880, 2880]), False)


@pytest.fixture(scope="module")
def trained(prepared):
    torch.manual_seed(0)
    model = nlinear(prepared.preprocess.input_shape, TASK.num_outputs(prepared.preprocess))
    objective = TASK.objective(prepared.config, prepared)
    TASK.check(model, objective, prepared)
    settings = prepared.config.train.model_copy(update={"device": "cpu", "execution": "eager", "epochs": 3})
    Trainer(model, objective, partial(optimizer, "adam", lr=5e-3), settings).fit(prepared.training_batches())
    return Trained(model, objective, prepared.preprocess, torch.device("cpu"), task="forecasting")


def test_windows_follow_the_published_protocol(prepared):
    assert {name: len(rows) for name, rows in prepared.rows.items()} == {
        "train": 8449,
        "validation": 2785,
        "test": 2785,
    }
    assert prepared.preprocess.input_shape == (96, 7)
    assert TASK.num_outputs(prepared.preprocess) == 96 * 7
    assert prepared.in_memory
    note = prepared.dataset.notes[-1]
    assert "test 2,880 rows (2017-10-24 00:00:00 to 2018-02-20 23:00:00)" in note
    assert "the 3,020 rows after them are not used" in note


def test_repeating_the_last_value_scores_as_published(prepared):
    """Zeng et al. 2023, table 2: Repeat on ETTh1, 96 steps: MSE 1.295, MAE 0.713."""
    found = TASK.baselines(prepared)
    assert found["last"]["test/mse"] == pytest.approx(1.295, abs=0.001)
    assert found["last"]["test/mae"] == pytest.approx(0.713, abs=0.001)
    assert found["season"]["test/mse"] < 0.6 < found["prior"]["test/mse"]


def test_a_linear_model_beats_the_baselines(prepared, trained):
    outcome = TASK.evaluate(trained, prepared, "test")
    assert outcome.metrics["mse"] == outcome.metrics["loss"] < 0.43
    assert outcome.metrics["mae"] < 0.43
    assert 0.85 < outcome.metrics["coverage"] < 1
    blocks = json.loads(json.dumps(outcome.blocks, allow_nan=False))
    assert [block["kind"] for block in blocks] == ["lines"] * 5 + ["table"]
    by_step, window = blocks[0], blocks[1]
    assert [line["name"] for line in by_step["series"]] == [
        "forecast",
        "mean",
        "last value",
        "last cycle again",
    ]
    assert np.mean(by_step["series"][0]["y"]) == pytest.approx(outcome.metrics["mse"], rel=1e-3)
    assert by_step["x_label"] == "hours ahead"
    known, truth, forecast = window["series"]
    assert (known["x"][-1], truth["x"][0], len(truth["y"])) == (0, 1, 96)
    assert all(
        low < y < high for low, y, high in zip(*(forecast[k] for k in ("low", "y", "high")), strict=True)
    )
    rows = blocks[-1]["rows"]
    assert [row[0] for row in rows] == list(CHANNELS)
    assert np.mean([row[1] for row in rows]) == pytest.approx(outcome.metrics["mse"], rel=1e-3)
    assert outcome.predictions.num_rows == 2785
    assert np.mean(outcome.predictions["mse"]) == pytest.approx(outcome.metrics["mse"], rel=1e-3)


def test_a_shown_window_equals_the_table(prepared, trained, ett):
    window = TASK.evaluate(trained, prepared, "test").blocks[2]
    start = window["caption"].split(" from ")[1].split(" on,")[0]
    table = ett.splits["train"]
    row = [str(time) for time in table["date"].to_pylist()].index(start)
    truth = table["OT"].to_numpy()[row : row + 96]
    assert window["series"][1]["y"] == pytest.approx(truth.tolist(), abs=1e-4)
    assert window["series"][0]["y"] == pytest.approx(
        table["OT"].to_numpy()[row - 96 : row].tolist(), abs=1e-4
    )


def test_validation_has_no_interval_measured_on_itself(prepared, trained):
    outcome = TASK.evaluate(trained, prepared, "validation")
    assert "coverage" not in outcome.metrics
    assert "low" not in outcome.blocks[1]["series"][-1]


def test_forecasts_of_new_rows_are_in_their_own_units(prepared, trained, ett, tmp_path):
    table = ett.splits["train"].slice(0, 500)
    path = tmp_path / "last.csv"
    table.to_pandas().to_csv(path, index=False)
    rows = TASK.predict(trained, str(path)).rows()
    assert len(rows) == 96
    assert rows[0]["time"] == "2016-07-21 20:00:00"
    window = prepared.rows["train"].inputs[404][None]
    with torch.no_grad():
        expected = inputs_of(prepared.preprocess).own_units(trained.model(window).view(96, 7).numpy())
    assert list(rows[0]["prediction"]) == list(CHANNELS)
    assert list(rows[5]["prediction"].values()) == pytest.approx(expected[5].tolist(), rel=1e-4)
    values = np.stack([table[name].to_numpy() for name in CHANNELS], axis=1)
    plain = TASK.predict(trained, values).rows()
    assert "time" not in plain[0]
    assert plain[5]["prediction"] == pytest.approx(rows[5]["prediction"])


def test_invalid_prediction_inputs_are_refused(trained, ett):
    table = ett.splits["train"].slice(0, 500).to_pandas()
    with pytest.raises(ModelError, match="at least 96 rows to forecast from, received 50"):
        TASK.predict(trained, table[:50])
    with pytest.raises(ModelError, match="no column 'OT'"):
        TASK.predict(trained, table.drop(columns="OT"))
    table.loc[450, "OT"] = None
    with pytest.raises(BadDataError, match="'OT' has no finite number"):
        TASK.predict(trained, table)


# ---- small series --------------------------------------------------------------------------------


def waves(rows=200, time=False):
    hours = np.arange(rows)
    table = pa.table({"wave": np.sin(2 * np.pi * hours / 24), "line": hours.astype(float)})
    columns = (Column("wave", "number"), Column("line", "number"))
    if time:
        stamps = pa.array(np.datetime64("2024-01-01", "us") + hours.astype("timedelta64[h]"))
        table, columns = table.append_column("when", stamps), (*columns, Column("when", "date"))
    return Dataset("waves", {"train": table}, columns, None, None, Source("waves", "csv"))


def test_seasonal_baseline_repeats_a_cycle_exactly():
    made = TASK.prepare(waves(400, time=True), config(window=48, horizon=30), False)
    rows = made.rows["test"]
    preds = naive(rows.inputs, inputs_of(made.preprocess))["season"]
    assert torch.allclose(preds[..., 0], rows.targets[..., 0], atol=1e-5)
    assert not torch.allclose(preds[..., 1], rows.targets[..., 1], atol=1e-2)


def test_rows_without_time_keep_their_order():
    made = TASK.prepare(waves(), config(window=48, horizon=10), False)
    assert "rows count as evenly spaced" in made.dataset.notes[-1]
    assert set(TASK.baselines(made)) == {"prior", "last"}
    short = TASK.prepare(waves(time=True), config(window=12, horizon=10), False)
    assert set(TASK.baselines(short)) == {"prior", "last"}  # a day does not fit into the window


def test_a_fraction_of_the_rows_is_the_oldest():
    settings = config(window=12, horizon=5).patch({"data.fraction": 0.5})
    made = TASK.prepare(waves(), settings, False)
    assert {name: len(table) for name, table in made.dataset.splits.items()} == {
        "train": 80,
        "validation": 10,
        "test": 10,
    }
    assert made.dataset.splits["test"]["line"][-1].as_py() == 99
    made = TASK.prepare(waves(), settings.patch({"data.series.rows": [150, 30, 20]}), False)
    assert [len(table) for table in made.dataset.splits.values()] == [75, 15, 10]


def test_prediction_rows_are_encoded_like_the_training_rows():
    first = TASK.prepare(waves(), config(window=12, horizon=5), False)
    again = TASK.prepare(waves(400), config(window=12, horizon=5), False, first.preprocess)
    assert torch.equal(again.rows["train"].inputs[0], first.rows["train"].inputs[0])


def test_intervals_cover_their_share_of_the_calibration_rows():
    torch.manual_seed(0)
    errors = torch.randn(999, 4, 2)
    margin = interval(errors)
    held = (errors.abs() <= margin).sum(0)
    assert margin.shape == (4, 2)
    assert held.unique().tolist() == [900]  # ceil(1000 * 0.9)


def test_a_model_with_wrong_outputs_is_refused():
    made = TASK.prepare(waves(), config(window=12, horizon=5), False)
    model = nn.Sequential(nn.Flatten(), nn.Linear(24, 7))
    with pytest.raises(ModelError, match="cannot learn from inputs"):
        TASK.check(model, TASK.objective(made.config), made)


def test_channels_that_are_not_standardized_are_refused():
    with pytest.raises(ConfigError, match="standardized channels"):
        TASK.prepare(waves(), config().patch({"data.normalize": False}), False)
