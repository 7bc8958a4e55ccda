"""What anomaly detection says about itself."""

from pellucid.record.spec import BaselineSpec, Measure, TaskSpec

SPEC = TaskSpec(
    name="anomaly",
    summary="Detect images unlike those of one class",
    labelled=False,
    section="Anomalies",
    headline=("auroc", "average_precision", "detected", "false_alarms", "loss"),
    measures={
        "average_precision": Measure("average precision"),
        "detected": Measure("anomalies detected", share=True),
        "false_alarms": Measure("false alarms", lower=True, share=True),
        "score_normal": Measure("score of normal images", lower=True),
        "score_others": Measure("score of other images"),
    },
    sentences={"auroc": "{name} separates normal images from anomalies with an AUROC of {value}, over {of}"},
    baselines={
        "pca": BaselineSpec("PCA", "PCA", "the best linear code of the same size"),
        "pca_pixels": BaselineSpec(
            "PCA, squared error", "PCA by its squared error", "the squared error of its reconstruction"
        ),
        "mean_image": BaselineSpec(
            "mean image", "the distance to the mean image", "the mean of the training images"
        ),
    },
)
