"""What language modeling says about itself."""

from pellucid.record.spec import BaselineSpec, Measure, TaskSpec

SPEC = TaskSpec(
    name="language_model",
    summary="Predict the next token of a text",
    labelled=False,
    form="texts",
    section="Generated text",
    headline=("loss", "perplexity", "accuracy"),
    measures={
        "bits_per_token": Measure("bits per token", lower=True),
        "bits_per_character": Measure("bits per character", lower=True),
    },
    loss_unit="nats per token",
    sentences={
        "loss": "{name} predicts the next token of {of} at {value} nats, perplexity {perplexity}",
        "perplexity": "{name} predicts the next token with a perplexity of {value} on {of}",
        "accuracy": "{name} predicts {value} of the tokens of {of} correctly",
    },
    baselines={"6-gram": BaselineSpec("6-gram", "a 6-gram model", "counts of tokens after five others")},
    predict_input='"The beginning of a text"',
    accuracy_of="tokens",
    renamed_options={"sampled": "num_sampled"},
)
