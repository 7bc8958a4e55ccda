"""How much data a Vision Transformer needs compared with a CNN: accuracy by number of training images.

Alexey Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale", ICLR
2021, figure 4: convolutional networks are better with few images, the Vision Transformer with many. Their
images are counted in millions; here both networks are small (204 thousand parameters and 109 thousand) and
learn from 500 to 32,000 images of CIFAR-10 from scratch. Smaller sets are trained for more epochs, and the
10,000 test images are always the same.
"""

from pellucid.study import Study

SIZES = {500: 80, 2_000: 50, 8_000: 24, 32_000: 10}
"""Epochs by number of training images."""
MODELS = {"vit": ("tiny", 1e-3), "cnn": ("small", 4e-3)}
"""Size and learning rate by model."""

STUDY = Study.parse(
    {
        "name": "vit-vs-cnn",
        "summary": "how much data a Vision Transformer needs compared with a CNN, 500 to 32,000 images",
        "base": {
            "data": {"source": "cifar10", "validation": 0.02, "augment": {"flip": True, "crop": 4}},
            "optimizer": {"name": "adamw", "weight_decay": 0.05},
            "schedule": {"name": "one_cycle", "options": {"peak_at": 0.2}},
            "train": {"batch_size": 64},
        },
        "parts": {
            f"{model}, {rows:,} images": {
                "model.name": model,
                "model.size": size,
                "optimizer.lr": lr,
                "data.training_rows": rows,
                "train.epochs": epochs,
            }
            for rows, epochs in SIZES.items()
            for model, (size, lr) in MODELS.items()
        },
        "metric": "test/accuracy",
        "along": "data.training_rows",
        "lines": "model.name",
        "published_note": "Dosovitskiy et al. compare networks pretrained on 9 to 300 million images",
    }
)
