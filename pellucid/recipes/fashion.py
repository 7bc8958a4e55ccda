"""Clothes in small grayscale images, with a small residual network.

Han Xiao, Kashif Rasul and Roland Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine
Learning Algorithms", arXiv:1708.07747, 2017: the best classifier of table 3 reaches 89.7 %.
"""

from pellucid.config import Config

CONFIG = Config.parse(
    {
        "name": "fashion",
        "summary": "ten kinds of clothes, a small residual network",
        "data": {"source": "fashion", "augment": {"flip": True}},
        "model": {"name": "cnn", "size": "base", "options": {"dropout": 0.2}},
        "optimizer": {"name": "adamw", "lr": 4e-3, "weight_decay": 0.05},
        "schedule": {"name": "one_cycle", "options": {"peak_at": 0.2}},
        "train": {"epochs": 7, "batch_size": 128},
        "target": {"metric": "test/accuracy", "value": 0.93, "on": "zalando-datasets/fashion_mnist"},
        "published": {
            "metric": "test/accuracy",
            "value": 0.897,
            "source": "support vector machine, the best of table 3, Xiao et al. 2017",
            "on": "zalando-datasets/fashion_mnist",
        },
    }
)
