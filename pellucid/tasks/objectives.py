"""What can be optimized, one function each: options in, an `Objective` out.

In: options, checked. Out: the losses of a step, phase by phase, and what is measured on held-out batches.
Losses are computed in float32. Random numbers of a training step come from torch's own generator, whose state
a checkpoint holds; measuring draws from one with a fixed seed, or not at all.
"""

from pellucid.tasks.adversarial.objective import adversarial
from pellucid.tasks.anomaly.objective import anomaly
from pellucid.tasks.forecasting.objective import forecasting
from pellucid.tasks.language_model.objective import (
    language_model,
    masked_language_model,
    seq2seq,
    span_denoising,
)
from pellucid.tasks.metric_learning.objective import metric_learning
from pellucid.tasks.next_words.objective import words_ahead
from pellucid.tasks.reconstruction.objective import elbo, reconstruction, spoil
from pellucid.tasks.shared.supervised_objectives import classification, multilabel, regression
from pellucid.train.objective import Measures, Objective, Phase, all_parameters, means

BUILDERS = {
    "classification": classification,
    "multilabel": multilabel,
    "regression": regression,
    "language_model": language_model,
    "masked_language_model": masked_language_model,
    "next_words": words_ahead,
    "seq2seq": seq2seq,
    "span_denoising": span_denoising,
    "reconstruction": reconstruction,
    "elbo": elbo,
    "adversarial": adversarial,
    "forecasting": forecasting,
    "metric_learning": metric_learning,
    "anomaly": anomaly,
}
"""Every objective, by the name configs use."""

__all__ = [
    "BUILDERS",
    "Measures",
    "Objective",
    "Phase",
    "adversarial",
    "all_parameters",
    "anomaly",
    "classification",
    "elbo",
    "forecasting",
    "language_model",
    "masked_language_model",
    "means",
    "metric_learning",
    "multilabel",
    "reconstruction",
    "regression",
    "seq2seq",
    "span_denoising",
    "spoil",
    "words_ahead",
]
