"""Digits compressed to 32 numbers and reconstructed.

Geoffrey Hinton and Ruslan Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks", Science
313, 2006: with 30 numbers, the squared error of an autoencoder on MNIST is 3.00 an image, that of PCA 13.87
(their figure 2), which is 0.0038 and 0.0177 a pixel. The target is 0.6 of the error of PCA with 32 numbers,
0.0168 a pixel.
"""

from pellucid.config import Config

CONFIG = Config.parse(
    {
        "name": "compress",
        "summary": "digits compressed to 32 numbers, an autoencoder compared with PCA",
        "data": {"source": "digits", "normalize": False},
        "model": {"name": "autoencoder", "size": "small", "options": {"latent_dim": 32, "norm": "batch"}},
        "objective": {"name": "reconstruction"},
        "optimizer": {"name": "adamw", "lr": 1e-3},
        "schedule": {"name": "one_cycle", "options": {"peak_at": 0.2}},
        "train": {"epochs": 12, "batch_size": 128},
        "target": {"metric": "test/mse", "value": 0.0101, "on": "ylecun/mnist"},
        "published": {
            "metric": "test/mse",
            "value": 0.0038,
            "source": "autoencoder with 30 numbers, pretrained: 3.00 an image of 784 pixels, Hinton and "
            "Salakhutdinov 2006, figure 2",
            "on": "ylecun/mnist",
        },
    }
)
