"""Handwritten digits out of noise, drawn by a deep convolutional GAN.

Alec Radford, Luke Metz and Soumith Chintala, "Unsupervised Representation Learning with Deep Convolutional
Generative Adversarial Networks", ICLR 2016, whose code for MNIST tells both networks which digit it is to be,
as Mehdi Mirza and Simon Osindero do, arXiv:1411.1784, 2014. The `digits` network judges what is drawn: all
ten digits must be there, and be clear.
"""

from pellucid.config import Config

CONFIG = Config.parse(
    {
        "name": "image-generation",
        "summary": "handwritten digits from noise, a convolutional GAN",
        "data": {"source": "digits", "normalize": False},
        "model": {"name": "dcgan", "size": "small", "options": {"conditional": True}},
        "objective": {"name": "adversarial"},
        "optimizer": {"name": "adam", "lr": 5e-4, "options": {"betas": [0.5, 0.999]}},
        "schedule": {"name": "cosine"},
        "train": {"epochs": 8, "batch_size": 128, "ema": 0.999, "restore_best": False},
        "judge": "digits",
        "target": {"metric": "test/confidence", "value": 0.93, "on": "ylecun/mnist"},
    }
)
