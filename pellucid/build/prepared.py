"""From a config to data that are ready to be trained on."""

from __future__ import annotations

from pellucid.build.parts import PRETRAINED, reads_tokens
from pellucid.config import Config
from pellucid.data.dataset import Dataset
from pellucid.data.preprocess import Preprocess
from pellucid.data.sources import opened, ready
from pellucid.tasks import TASKS
from pellucid.tasks.prepared import Prepared


def prepare(config: Config, dataset: Dataset | None = None, fitted: Preprocess | None = None) -> Prepared:
    """Load, split and encode the data of a config.

    Args:
        config: all of it.
        dataset: used instead of `data.source`.
        fitted: how rows were encoded for a model that is trained already; None: fitted on these data.
    """
    task = TASKS[config.objective.name]
    if dataset is None:
        dataset = opened(config.data, labelled=task.labelled)
    if not task.ordered:
        dataset = ready(dataset, config.data, labelled=task.labelled)
    tokens = reads_tokens(config)
    if tokens and config.model.name == PRETRAINED:
        config = config.patch({"data.text.pretrained": config.model.weights})
    return task.prepare(dataset, config, tokens, fitted)
