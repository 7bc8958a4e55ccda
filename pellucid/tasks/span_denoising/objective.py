"""The span denoising objective: write the spans removed from a text."""

from __future__ import annotations

from pellucid.tasks.seq2seq.objective import seq2seq
from pellucid.train.objective import Objective


def span_denoising(label_smoothing: float = 0.0) -> Objective:
    """Predict the spans that were removed from a text: `seq2seq` on corrupted text."""
    return seq2seq(label_smoothing, name="span_denoising")
