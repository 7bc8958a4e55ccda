"""Metrics of scikit-learn for `metrics=`: by name ("precision", "f1_weighted"), or the functions themselves.

They are computed from all rows of a split together, not as a mean over batches.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pellucid.batch import as_batch
from pellucid.errors import ConfigError
from pellucid.train.objective import read_logits

OTHER_NAMES = {
    "acc": "accuracy",
    "auc": "roc_auc",
    "auroc": "roc_auc",
    "mcc": "matthews_corrcoef",
    "kappa": "cohen_kappa",
    "mean_absolute_error": "mae",
    "root_mean_squared_error": "rmse",
}
MEASURED = {
    "classification": ("loss", "accuracy"),
    "multilabel": ("loss", "f1", "accuracy"),
    "regression": ("loss", "mae", "rmse", "r2"),
}
"""What a task measures in any case, by its name."""
OF_CLASSES = {
    "precision": "precision_score",
    "recall": "recall_score",
    "f1": "f1_score",
    "jaccard": "jaccard_score",
    "balanced_accuracy": "balanced_accuracy_score",
    "matthews_corrcoef": "matthews_corrcoef",
    "cohen_kappa": "cohen_kappa_score",
    "roc_auc": "roc_auc_score",
    "log_loss": "log_loss",
    "top_k_accuracy": "top_k_accuracy_score",
    "average_precision": "average_precision_score",
}
"""Functions of `sklearn.metrics` by name; "precision" to "jaccard" also with _macro, _micro or _weighted."""
AVERAGED = ("precision", "recall", "f1", "jaccard", "fbeta")
OF_PROBABILITIES = ("roc_auc", "log_loss", "top_k_accuracy", "average_precision", "brier")


class ScoreMetric:
    """A function of scikit-learn, (targets, classes or probabilities) -> number, of all rows of a split.

    Args:
        function: of `sklearn.metrics`, or a `partial` of one.
        name: of the value.
        task: classification or multilabel.
    """

    def __init__(self, function: Callable[..., Any], name: str, task: str):
        self.function, self.name, self.task = function, name, task
        self.outputs: list[Tensor] = []
        self.targets: list[Tensor] = []

    def reset(self) -> None:
        self.outputs, self.targets = [], []

    def update(self, outputs: Any, batch: Any) -> None:
        self.outputs.append(read_logits(outputs).detach().float().cpu())
        self.targets.append(as_batch(batch).targets.detach().cpu())

    def compute(self) -> dict[str, float]:
        """Return the number by its name; nothing where it is not defined for these rows."""
        if not self.outputs:
            return {}
        outputs, targets = torch.cat(self.outputs), torch.cat(self.targets)
        try:
            value = float(self.function(targets.numpy(), self._read(outputs), **self._options(outputs)))
        except ValueError as error:
            if len(targets.unique()) < 2:  # it compares classes, and there is only one
                return {}
            raise ConfigError(
                f"The metric {self.name!r} fails on outputs of shape {tuple(outputs.shape)}: {error}",
                remedy="functools.partial(function, average='macro'), or another metric",
            ) from error
        return {self.name: value}

    def _read(self, outputs: Tensor) -> Any:
        probable = _plain_name(self.function).startswith(OF_PROBABILITIES)
        if self.task == "multilabel":
            return (outputs.sigmoid() if probable else (outputs > 0).int()).numpy()
        if not probable:
            return outputs.argmax(1).numpy()
        probs = outputs.double().softmax(1).numpy()
        return probs[:, 1] if probs.shape[1] == 2 else probs

    def _options(self, outputs: Tensor) -> dict[str, Any]:
        """The options that the function needs for several classes, where the caller chose none."""
        name, chosen = _plain_name(self.function), getattr(self.function, "keywords", {})
        classes = list(range(outputs.shape[1]))
        options: dict[str, Any] = {}
        if name.startswith(AVERAGED):
            options = {"average": "macro", "zero_division": 0.0}
        elif self.task == "classification" and len(classes) > 2 and name.startswith("roc_auc"):
            options = {"multi_class": "ovr", "labels": classes}
        elif self.task == "classification" and name.startswith(("log_loss", "top_k")):
            options = {"labels": classes}
        return {key: value for key, value in options.items() if key not in chosen}


def by_name(metrics: Any, task: str) -> Any:
    """Return what was passed as `metrics=`, with objects for names and for functions of scikit-learn.

    Args:
        metrics: one, several, or several by name.
        task: the name of the objective; what it measures in any case is left out.

    Raises:
        ConfigError: there is no such metric; names those there are.
    """
    if isinstance(metrics, Mapping):
        made = {name: _made(metric, task, str(name)) for name, metric in metrics.items()}
        return {name: metric for name, metric in made.items() if metric is not None}
    if not isinstance(metrics, (str, list, tuple)):
        return _made(metrics, task)
    made = [_made(metric, task) for metric in ([metrics] if isinstance(metrics, str) else metrics)]
    return [metric for metric in made if metric is not None]


def _made(metric: Any, task: str, name: str | None = None) -> Any:
    scorer = hasattr(metric, "_score_func")  # of sklearn.metrics.make_scorer
    metric = partial(metric._score_func, **metric._kwargs) if scorer else metric
    if isinstance(metric, str):
        asked = re.sub(r"^neg_|(_score)?$", "", metric.strip().lower().replace("-", "_").replace(" ", "_"))
    elif scorer or _is_sklearn(metric):
        asked = _plain_name(metric)
    else:
        return metric
    asked = OTHER_NAMES.get(asked, asked)
    if asked in MEASURED.get(task, ()) and name is None and not isinstance(metric, partial):
        return None
    function = _found(asked) if isinstance(metric, str) else metric
    if function is None or task not in ("classification", "multilabel"):
        raise _unknown(metric if isinstance(metric, str) else asked, task)
    return ScoreMetric(function, name or (metric if isinstance(metric, str) else asked), task)


def _is_sklearn(metric: Any) -> bool:
    function = metric.func if isinstance(metric, partial) else metric
    return callable(function) and str(getattr(function, "__module__", "")).startswith("sklearn.metrics")


def _plain_name(function: Any) -> str:
    """The name of a function without the "_score" at its end."""
    held = function.func if isinstance(function, partial) else function
    return held.__name__.removesuffix("_score")


def _found(asked: str) -> Callable[..., Any] | None:
    from sklearn import metrics as scores  # here: it takes long, and most runs need none

    plain = re.sub(r"_(macro|micro|weighted)$", "", asked)
    if plain not in OF_CLASSES or (plain != asked and plain not in AVERAGED):
        return None
    function = getattr(scores, OF_CLASSES[plain])
    return function if plain == asked else partial(function, average=asked[len(plain) + 1 :])


def _unknown(asked: str, task: str) -> ConfigError:
    measured = ", ".join(MEASURED.get(task, ()))
    said = f"; the task {task} measures {measured} in any case" if measured else ""
    names = ", ".join(OF_CLASSES) if task in ("classification", "multilabel") else measured
    return ConfigError(
        f"metrics= names {asked!r}, which cannot be measured here{said}.",
        remedy=(f"one of {names}; or " if names else "")
        + "a function of your own: metrics={'name': lambda outputs, targets: ...}",
    )
