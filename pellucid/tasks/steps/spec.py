"""What the task says about itself."""

from pellucid.record.spec import BaselineSpec, TaskSpec

SPEC = TaskSpec(
    name="steps",
    summary="Predict a class, or a number, for every step of a series",
    section="Steps",
    headline=("accuracy", "mae", "balanced_accuracy", "f1", "rmse", "r2", "loss"),
    sentences={
        "accuracy": "{name} labels {value} of the steps of {of} correctly",
        "mae": "{name} predicts every step of {of} to within {value} on average",
        "loss": "{name} predicts the steps of {of} with a loss of {value}",
    },
    verbs={"mae": "is off by"},
    compare_with="prior",
    baselines={
        "prior": BaselineSpec("guessing", "guessing", "always the most frequent class, or the mean"),
        "copy": BaselineSpec("copying", "copying the input", "the channel of the input that is nearest"),
        "window": BaselineSpec(
            "boosting, on a window",
            "gradient boosting on the steps around",
            "histogram gradient boosting on the steps around each",
        ),
    },
    predict_input="X.npy",
    targets=("steps",),
    reads_target=True,
    accuracy_of="steps",
)
