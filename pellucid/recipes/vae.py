"""Digits as points in a space one can walk through: a variational autoencoder.

Diederik Kingma and Max Welling, "Auto-Encoding Variational Bayes", ICLR 2014. On MNIST made binary at random,
Salakhutdinov and Murray report a log-likelihood of -84.55 nats for a deep belief network (ICML 2008).
"""

from pellucid.config import Config

CONFIG = Config.parse(
    {
        "name": "vae",
        "summary": "digits as points in a space, a variational autoencoder",
        "data": {"source": "digits", "normalize": False},
        "model": {"name": "vae", "size": "base", "options": {"latent_dim": 32}},
        "objective": {"name": "elbo"},
        "optimizer": {"name": "adamw", "lr": 4e-3},
        "schedule": {"name": "one_cycle", "options": {"peak_at": 0.1}},
        "train": {"epochs": 30, "batch_size": 256},
        "target": {"metric": "test/elbo", "value": -100, "on": "ylecun/mnist"},
    }
)
