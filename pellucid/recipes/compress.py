"""Digits through 32 numbers and back.

Geoffrey Hinton and Ruslan Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks", Science
313, 2006: with 30 numbers, the squared error of an autoencoder on MNIST is 3.00 a picture, that of PCA 13.87
(their figure 2). The target is 0.6 of the error of PCA with 32 numbers, 0.0168 a pixel.
"""

from pellucid.config import Config

CONFIG = Config.parse(
    {
        "name": "compress",
        "summary": "digits through 32 numbers and back, an autoencoder beside PCA",
        "data": {"source": "digits", "normalize": False},
        "model": {"name": "autoencoder", "size": "small", "options": {"latent_dim": 32, "norm": "batch"}},
        "objective": {"name": "reconstruction"},
        "optimizer": {"name": "adamw", "lr": 1e-3},
        "schedule": {"name": "one_cycle", "options": {"peak_at": 0.2}},
        "train": {"epochs": 12, "batch_size": 128},
        "target": {"metric": "test/mse", "value": 0.0101, "on": "ylecun/mnist"},
    }
)
