"""What metric learning says about itself."""

from pellucid.record.spec import BaselineSpec, Measure, TaskSpec

SPEC = TaskSpec(
    name="metric_learning",
    summary="Learn embeddings in which rows of one class are close",
    section="Nearest neighbors",
    headline=("recall_at_1", "map", "auroc", "precision", "loss"),
    measures={"map": Measure("mean average precision", share=True)},
    sentences={"recall_at_1": "{name} finds a row of the same class nearest for {value} of {of}"},
    baselines={
        "prior": BaselineSpec("guessing", "guessing", "another row at random"),
        "inputs": BaselineSpec("raw inputs", "comparing raw inputs", "nearest by value, nothing learned"),
    },
)
