"""What contrastive learning says about itself."""

from pellucid.record.spec import BaselineSpec, Measure, TaskSpec

SPEC = TaskSpec(
    name="contrastive",
    summary="Learn embeddings of pictures without classes, from two views of each (SimCLR)",
    labelled=False,
    section="Nearest neighbors",
    headline=("recall_at_1", "class_recall_at_1", "map", "precision", "loss"),
    measures={
        "map": Measure("mean average precision", share=True),
        "class_recall_at_1": Measure("nearest of the same class", share=True),
    },
    sentences={
        "recall_at_1": "{name} finds the other view of a picture nearest for {value} of {of}",
        "class_recall_at_1": "{name} finds a picture of the same class nearest for {value} of {of}",
    },
    baselines={
        "prior": BaselineSpec("guessing", "guessing", "another picture at random"),
        "inputs": BaselineSpec("raw pixels", "comparing raw pixels", "nearest by value, nothing learned"),
    },
)
