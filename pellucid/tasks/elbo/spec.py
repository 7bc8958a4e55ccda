"""What variational autoencoders say about themselves."""

from pellucid.record.spec import BaselineSpec, Measure, TaskSpec

SPEC = TaskSpec(
    name="elbo",
    summary="Model images with a variational autoencoder",
    labelled=False,
    section="Generated images",
    headline=("elbo", "recon", "kl", "active_units", "loss"),
    measures={
        "elbo": Measure("evidence lower bound", unit="nats"),
        "recon": Measure("reconstruction loss", lower=True),
        "kl": Measure("KL divergence", lower=True),
        "active_units": Measure("active latent units"),
    },
    loss_unit="nats",
    sentences={
        "elbo": "{name} encodes each of {of} in at most {size} nats",
        "loss": "{name} encodes each of {of} in at most {size} nats",
    },
    absolute=True,
    baselines={
        "pixel_means": BaselineSpec(
            "pixel means", "a model of pixel means", "every pixel on its own, with its mean in training"
        )
    },
    predict_input="16",
)
