"""The next words of film reviews: phrases to start `sentiment-best` from.

75,000 reviews of IMDB without their labels, as in Rie Johnson and Tong Zhang, "Semi-supervised Convolutional
Neural Networks for Text Categorization via Region Embedding", NIPS 2015: from five words a network predicts
which are among the next twenty, and so learns which phrases have similar meanings. The test reviews are never
read.
"""

from pellucid.config import Config

CONFIG = Config.parse(
    {
        "name": "reviews-words",
        "summary": "predicts the next words of film reviews, phrases to start from",
        "data": {
            "source": "imdb",
            "test": 0,
            "text": {"tokenizer": "words", "vocab_size": 30_000, "max_seq_len": 256},
        },
        "model": {"name": "phrase_lm", "options": {"dropout": 0.0}},
        "objective": {"name": "next_words", "options": {"num_sampled": 1000}},
        "optimizer": {"name": "adamw", "lr": 5e-3},
        "schedule": {"name": "one_cycle", "options": {"peak_at": 0.05}},
        "train": {"epochs": 1, "batch_size": 32, "checkpoint_seconds": 120},
        "published_note": "Johnson and Zhang report the classification afterwards; see `sentiment-best`",
    }
)
