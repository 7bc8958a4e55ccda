"""What can be learned: each task knows its data, its objective, its measures and what there is to see.

In: a dataset and a config. Out: batches, an objective, and an `Outcome`. Imports data, training, evaluation
and the records; models only to generate with them. `build` asks the task that `objective.name` names.
"""

from __future__ import annotations

from pellucid.tasks.adversarial import Adversarial
from pellucid.tasks.ahead import WordsAhead
from pellucid.tasks.anomaly import Anomaly
from pellucid.tasks.forecasting import Forecasting
from pellucid.tasks.language import LanguageModel, MaskedLanguageModel
from pellucid.tasks.metric import MetricLearning
from pellucid.tasks.reconstruction import Elbo, Reconstruction
from pellucid.tasks.seq2seq import Seq2Seq, SpanDenoising
from pellucid.tasks.supervised import Classification, Multilabel, Regression
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
