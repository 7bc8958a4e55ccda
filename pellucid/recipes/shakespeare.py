"""Shakespeare, character by character, with a small GPT.

Andrej Karpathy's nanoGPT trains a GPT of 10.8 million parameters on these texts to a validation loss of
1.4697 nats a character on one A100, and a small one on a CPU to 1.88 (its readme).
"""

from pellucid.config import Config

CONFIG = Config.parse(
    {
        "name": "shakespeare",
        "summary": "Shakespeare, character by character, a small GPT",
        "data": {
            "source": "shakespeare",
            "test": 0,
            "text": {"tokenizer": "characters", "max_seq_len": 128, "lowercase": False},
        },
        "model": {"name": "gpt", "size": "small", "options": {"dropout": 0.0}},
        "objective": {"name": "language_model"},
        "optimizer": {"name": "adamw", "lr": 2e-3, "weight_decay": 0.1, "options": {"betas": [0.9, 0.99]}},
        "schedule": {"name": "cosine", "warmup_steps": 100},
        "train": {"epochs": 6, "batch_size": 16, "clip_grad_norm": 1.0},
        "target": {"metric": "val/loss", "value": 1.75, "on": "karpathy/tiny_shakespeare"},
        "published": {
            "metric": "val/loss",
            "value": 1.4697,
            "source": "nanoGPT, 10.8 million parameters on a GPU, Karpathy 2022",
            "on": "karpathy/tiny_shakespeare",
        },
    }
)
