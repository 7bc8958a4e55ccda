"""What the task with the user's own loss or batches says about itself."""

from pellucid.record.spec import TaskSpec

SPEC = TaskSpec(
    name="custom",
    summary="Train with an objective, a loss or batches of your own",
    labelled=False,
    section="Results",
    headline=("accuracy", "mae", "loss"),
    sentences={"loss": "{name} reaches a loss of {value} on {of}"},
)
