"""Digits as points of a latent space: a variational autoencoder.

Diederik Kingma and Max Welling, "Auto-Encoding Variational Bayes", ICLR 2014. Binary pixels are sampled from
the gray values every time, as in Ruslan Salakhutdinov and Iain Murray, ICML 2008, whose deep belief network
has a log-likelihood of -84.55 nats. Yuri Burda, Roger Grosse and Ruslan Salakhutdinov, "Importance Weighted
Autoencoders", ICLR 2016, table 1: a VAE with 50 latent numbers has -86.76, estimated with 5,000 importance
samples. The measure here is the evidence lower bound, which is lower than the log-likelihood.
"""

from pellucid.config import Config

CONFIG = Config.parse(
    {
        "name": "vae",
        "summary": "digits as points of a latent space, a variational autoencoder",
        "data": {"source": "digits", "normalize": False},
        "model": {"name": "vae", "size": "base", "options": {"latent_dim": 32}},
        "objective": {"name": "elbo"},
        "optimizer": {"name": "adamw", "lr": 4e-3},
        "schedule": {"name": "one_cycle", "options": {"peak_at": 0.1}},
        "train": {"epochs": 30, "batch_size": 256},
        "target": {"metric": "test/elbo", "value": -100, "on": "ylecun/mnist"},
        "published": {
            "metric": "test/elbo",
            "value": -86.76,
            "source": "VAE with 50 latent numbers, log-likelihood by 5,000 importance samples (ours: its "
            "lower bound), Burda et al. 2016, table 1",
            "on": "ylecun/mnist",
        },
    }
)
