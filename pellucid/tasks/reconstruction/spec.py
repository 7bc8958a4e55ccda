"""What autoencoders and denoisers say about themselves."""

from pellucid.record.spec import BaselineSpec, Measure, TaskSpec

SPEC = TaskSpec(
    name="reconstruction",
    summary="Reconstruct images, or remove noise from them",
    labelled=False,
    section="Reconstructions",
    headline=("mse", "psnr", "ssim", "loss"),
    measures={
        "psnr": Measure("peak signal-to-noise ratio", unit="dB"),
        "ssim": Measure("structural similarity"),
    },
    sentences={
        "mse": "{name} reconstructs {of} with a mean squared error of {value}",
        "psnr": "{name} reconstructs {of} with a signal-to-noise ratio of {value}",
    },
    baselines={
        "pca": BaselineSpec("PCA", "PCA", "the best linear code of the same size"),
        "identity": BaselineSpec("noisy input", "the noisy input", "nothing removed"),
        "total_variation": BaselineSpec(
            "total variation", "total variation", "smoothing that keeps edges, nothing learned"
        ),
    },
    predict_input="INPUT",
)
