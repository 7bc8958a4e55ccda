"""Film reviews classified by a network that has read 75,000 of them without labels first.

Its convolutions start from the phrases of `reviews-words`, as in Rie Johnson and Tong Zhang, "Semi-supervised
Convolutional Neural Networks for Text Categorization via Region Embedding", NIPS 2015 (93.49 % with three
kinds of phrases). It also counts n-grams, as in Grégoire Mesnil et al., "Ensemble of Generative and
Discriminative Techniques for Sentiment Analysis of Movie Reviews", ICLR 2015 workshop: 92.57 % with a
language model, sentence vectors and n-grams together.
"""

from pellucid.config import Config

CONFIG = Config.parse(
    {
        "name": "sentiment-best",
        "summary": "film reviews, positive or negative, phrases learned without labels, and n-grams",
        "data": {"source": "imdb", "text": {"max_seq_len": 1000, "truncation": "middle"}},
        "model": {
            "name": "text_cnn",
            "options": {"phrases": True, "learn_phrases": False, "ngrams": True},
            "weights": "reviews-words",
        },
        "objective": {"name": "classification", "label_smoothing": 0.1},
        "optimizer": {"name": "adamw", "lr": 2e-3, "weight_decay": 0.01},
        "schedule": {"name": "one_cycle", "options": {"peak_at": 0.1}},
        "train": {"epochs": 5, "batch_size": 32, "checkpoint_seconds": 120},
        "target": {"metric": "test/accuracy", "value": 0.92, "on": "stanfordnlp/imdb"},
        "published": {
            "metric": "test/accuracy",
            "value": 0.9257,
            "source": "language model, sentence vectors and n-grams together, Mesnil et al. 2015",
            "on": "stanfordnlp/imdb",
        },
    }
)
