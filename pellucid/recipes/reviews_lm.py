"""Film reviews, word after word, by an LSTM: where `sentiment-best` begins.

75,000 reviews of IMDB without their labels, after Andrew Dai and Quoc Le, "Semi-supervised Sequence
Learning", NIPS 2015: a network that has learned to go on with reviews knows most of what it takes to judge
them. The test reviews are never read.
"""

from pellucid.config import Config

CONFIG = Config.parse(
    {
        "name": "reviews-lm",
        "summary": "film reviews word after word, an LSTM to begin from",
        "data": {
            "source": "imdb",
            "test": 0,
            "text": {"tokenizer": "words", "vocab_size": 30_000, "max_seq_len": 128},
        },
        "model": {"name": "lstm_lm", "options": {"embed_dim": 512, "hidden_size": 512, "dropout": 0.1}},
        "objective": {"name": "language_model", "options": {"sampled": 2000}},
        "optimizer": {"name": "adamw", "lr": 3e-3, "weight_decay": 0.01},
        "schedule": {"name": "cosine", "warmup_steps": 100},
        "train": {"epochs": 1, "batch_size": 64, "clip_grad_norm": 1.0, "checkpoint_seconds": 120},
    }
)
