"""Handwritten digits generated from noise by a deep convolutional GAN.

Alec Radford, Luke Metz and Soumith Chintala, "Unsupervised Representation Learning with Deep Convolutional
Generative Adversarial Networks", ICLR 2016. Both networks are given the digit to generate, as in Mehdi Mirza
and Simon Osindero, "Conditional Generative Adversarial Nets", arXiv:1411.1784, 2014. The `digits` network
evaluates the generated images: all ten digits must appear, and be clear.
"""

from pellucid.config import Config

CONFIG = Config.parse(
    {
        "name": "image-generation",
        "summary": "handwritten digits from noise, a convolutional GAN",
        "data": {"source": "digits", "normalize": False},
        "model": {"name": "dcgan", "size": "small", "options": {"conditional": True}},
        "objective": {"name": "adversarial", "options": {"evaluator": "digits"}},
        "optimizer": {"name": "adam", "lr": 5e-4, "options": {"betas": [0.5, 0.999]}},
        "schedule": {"name": "cosine"},
        "train": {"epochs": 8, "batch_size": 128, "ema": 0.999, "restore_best": False},
        "target": {"metric": "test/confidence", "value": 0.93, "on": "ylecun/mnist"},
        "published_note": "all measures depend on the network that evaluates the images, here `digits`; "
        "papers use other networks, so their numbers do not compare",
    }
)
