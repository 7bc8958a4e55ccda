"""Film reviews, for or against, by an LSTM that has read 75,000 of them before it saw a label.

It begins with the weights of `reviews-lm`, as in Andrew Dai and Quoc Le, "Semi-supervised Sequence Learning",
NIPS 2015, who report 92.76 %, and is tuned as in Jeremy Howard and Sebastian Ruder, "Universal Language Model
Fine-tuning for Text Classification", ACL 2018: early layers learn slower than late ones, and it judges by the
last state, the largest and the mean.
"""

from pellucid.config import Config

CONFIG = Config.parse(
    {
        "name": "sentiment-best",
        "summary": "film reviews for or against, an LSTM that began as a language model",
        "data": {"source": "imdb", "text": {"max_seq_len": 400, "cut": "middle"}},
        "model": {
            "name": "lstm",
            "options": {
                "embed_dim": 512,
                "hidden_size": 512,
                "bidirectional": False,
                "dropout": 0.3,
                "pooling": "concat",
            },
            "weights": "reviews-lm",
        },
        "optimizer": {"name": "adamw", "lr": 2e-3, "weight_decay": 0.01, "options": {"layer_decay": 0.5}},
        "schedule": {"name": "one_cycle", "options": {"peak_at": 0.1}},
        "train": {"epochs": 2, "batch_size": 32, "clip_grad_norm": 1.0, "checkpoint_seconds": 120},
        "target": {"metric": "test/accuracy", "value": 0.92, "on": "stanfordnlp/imdb"},
        "published": {
            "metric": "test/accuracy",
            "value": 0.9276,
            "source": "an LSTM of 1,024 units that began as an autoencoder of reviews, Dai and Le 2015",
            "on": "stanfordnlp/imdb",
        },
    }
)
