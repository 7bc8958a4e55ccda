"""Clothes in small grayscale images, with a Vision Transformer on patches.

Alexey Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021. Convolutions make the patches, as in
Tete Xiao et al., "Early Convolutions Help Transformers See Better", NeurIPS 2021, so that it learns faster.
Han Xiao et al., arXiv:1708.07747, 2017: the best classifier of their table 3 reaches 89.7 %.
"""

from pellucid.config import Config

CONFIG = Config.parse(
    {
        "name": "vit",
        "summary": "ten kinds of clothes, a small Vision Transformer",
        "data": {"source": "fashion", "augment": {"flip": True}},
        "model": {"name": "vit", "size": "tiny", "options": {"stem": "conv"}},
        "optimizer": {"name": "adamw", "lr": 2e-3, "weight_decay": 0.05},
        "schedule": {"name": "one_cycle", "options": {"peak_at": 0.1}},
        "train": {"epochs": 10, "batch_size": 128},
        "target": {"metric": "test/accuracy", "value": 0.91, "on": "zalando-datasets/fashion_mnist"},
        "published": {
            "metric": "test/accuracy",
            "value": 0.897,
            "source": "support vector machine, the best of table 3, Xiao et al. 2017",
            "on": "zalando-datasets/fashion_mnist",
        },
    }
)
