"""Film reviews classified as positive or negative by a bidirectional LSTM.

Andrew Maas et al., "Learning Word Vectors for Sentiment Analysis", ACL 2011, made the data and report
88.89 %. A bidirectional LSTM trained from scratch in the Keras examples reaches about 87 %.
"""

from pellucid.config import Config

CONFIG = Config.parse(
    {
        "name": "sentiment",
        "summary": "film reviews, positive or negative, a bidirectional LSTM",
        "data": {
            "source": "imdb",
            "text": {"vocab_size": 30_000, "max_seq_len": 400, "truncation": "middle"},
        },
        "model": {"name": "lstm", "options": {"hidden_size": 64, "pooling": "concat"}},
        "optimizer": {"name": "adamw", "lr": 1.5e-3, "weight_decay": 0.01},
        "schedule": {"name": "one_cycle", "options": {"peak_at": 0.2}},
        "train": {"epochs": 3, "batch_size": 32},
        "target": {"metric": "test/accuracy", "value": 0.885, "on": "stanfordnlp/imdb"},
        "published": {
            "metric": "test/accuracy",
            "value": 0.8889,
            "source": "word vectors and a linear classifier, Maas et al. 2011",
            "on": "stanfordnlp/imdb",
        },
    }
)
