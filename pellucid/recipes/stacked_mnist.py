"""A thousand modes: three digits as the channels of one image, and a GAN that must generate all combinations.

Luke Metz, Ben Poole, David Pfau and Jascha Sohl-Dickstein, "Unrolled Generative Adversarial Networks", ICLR
2017, section 3.3, measure in this way how much of its data a GAN leaves out. Among 26,000 images, Zinan Lin,
Ashish Khetan, Giulia Fanti and Sewoong Oh, "PacGAN", NeurIPS 2018, table 2, find 99 combinations with a
DCGAN, 150 with VEEGAN, and all 1,000 when the discriminator sees two images at a time
(`model.options.pack`). The `digits` network classifies the generated digits.
"""

from pellucid.config import Config

CONFIG = Config.parse(
    {
        "name": "stacked-mnist",
        "summary": "1,000 combinations of three digits from noise, a GAN that must find all of them",
        "data": {"source": "mnist", "stack": 3, "normalize": False},
        "model": {"name": "dcgan", "size": "small"},
        "objective": {"name": "adversarial", "options": {"evaluator": "digits"}},
        "optimizer": {
            "name": "adam",
            "lr": 1e-3,
            "options": {"betas": [0.5, 0.999]},
            "phases": {"discriminator": {"lr": 5e-4}},
        },
        "schedule": {"name": "cosine"},
        "train": {"epochs": 16, "batch_size": 64, "ema": 0.999, "restore_best": False},
        "target": {"metric": "test/modes", "value": 950, "on": "ylecun/mnist"},
        "published": {
            "metric": "test/modes",
            "value": 1000,
            "source": "Lin et al., PacGAN, NeurIPS 2018, table 2",
            "on": "ylecun/mnist",
        },
    }
)
