"""What regression says about itself."""

from pellucid.record.spec import BaselineSpec, TaskSpec

SPEC = TaskSpec(
    name="regression",
    summary="Predict a number, or several, for a row",
    headline=("mae", "rmse", "r2", "loss"),
    sentences={"mae": "{name} predicts {target} to within {value} on average, over {of}"},
    verbs={"mae": "is off by"},
    compare_with="prior",
    baselines={"prior": BaselineSpec("guessing", "guessing", "always predicting the mean")},
    targets=("regression",),
    reads_target=True,
    has_mistakes=True,
)
