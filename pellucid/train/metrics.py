"""What is measured on held-out batches: sums and counts by default, or any metric with a state of its own.

    Accuracy as a sum and a count        {"accuracy": (right.sum(), len(targets))}
    a function of yours                  def top2(outputs, targets): ...
    a metric of torchmetrics             torchmetrics.AUROC(task="binary")
    a class with update and compute      see `Metric`

`as_metric` takes any of these. Everything stays on the device until an epoch is over.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from pellucid.batch import as_batch, describe, num_rows
from pellucid.errors import ConfigError, PellucidError
from pellucid.train.explain import told
from pellucid.train.own_loss import broadcasts, refuse_broadcast

Measures = dict[str, tuple[Tensor, float]]
"""Sums and counts by name, kept on the device: the mean over batches is sum / count."""


@runtime_checkable
class Metric(Protocol):
    """Something that is measured over all batches of a split.

    `update` is called with what the objective's `forward` returned and with the batch; `compute` returns the
    values by name, which are recorded as `val/<name>` and `test/<name>`.
    """

    def reset(self) -> None:
        """Forget all batches."""
        ...

    def update(self, outputs: Any, batch: Any) -> None:
        """Take a batch into account."""
        ...

    def compute(self) -> dict[str, float]:
        """Return the values over all batches since `reset`."""
        ...


def means(measured: Iterable[Measures]) -> dict[str, float]:
    """Return the mean of every measure over batches; one that counted nothing is left out.

    Values on the device are read once, after the last batch.
    """
    totals: dict[str, list[Tensor]] = defaultdict(list)
    counts: dict[str, float] = defaultdict(float)
    for measures in measured:
        for key, (total, count) in measures.items():
            totals[key].append(total)
            counts[key] += count
    return {
        key: math.fsum(torch.stack(values).tolist()) / counts[key]
        for key, values in totals.items()
        if counts[key]
    }


class FunctionMetric:
    """The mean over rows of a function (outputs, targets) -> number or one number per row.

    Args:
        function: called once a batch.
        name: of the value; the function's own by default.
    """

    def __init__(self, function: Callable[[Any, Any], Any], name: str | None = None):
        self.function, self.name = function, name or metric_name(function)
        self.measured: list[Measures] = []

    def reset(self) -> None:
        self.measured = []

    def update(self, outputs: Any, batch: Any) -> None:
        targets = as_batch(batch).targets
        if not self.measured and broadcasts(outputs, targets):
            refuse_broadcast(f"The metric {self.name!r}", self.function, outputs, targets)
        value = self.function(outputs, targets)
        if not isinstance(value, Tensor):
            try:
                value = torch.tensor(float(value))
            except (TypeError, ValueError):
                raise ConfigError(
                    f"The metric {self.name!r} must return a number, or one per row; received "
                    f"{type(value).__name__}.",
                    remedy="one function for each number: metrics={'precision': f, 'recall': g}",
                ) from None
        value = value.detach().float()
        if value.ndim:
            self.measured.append({self.name: (value.sum(), value.numel())})
        else:
            count = max(num_rows(batch), 1)
            self.measured.append({self.name: (value * count, count)})

    def compute(self) -> dict[str, float]:
        return means(self.measured)


class TorchMetric:
    """A metric of torchmetrics, or a collection of them, updated with (outputs, targets).

    Args:
        metric: anything with `update(preds, target)`, `compute()` and `reset()`.
        name: of the value; the class's own by default.
    """

    def __init__(self, metric: Any, name: str | None = None):
        self.metric, self.name, self.seen = metric, name or metric_name(metric), 0

    def reset(self) -> None:
        self.metric.reset()
        self.seen = 0

    def update(self, outputs: Any, batch: Any) -> None:
        targets = as_batch(batch).targets
        if self.seen == 0 and isinstance(targets, Tensor) and hasattr(self.metric, "to"):
            self.metric.to(targets.device)
        if _is_binary(self.metric) and _two_classes(outputs, targets):
            outputs = outputs.float().softmax(1)[:, 1]  # (B, 2) -> (B,), the probability of the second class
        self.metric.update(outputs, targets)
        self.seen += 1

    def compute(self) -> dict[str, float]:
        if not self.seen:
            return {}
        found = self.metric.compute()
        named = found if isinstance(found, dict) else {self.name: found}
        return {key: number for name, value in named.items() for key, number in _numbers(name, value)}


def _is_binary(metric: Any) -> bool:
    """Whether a metric of torchmetrics, or every one of a collection, compares (B,) with (B,)."""
    parts = list(metric.values()) if isinstance(metric, Mapping | torch.nn.ModuleDict) else [metric]
    return bool(parts) and all(type(part).__name__.startswith("Binary") for part in parts)


def _two_classes(outputs: Any, targets: Any) -> bool:
    """Whether outputs are logits of two classes, and targets are their ids."""
    tensors = isinstance(outputs, Tensor) and isinstance(targets, Tensor)
    return tensors and targets.ndim == 1 and tuple(outputs.shape) == (len(targets), 2)


def _numbers(name: str, value: Any) -> list[tuple[str, float]]:
    """Return (name, number), or one for each entry of a vector."""
    values = torch.as_tensor(value).float()
    if values.ndim == 0:
        return [(name, values.item())]
    return [(f"{name}_{index}", number) for index, number in enumerate(values.flatten().tolist())]


def update(metric: Metric, outputs: Any, batch: Any) -> None:
    """Let a metric see a batch.

    Raises:
        ConfigError: it fails on such outputs and targets; says which metric, and where.
    """
    try:
        metric.update(outputs, batch)
    except PellucidError:
        raise
    except Exception as error:
        name = getattr(metric, "name", None) or type(metric).__name__
        targets = as_batch(batch).targets
        raise ConfigError(
            f"The metric {name!r} fails on outputs {describe(outputs)} and targets {describe(targets)}: "
            f"{told(error)}.",
            remedy="a metric for outputs and targets of these shapes, or a function that converts them "
            "first: metrics={'name': lambda outputs, targets: ...}",
        ) from error


def as_metric(metric: Any) -> Metric:
    """Take a metric of ours, of torchmetrics, or a function (outputs, targets) -> number.

    Raises:
        ConfigError: it is none of these.
    """
    if isinstance(metric, type):
        raise ConfigError(
            f"metrics= expects metrics, received the class {metric.__name__}.",
            remedy=f"{metric.__name__}(...)",
        )
    if isinstance(metric, (FunctionMetric, TorchMetric)):
        return metric
    if all(hasattr(metric, name) for name in ("update", "compute", "reset")):
        ours = type(metric).__module__.split(".")[0] != "torchmetrics" and _takes_batch(metric)
        return metric if ours else TorchMetric(metric)
    if callable(metric):
        return FunctionMetric(metric)
    raise ConfigError(
        f"metrics= expects functions (outputs, targets) -> number, torchmetrics, or objects with reset, "
        f"update and compute; received {metric!r:.80}.",
        remedy="torchmetrics.classification.MulticlassF1Score(num_classes=3), or a function of your own; "
        "a task measures its usual metrics, such as the accuracy, by itself",
    )


def as_metrics(metrics: Any) -> tuple[Metric, ...]:
    """Take one metric, several, or several by name; see `as_metric`."""
    if metrics is None:
        return ()
    if isinstance(metrics, dict):
        return tuple(_renamed(as_metric(metric), name) for name, metric in metrics.items())
    listed = metrics if isinstance(metrics, Sequence) and not isinstance(metrics, str) else [metrics]
    made = tuple(as_metric(metric) for metric in listed)
    names = [metric.name for metric in made if isinstance(metric, (FunctionMetric, TorchMetric))]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"Two metrics are called {name!r}: one would replace the other.",
                remedy="names of your own: metrics={'first': f, 'second': g}",
            )
    return made


def directions(metrics: Iterable[Any]) -> dict[str, bool]:
    """Return whether higher is better, by the name of each metric that states it as `higher_is_better`."""
    named: dict[str, Any] = {
        metric.name: metric.metric if isinstance(metric, TorchMetric) else metric.function
        for metric in metrics
        if isinstance(metric, (TorchMetric, FunctionMetric))
    }
    named |= {
        metric_name(metric): metric
        for metric in metrics
        if not isinstance(metric, (TorchMetric, FunctionMetric))
    }
    for given in list(named.values()):  # a collection of torchmetrics
        if hasattr(given, "items"):
            named |= dict(given.items())
    found = {name: getattr(given, "higher_is_better", None) for name, given in named.items()}
    return {name: higher for name, higher in found.items() if isinstance(higher, bool)}


def _renamed(metric: Metric, name: str) -> Metric:
    if isinstance(metric, (FunctionMetric, TorchMetric)):
        metric.name = name
    return metric


def _takes_batch(metric: Any) -> bool:
    """Whether `update` names its second parameter "batch", as `Metric` does, and not "target"."""
    code = getattr(metric.update, "__code__", None)
    names = code.co_varnames[: code.co_argcount] if code else ()
    return "batch" in names


def metric_name(metric: Any) -> str:
    """Return a name for the records: `MulticlassF1Score` becomes "multiclass_f1_score"."""
    name = getattr(metric, "__name__", None) or type(metric).__name__
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    return "metric" if name == "<lambda>" else name
