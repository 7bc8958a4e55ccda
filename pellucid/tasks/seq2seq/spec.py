"""What translation says about itself."""

from pellucid.record.spec import BaselineSpec, Measure, TaskSpec

SPEC = TaskSpec(
    name="seq2seq",
    summary="Translate one text into another",
    section="Translations",
    headline=("bleu", "exact_match", "chrf", "accuracy", "perplexity", "loss"),
    measures={
        "bleu": Measure("BLEU", decimals=1),
        "chrf": Measure("chrF", decimals=1),
        "exact_match": Measure("texts predicted exactly", share=True),
    },
    loss_unit="nats per token",
    sentences={
        "bleu": "{name} translates {of} with a BLEU of {value}",
        "chrf": "{name} translates {of} with a chrF of {value}",
        "exact_match": "{name} predicts {value} of the texts of {of} exactly",
        "accuracy": "{name} predicts {value} of the tokens of the translations of {of} correctly",
        "loss": "{name} predicts the next token of the translations of {of} at {value} nats",
    },
    baselines={
        "copy": BaselineSpec("source as it is", "copying the source", "nothing translated"),
        "word_by_word": BaselineSpec(
            "word by word", "translating word by word", "each by its most frequent translation"
        ),
    },
    predict_input='"A text"',
    targets=("translation",),
    reads_target=True,
    accuracy_of="tokens",
)
