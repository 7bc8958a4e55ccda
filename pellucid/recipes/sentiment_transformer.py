"""Film reviews classified by a Transformer encoder that is trained only on them.

Andrew Maas et al., "Learning Word Vectors for Sentiment Analysis", ACL 2011, made the data and report
88.89 %. Ashish Vaswani et al., "Attention Is All You Need", NeurIPS 2017.
"""

from pellucid.config import Config

CONFIG = Config.parse(
    {
        "name": "sentiment-transformer",
        "summary": "film reviews, positive or negative, a Transformer encoder",
        "data": {
            "source": "imdb",
            "text": {"vocab_size": 30_000, "max_seq_len": 400, "truncation": "middle"},
        },
        "model": {"name": "transformer", "size": "small", "options": {"num_layers": 2, "dropout": 0.2}},
        "optimizer": {"name": "adamw", "lr": 1e-3, "weight_decay": 0.01},
        "schedule": {"name": "one_cycle", "options": {"peak_at": 0.2}},
        "train": {"epochs": 2, "batch_size": 32},
        "target": {"metric": "test/accuracy", "value": 0.87, "on": "stanfordnlp/imdb"},
        "published": {
            "metric": "test/accuracy",
            "value": 0.8889,
            "source": "word vectors and a linear classifier, Maas et al. 2011",
            "on": "stanfordnlp/imdb",
        },
    }
)
