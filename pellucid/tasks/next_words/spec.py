"""What the prediction of next words says about itself."""

from pellucid.record.spec import TaskSpec

SPEC = TaskSpec(
    name="next_words",
    summary="Predict which words follow soon, to learn word vectors",
    labelled=False,
    form="texts",
    section="Word vectors",
    headline=("loss", "perplexity"),
    loss_unit="nats per word",
    sentences={"loss": "{name} predicts the next words of {of} at {value} nats each"},
    predict_input='"A few words"',
    little_to_learn=True,
    aliases=("words_ahead",),
    renamed_options={"reach": "window", "rare": "subsample", "sampled": "num_sampled"},
)
