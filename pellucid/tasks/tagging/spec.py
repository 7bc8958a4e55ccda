"""What tagging says about itself."""

from pellucid.record.spec import BaselineSpec, Measure, TaskSpec

SPEC = TaskSpec(
    name="tagging",
    summary="Predict a tag for every token",
    section="Tags",
    headline=("span_f1", "accuracy", "f1", "loss"),
    measures={"span_f1": Measure("F1 of whole spans", share=True)},
    loss_unit="nats per token",
    sentences={
        "span_f1": "{name} finds the spans of {of} with an F1 of {value}",
        "accuracy": "{name} tags {value} of the tokens of {of} correctly",
        "loss": "{name} predicts the tags of {of} at {value} nats each",
    },
    baselines={
        "by_token": BaselineSpec(
            "tag by token", "looking each token up", "the most frequent tag of each token"
        ),
        "window": BaselineSpec(
            "linear, on a window", "a linear model of the tokens around", "of the tokens around each"
        ),
    },
    predict_input='"A text"',
    targets=("tagging",),
    reads_target=True,
    form="tagged",
    accuracy_of="tokens",
)
