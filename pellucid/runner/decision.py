"""Set the threshold of a trained model, `objective.threshold`: a number, or chosen on the validation rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from pellucid.config import Config
from pellucid.evaluation import Trained, forward
from pellucid.record import Run
from pellucid.tasks.classification.threshold import best_threshold


def with_threshold(trained: Trained, config: Config, prepared: Any, run: Run) -> Trained:
    """Return a trained model with its threshold, which the run records."""
    asked = config.objective.threshold
    if asked is None:
        return trained
    if not isinstance(asked, str):
        run.choose("threshold", asked, "objective.threshold")
        return replace(trained, threshold=float(asked))
    split = "validation" if prepared.has("validation") else "train"
    outputs, targets = forward(trained, prepared.batches(split))
    probs = trained.objective.probs(outputs)[:, 1]
    if len(torch.unique(targets)) < 2:
        run.note(
            f"objective.threshold is 0.5: the {split} rows have one class, so none can be chosen on them."
        )
        return replace(trained, threshold=0.5)
    value, score = best_threshold(probs.numpy(), targets.numpy(), asked)
    named = {"f1": "F1 of the second class", "balanced_accuracy": "balanced accuracy"}[asked]
    run.choose("threshold", value, f"the best {named} on {len(targets):,} {split} rows: {score:.4f}")
    return replace(trained, threshold=value)


def threshold_of(run: Run) -> float | None:
    """Return the threshold that a run chose; None: the most probable class."""
    chosen = [choice["value"] for choice in run.facts.get("choices", []) if choice["what"] == "threshold"]
    return float(chosen[-1]) if chosen else None
