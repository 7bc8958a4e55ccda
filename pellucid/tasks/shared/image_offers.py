"""What the offers of tasks on pictures have in common."""

from __future__ import annotations

from typing import Any

from pellucid.data.contents import Contents
from pellucid.data.offers import Suggestion
from pellucid.data.suggest import (
    batch_size,
    epochs_reason,
    image_size,
    number_of_epochs,
    resized,
    suggestion,
)

PICTURES = "pictures, with or without classes"


def likelihood(contents: Contents, without_classes: float, with_classes: float) -> float:
    """Return how likely a task on pictures is what is wanted; less so where they have classes to predict."""
    return without_classes if contents.predicts is None else with_classes


def suggest_pictures(
    contents: Contents, task: str, summary: str, model: dict[str, Any], reason: str, **sections: Any
) -> Suggestion:
    """Suggest the training of a network on pictures in 0..1.

    Args:
        contents: of the data.
        task: the name of the task.
        summary: one line for the config.
        model: the section of the config.
        reason: why this model.
        sections: of the config, instead of the usual ones.
    """
    rows = contents.rows
    batch = batch_size(rows)
    train = {"epochs": number_of_epochs(rows, batch), "batch_size": batch, **sections.pop("train", {})}
    usual: dict[str, Any] = {
        "optimizer": {"name": "adamw", "lr": 1e-3},
        "schedule": {"name": "one_cycle"},
    }
    return suggestion(
        contents,
        task,
        summary,
        data={"normalize": False, **image_size(contents), **sections.pop("data", {})},
        model=model,
        reasons=(reason, *resized(contents), epochs_reason(rows, train["batch_size"], train["epochs"])),
        train=train,
        **{**usual, **sections},
    )
