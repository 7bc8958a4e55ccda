"""What multilabel classification says about itself."""

from pellucid.record.spec import BaselineSpec, TaskSpec

SPEC = TaskSpec(
    name="multilabel",
    summary="Predict which of several labels a row has",
    section="Explanations",
    headline=("f1", "accuracy", "loss"),
    loss_unit="nats",
    sentences={
        "f1": "{name} predicts the labels of {of} with an F1 of {value}",
        "accuracy": "{name} predicts {value} of the labels of {of} correctly",
    },
    compare_with="prior",
    baselines={"prior": BaselineSpec("guessing", "guessing", "always predicting the same labels")},
    targets=("multilabel",),
    reads_target=True,
    has_mistakes=True,
)
