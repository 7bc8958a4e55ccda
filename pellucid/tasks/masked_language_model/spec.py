"""What masked language modeling says about itself."""

from pellucid.record.spec import BaselineSpec, Measure, TaskSpec

SPEC = TaskSpec(
    name="masked_language_model",
    summary="Predict the masked tokens of a text",
    labelled=False,
    form="texts",
    section="Filled masks",
    headline=("accuracy", "loss", "perplexity"),
    measures={"bits_per_token": Measure("bits per token", lower=True)},
    loss_unit="nats per masked token",
    sentences={
        "accuracy": "{name} predicts {value} of the masked tokens of {of} correctly",
        "loss": "{name} predicts the masked tokens of {of} at {value} nats each",
    },
    baselines={
        "left_neighbor": BaselineSpec(
            "left neighbor", "counting left neighbors", "counts of which token follows which"
        ),
        "both_neighbors": BaselineSpec(
            "both neighbors", "counting both neighbors", "counts of which token stands between which two"
        ),
    },
    predict_input='"A text with a [MASK] in it"',
    accuracy_of="tokens",
    renamed_options={"sampled": "num_sampled"},
)
