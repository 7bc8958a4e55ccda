"""Series: windows, splits in the order of time, and errors that name the row."""

import json
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
import torch

from pellucid.config import SeriesConfig
from pellucid.data import inputs as encoded
from pellucid.data import series, time_index
from pellucid.data.batches import Batches, MemoryRows
from pellucid.data.dataset import Column, Dataset, Source
from pellucid.data.series import SeriesInputs
from pellucid.errors import BadDataError, ConfigError, ModelError, UnknownNameError

START = datetime(2024, 1, 1)
HOUR = timedelta(hours=1)


def hourly(rows, step=HOUR):
    return [START + step * row for row in range(rows)]


def dataset(times, **splits):
    """Two channels, one that counts and one of its squares."""
    count = np.arange(float(len(times)))
    table = pa.table({"when": pa.array(times, pa.timestamp("us")), "count": count, "square": count**2})
    kinds = {"when": "date", "count": "number", "square": "number"}
    columns = tuple(Column(name, kind) for name, kind in kinds.items())
    return Dataset("clock", splits or {"train": table}, columns, None, None, Source("clock", "csv"))


def check(times):
    made = dataset(times)
    return time_index.usual_step(made.splits["train"], made.columns[0])


# ---- windows -------------------------------------------------------------------------------------


def test_windows_are_views_of_the_series():
    values = torch.arange(20.0).reshape(10, 2)
    inputs, targets = series.windows(values, 3, 2)
    assert (inputs.shape, targets.shape) == ((6, 3, 2), (6, 2, 2))
    for number in range(6):
        assert torch.equal(inputs[number], values[number : number + 3])
        assert torch.equal(targets[number], values[number + 3 : number + 5])
    assert inputs.untyped_storage().data_ptr() == values.untyped_storage().data_ptr()
    gathered, _ = next(iter(Batches(MemoryRows(inputs, targets), 4, shuffle=True)))
    assert gathered.is_contiguous()


def test_channels_are_standardized_by_the_training_rows():
    made = dataset(hourly(100))
    table = made.splits["train"]
    inputs = SeriesInputs.fit(made.columns[1:], table.slice(0, 60), SeriesConfig(window=8, horizon=4))
    values = inputs.values(table)
    assert values[:60].mean(0) == pytest.approx([0, 0], abs=1e-6)
    assert values[:60].std(0) == pytest.approx([1, 1], rel=1e-6)
    assert inputs.own_units(values)[99] == pytest.approx([99, 99**2], rel=1e-5)
    assert inputs.shape == (8, 2)
    assert np.array_equal(inputs.apply(table), values[None, -8:])
    assert encoded.restore(json.loads(json.dumps(inputs.state())), made.columns[1:]) == inputs


def test_too_few_rows_to_forecast_from_are_refused():
    made = dataset(hourly(30))
    inputs = SeriesInputs.fit(made.columns[1:], made.splits["train"], SeriesConfig(window=8, horizon=4))
    with pytest.raises(ModelError, match="at least 8 rows to forecast from, received 5"):
        inputs.apply(made.splits["train"].slice(0, 5))


def test_missing_values_are_located_and_counted():
    table = pa.table({"a": [1.0, 2.0, 3.0, None], "b": [1.0, None, 3.0, float("inf")]})
    with pytest.raises(BadDataError, match=r"'b' has no finite number in row 2; 3 of 8 values"):
        series.numbers(table, ["a", "b"])


def test_a_table_without_numbers_is_refused():
    made = dataset(hourly(5))
    texts = Dataset(
        "words", made.splits, (Column("when", "date"), Column("said", "text")), None, None, made.source
    )
    with pytest.raises(BadDataError, match=r"no column of numbers.*'said' \(text\)"):
        series.channels(texts, texts.columns[0])


# ---- splits --------------------------------------------------------------------------------------


def sizes(made, rows=None, window=8, horizon=4, validation=0.1, test=0.2):
    return series.split_sizes(made, SeriesConfig(window=window, horizon=horizon, rows=rows), validation, test)


def test_rows_are_split_by_count_by_existing_splits_or_by_share():
    made = dataset(hourly(100))
    table = made.splits["train"]
    assert sizes(made, [50, 20, 10]) == {"train": 50, "validation": 20, "test": 10}
    assert sizes(made) == {"train": 70, "validation": 10, "test": 20}
    given = {"train": table.slice(0, 60), "test": table.slice(60)}
    assert sizes(dataset(hourly(100), **given)) == {"train": 50, "validation": 10, "test": 40}
    assert series.in_order(dataset(hourly(100), **given)) == table


@pytest.mark.parametrize("rows", [[50, 20], [90, 20, 10], [50, 50, 0]])
def test_more_rows_than_the_series_has_are_refused(rows):
    with pytest.raises(ConfigError, match=r"data\.series\.rows: .*at most 100"):
        sizes(dataset(hourly(100)), rows)


def test_a_split_without_a_window_is_refused():
    with pytest.raises(BadDataError, match=r"train has 70 of 100 rows, expected at least 84 \(window 80"):
        sizes(dataset(hourly(100)), window=80)
    with pytest.raises(BadDataError, match=r"validation has 10 of 100 rows, expected at least 11"):
        sizes(dataset(hourly(100)), horizon=11)


def test_held_out_rows_are_forecast_from_the_preceding_rows():
    values = torch.arange(100.0)[:, None]
    parts = series.cut(values, {"train": 70, "validation": 10, "test": 20}, window=8)
    first = {name: part[0].item() for name, part in parts.items()}
    assert first == {"train": 0, "validation": 62, "test": 72}
    _, targets = series.windows(parts["test"], 8, 4)
    assert targets.unique().tolist() == list(range(80, 100))


# ---- time ----------------------------------------------------------------------------------------


def test_time_step_is_inferred():
    assert check(hourly(10)) == 3600
    months = [datetime(2020 + n // 12, 1 + n % 12, 1) for n in range(30)]
    assert time_index.season(check(months)) == (12, "year")


def test_unordered_rows_are_named():
    times = hourly(10)
    times[4], times[5] = times[5], times[4]
    with pytest.raises(BadDataError, match=r"row 6: 2024-01-01 04:00:00 is before row 5 \(2024-01-01 05"):
        check(times)


def test_duplicate_times_are_named_and_counted():
    times = hourly(10)
    times[3], times[7] = times[2], times[6]
    with pytest.raises(BadDataError, match=r"row 4: .* the same as in row 3 .*repeats in 2 of 10 rows"):
        check(times)


def test_gaps_are_named_and_counted():
    times = hourly(30)
    del times[20:23], times[5]
    with pytest.raises(
        BadDataError, match=r"every hour, received 2 gaps: 2 hours after row 5 .*4 hours after"
    ) as e:
        check(times)
    assert "About 4 rows are missing" in str(e.value)


def test_irregular_rows_are_named():
    times = sorted([*hourly(30), START + HOUR * 3.5])
    with pytest.raises(BadDataError, match=r"2 shorter steps: 30 minutes after row 4"):
        check(times)


def test_a_missing_time_is_named():
    with pytest.raises(BadDataError, match="no time in row 3"):
        check([START, START + HOUR, None])


def test_time_column_is_the_only_date_or_the_configured_one():
    made = dataset(hourly(5))
    assert time_index.time_column(made, None) == made.columns[0]
    assert time_index.time_column(made, "count") == made.columns[1]
    with pytest.raises(UnknownNameError, match="'count'"):
        time_index.time_column(made, "coutn")
    two = Dataset("two", made.splits, (*made.columns, Column("seen", "date")), None, None, made.source)
    with pytest.raises(ConfigError, match="2 columns of dates: 'when', 'seen'"):
        time_index.time_column(two, None)
    words = Dataset("words", made.splits, (Column("said", "text"),), None, None, made.source)
    assert time_index.time_column(words, None) is None
    with pytest.raises(ConfigError, match="expected dates or numbers, received text"):
        time_index.time_column(words, "said")


@pytest.mark.parametrize(
    ("seconds", "words", "season"),
    [
        (900, "15 minutes", (96, "day")),
        (3600, "hour", (24, "day")),
        (86_400, "day", (7, "week")),
        (30.5 * 86_400, "30.5 days", (12, "year")),
        (91 * 86_400, "91 days", (4, "year")),
        (7 * 86_400, "7 days", None),
        (25_000, "6.944 hours", None),
        (0.5, "0.5 seconds", (172_800, "day")),
    ],
)
def test_time_steps_have_a_name_and_a_season(seconds, words, season):
    assert time_index.span(seconds) == words
    assert time_index.season(seconds) == season
