"""What generative adversarial networks say about themselves."""

from pellucid.record.spec import Measure, TaskSpec

SPEC = TaskSpec(
    name="adversarial",
    summary="Generate images with a generator and a discriminator (GAN)",
    labelled=False,
    section="Generated images",
    headline=(
        "frechet",
        "modes",
        "kl",
        "coverage",
        "accuracy",
        "confidence",
        "diversity",
        "feature_diversity",
    ),
    measures={
        "frechet": Measure("Fréchet distance", lower=True),
        "modes": Measure("modes"),
        "kl": Measure("KL divergence", lower=True),
        "coverage": Measure("coverage", share=True),
        "confidence": Measure("confidence", share=True),
        "diversity": Measure("diversity", share=True),
        "feature_diversity": Measure("diversity in random features", share=True),
        "d_real": Measure("discriminator on real images"),
        "d_fake": Measure("discriminator on generated images"),
        "d_real_accuracy": Measure("real images recognized", share=True),
        "d_fake_accuracy": Measure("generated images recognized", share=True),
    },
    sentences={
        "frechet": "The images {name} generates have a Fréchet distance of {value} from {of}",
        "modes": "The images {name} generates show {value} modes",
        "confidence": "A classifier has a mean confidence of {value} in the images that {name} generates",
        "accuracy": "{value} of the images {name} generates are classified as the requested class",
        "coverage": "The images {name} generates cover {value} of the classes",
        "diversity": "The images {name} generates are {value} as diverse as {of}",
    },
    predict_input="16",
    players=True,
)
