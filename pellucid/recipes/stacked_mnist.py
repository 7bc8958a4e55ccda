"""A thousand modes: three digits as the colors of one image, and a GAN that must draw all combinations.

Luke Metz, Ben Poole, David Pfau and Jascha Sohl-Dickstein, "Unrolled Generative Adversarial Networks", ICLR
2017, section 3.3, count so how much of its data a GAN leaves out. In 26,000 images Zinan Lin, Ashish Khetan,
Giulia Fanti and Sewoong Oh, "PacGAN", NeurIPS 2018, table 2, find 99 combinations of a DCGAN, 150 of VEEGAN,
and all 1,000 where the discriminator judges two images at a time (`model.options.pack`). The `digits` network
says which digits are drawn.
"""

from pellucid.config import Config

CONFIG = Config.parse(
    {
        "name": "stacked-mnist",
        "summary": "1,000 combinations of three digits from noise, a GAN that leaves none out",
        "data": {"source": "mnist", "stack": 3, "normalize": False},
        "model": {"name": "dcgan", "size": "small"},
        "objective": {"name": "adversarial"},
        "optimizer": {
            "name": "adam",
            "lr": 1e-3,
            "options": {"betas": [0.5, 0.999]},
            "phases": {"discriminator": {"lr": 5e-4}},
        },
        "schedule": {"name": "cosine"},
        "train": {"epochs": 16, "batch_size": 64, "ema": 0.999, "restore_best": False},
        "judge": "digits",
        "target": {"metric": "test/modes", "value": 950, "on": "ylecun/mnist"},
        "published": {
            "metric": "test/modes",
            "value": 1000,
            "source": "Lin et al., PacGAN, NeurIPS 2018, table 2",
            "on": "ylecun/mnist",
        },
    }
)
