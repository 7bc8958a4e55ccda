"""What forecasting says about itself."""

from pellucid.record.spec import BaselineSpec, Measure, TaskSpec

SPEC = TaskSpec(
    name="forecasting",
    summary="Forecast a time series",
    labelled=False,
    form="series",
    section="Forecasts",
    headline=("mse", "mae", "coverage", "loss"),
    measures={"coverage": Measure("coverage", share=True)},
    sentences={
        "mse": "{name} forecasts {of} with a mean squared error of {value}",
        "mae": "{name} forecasts {of} with a mean absolute error of {value}",
    },
    baselines={
        "prior": BaselineSpec("guessing", "guessing", "always forecasting the mean"),
        "last": BaselineSpec("last value", "the last value", "nothing changes from here on"),
        "season": BaselineSpec("last cycle", "the last cycle", "the next day, week or year equals the last"),
    },
)
