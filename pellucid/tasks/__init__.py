"""What can be learned: each task knows its data, its objective, its measures and what there is to see.

In: a dataset and a config. Out: batches, an objective, and an `Outcome`. Imports data, training, evaluation
and the records; models only to generate with them. `build` asks the task that `objective.name` names.
"""

from __future__ import annotations

from pellucid.tasks.adversarial.task import Adversarial
from pellucid.tasks.anomaly.task import Anomaly
from pellucid.tasks.forecasting.task import Forecasting
from pellucid.tasks.language_model.task import LanguageModel, MaskedLanguageModel
from pellucid.tasks.metric_learning.task import MetricLearning
from pellucid.tasks.next_words.task import WordsAhead
from pellucid.tasks.reconstruction.task import Elbo, Reconstruction
from pellucid.tasks.seq2seq.task import Seq2Seq, SpanDenoising
from pellucid.tasks.shared.supervised import Classification, Multilabel, Regression
from pellucid.tasks.task import Task

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Classification(),
        Multilabel(),
        Regression(),
        LanguageModel(),
        MaskedLanguageModel(),
        WordsAhead(),
        Seq2Seq(),
        SpanDenoising(),
        Reconstruction(),
        Elbo(),
        Adversarial(),
        Forecasting(),
        MetricLearning(),
        Anomaly(),
    )
}
"""Tasks by the name of their objective."""

__all__ = ["TASKS", "Task"]
