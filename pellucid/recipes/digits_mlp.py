"""Handwritten digits with the network of most first lessons: 784 inputs, 128 and 64 hidden units, 10 logits.

LeCun et al. 1998 report 96.95 % for 784-300-100-10 and 97.5 % with distorted training images (figure 9).
"""

from pellucid.config import Config

CONFIG = Config.parse(
    {
        "name": "digits-mlp",
        "summary": "handwritten digits, the 784-128-64-10 network",
        "data": {"source": "mnist", "augment": {"rotate": 8, "scale": 0.08, "shift": 0.08}},
        "model": {"name": "mlp", "options": {"hidden": [128, 64], "dropout": 0.0}},
        "optimizer": {"name": "adamw", "lr": 3e-3, "weight_decay": 1e-4},
        "schedule": {"name": "one_cycle", "options": {"peak_at": 0.2}},
        "train": {"epochs": 20, "batch_size": 128},
        "target": {"metric": "test/accuracy", "value": 0.982, "on": "ylecun/mnist"},
        "published": {
            "metric": "test/accuracy",
            "value": 0.975,
            "source": "784-300-100-10 with distortions, LeCun et al. 1998",
            "on": "ylecun/mnist",
        },
    }
)
