"""Handwritten digits with a small convolutional network.

Yann LeCun, Leon Bottou, Yoshua Bengio and Patrick Haffner, "Gradient-Based Learning Applied to Document
Recognition", Proceedings of the IEEE 86(11), 1998: LeNet-5 reaches 99.05 %, and 99.2 % with distorted
training images (their figure 9).
"""

from pellucid.config import Config

CONFIG = Config.parse(
    {
        "name": "digits",
        "summary": "handwritten digits, a small convolutional network",
        "data": {"source": "digits", "augment": {"rotate": 10, "scale": 0.1, "shift": 0.1}},
        "model": {"name": "cnn", "size": "small", "options": {"dropout": 0.2}},
        "optimizer": {"name": "adamw", "lr": 4e-3, "weight_decay": 0.05},
        "schedule": {"name": "one_cycle", "options": {"peak_at": 0.2}},
        "train": {"epochs": 9, "batch_size": 128},
        "target": {"metric": "test/accuracy", "value": 0.995, "on": "ylecun/mnist"},
        "published": {
            "metric": "test/accuracy",
            "value": 0.992,
            "source": "LeNet-5 with distortions, LeCun et al. 1998",
            "on": "ylecun/mnist",
        },
    }
)
