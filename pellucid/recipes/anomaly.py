"""Anomaly detection with a network that has seen only one digit: ten denoising autoencoders.

Lukas Ruff et al., "Deep One-Class Classification", ICML 2018: on MNIST, with each digit in turn as the normal
class, Deep SVDD has a mean AUROC of 0.948. Pramuditha Perera et al., "OCGAN", CVPR 2019: 0.975.
"""

from pellucid.study import Study

STUDY = Study.parse(
    {
        "name": "anomaly",
        "summary": "digits other than the one that was learned, for each of ten, a denoising autoencoder",
        "base": {
            "data": {"source": "digits", "normalize": False},
            "model": {"name": "autoencoder", "size": "small", "options": {"latent_dim": 16, "norm": "batch"}},
            "objective": {"name": "anomaly", "options": {"noise": 0.5}},
            "optimizer": {"name": "adamw", "lr": 2e-3},
            "schedule": {"name": "one_cycle", "options": {"peak_at": 0.2}},
            "train": {"epochs": 10, "batch_size": 64},
        },
        "parts": {f"normal {digit}": {"objective.options.normal": str(digit)} for digit in range(10)},
        "metric": "test/auroc",
        "target": {"metric": "test/auroc", "value": 0.955, "on": "ylecun/mnist"},
        "published": {
            "metric": "test/auroc",
            "value": 0.948,
            "source": "Deep SVDD, the mean of ten digits, Ruff et al. 2018",
            "on": "ylecun/mnist",
        },
    }
)
