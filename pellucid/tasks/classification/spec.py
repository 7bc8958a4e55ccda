"""What classification says about itself."""

from pellucid.record.spec import BaselineSpec, TaskSpec

SPEC = TaskSpec(
    name="classification",
    summary="Predict the class of a row",
    section="Explanations",
    headline=("accuracy", "loss", "f1"),
    loss_unit="nats",
    sentences={"accuracy": "{name} classifies {value} of {of} correctly"},
    compare_with="prior",
    baselines={"prior": BaselineSpec("guessing", "guessing", "always predicting the most frequent class")},
    targets=("classification",),
    reads_target=True,
    accuracy_of="rows",
    has_mistakes=True,
)
