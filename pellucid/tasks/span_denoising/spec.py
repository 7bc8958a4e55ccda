"""What span denoising says about itself."""

from pellucid.record.spec import Measure, TaskSpec

SPEC = TaskSpec(
    name="span_denoising",
    summary="Predict the spans that were removed from a text",
    labelled=False,
    form="texts",
    section="Restored text",
    headline=("accuracy", "exact_fill", "loss"),
    measures={"exact_fill": Measure("spans filled exactly", share=True)},
    loss_unit="nats per token",
    sentences={
        "accuracy": "{name} restores {value} of the tokens removed from {of}",
        "loss": "{name} restores the tokens removed from {of} at {value} nats each",
    },
    predict_input='"A text with a [MASK] in it"',
    accuracy_of="tokens",
)
