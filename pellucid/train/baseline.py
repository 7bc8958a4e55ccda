"""Baselines for a model: a prediction that ignores the inputs, and a linear model.

`prior` predicts the class frequencies (or the mean) of the training data for every example. `linear` is
softmax, logistic or linear regression on flattened, standardized inputs. A network that does not beat the
first has learned nothing; one that does not beat the second is not needed.

Everything here is NumPy: it does not use torch's random numbers and can run in a thread during training.
Shapes: N examples, F features, K outputs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

TargetType = Literal["classification", "multilabel", "regression"]
Array = NDArray[Any]

CELLS = 50_000_000  # rows x features the linear model is fitted on at most: 200 MB
LINEAR_EPOCHS = 4  # of training the linear model
LEAST_UPDATES = 500  # where the epochs have fewer
BATCH_SIZE = 512
LR = 0.02
BETAS = (0.9, 0.999)  # of Adam
OUTLIER = 10.0  # standardized inputs are cut off here: a pixel that is nearly always 0 has a tiny deviation


def baselines(
    train_inputs: Any,
    train_targets: Any,
    evals: Mapping[str, tuple[Any, Any]],
    task: TargetType,
    *,
    seed: int = 0,
    cells: int = CELLS,
) -> dict[str, dict[str, float]]:
    """Fit and evaluate both baselines.

    Args:
        train_inputs: (N, ...), an array or tensor of numbers.
        train_targets: classes (N,), labels 0 or 1 (N, K), or numbers (N,) or (N, K).
        evals: inputs and targets of the same form by prefix, e.g. "val" and "test".
        task: classification, multilabel or regression.
        seed: seed for sampling and shuffling the rows.
        cells: maximum rows x features for the linear model; rows are sampled if there are more.

    Returns:
        {"prior": {...}, "linear": {...}} with `<prefix>/loss` (nats, or mean squared error) and, by task,
        `<prefix>/accuracy`, `/balanced_accuracy`, `/f1` (mean over labels), `/mae`, `/rmse` and `/r2`.
        "linear" also has the `seconds` it took and the number of `rows` it was fitted on.
    """
    every = [_array(train_targets), *(_array(targets) for _, targets in evals.values())]
    num_classes = _count_classes(every) if task == "classification" else 0
    targets = _encoded(every[0], num_classes)
    held_out = {
        key: (_array(inputs), _encoded(encoded, num_classes))
        for (key, (inputs, _)), encoded in zip(evals.items(), every[1:], strict=True)
    }

    constant = _prior(targets, task)
    prior = _measure_all(held_out, task, lambda x: np.broadcast_to(constant, (len(x), len(constant))))
    started = time.perf_counter()
    linear = LinearModel(_array(train_inputs), targets, task, seed=seed, cells=cells)
    seconds = time.perf_counter() - started
    measured = _measure_all(held_out, task, linear)
    return {"prior": prior, "linear": {**measured, "seconds": round(seconds, 3), "rows": linear.rows}}


# ---- the two models ----------------------------------------------------------------------------


def _prior(targets: Array, task: TargetType) -> Array:
    """Return the logits (K,), or the mean (K,), that fit the training targets best without inputs.

    Counts have Laplace smoothing: one is added to each.
    """
    if task == "regression":
        return targets.mean(axis=0)
    counts = targets.sum(axis=0) + 1
    if task == "classification":
        return np.log(counts / counts.sum())
    return np.log(counts / (len(targets) + 2 - counts))


class LinearModel:
    """A linear model, fitted with Adam on mini-batches with a learning rate that decreases to 0.

    The outputs are x W + b. With the loss of each task (cross-entropy, binary cross-entropy, half the squared
    error), the gradient with respect to the outputs is prediction - target in all three.

    Args:
        inputs: (N, ...).
        targets: (N, K), one-hot for classes.
        task: the task, which determines the prediction: softmax, sigmoid or the output itself.
        seed: seed for sampling and shuffling the rows.
        cells: maximum rows x features.

    Attributes:
        rows: number of examples it was fitted on.
    """

    def __init__(self, inputs: Array, targets: Array, task: TargetType, *, seed: int, cells: int):
        rng = np.random.default_rng(seed)
        features = math.prod(inputs.shape[1:])
        self.rows = min(len(inputs), max(cells // max(features, 1), 1))
        if self.rows < len(inputs):
            drawn = rng.choice(len(inputs), self.rows, replace=False)
            inputs, targets = inputs[drawn], targets[drawn]
        x = _flat(inputs)
        self.mean, self.deviation = x.mean(axis=0), _deviation(x)
        self.center, self.scale = np.float32(0), np.float32(1)
        if task == "regression":
            self.center, self.scale = targets.mean(axis=0), _deviation(targets)
        self.weight = np.zeros((features + 1, targets.shape[1]), np.float32)  # the last row is the bias
        self._fit(self._standardized(x), (targets - self.center) / self.scale, task, rng)

    def __call__(self, inputs: Array) -> Array:
        """Return the logits, or the predicted numbers, (N, K)."""
        return self._outputs(self._standardized(_flat(inputs))) * self.scale + self.center

    def _standardized(self, x: Array) -> Array:
        z = (x - self.mean) / self.deviation
        return np.clip(z, -OUTLIER, OUTLIER, out=z)

    def _outputs(self, z: Array) -> Array:
        return z @ self.weight[:-1] + self.weight[-1]

    def _fit(self, z: Array, targets: Array, task: TargetType, rng: np.random.Generator) -> None:
        size = min(BATCH_SIZE, len(z))
        updates = max(LINEAR_EPOCHS * (len(z) // size), LEAST_UPDATES)
        mean, square = np.zeros_like(self.weight), np.zeros_like(self.weight)
        order = rng.permutation(len(z))
        for update in range(1, updates + 1):
            if len(order) < size:
                order = rng.permutation(len(z))
            batch, order = order[:size], order[size:]
            rows = z[batch]
            error = (PREDICTIONS[task](self._outputs(rows)) - targets[batch]) / size  # (B, K)
            gradient = np.concatenate([rows.T @ error, error.sum(axis=0, keepdims=True)])
            gradient[:-1] += self.weight[:-1] / len(z)  # L2, C = 1 in scikit-learn's terms
            mean += (1 - BETAS[0]) * (gradient - mean)
            square += (1 - BETAS[1]) * (gradient**2 - square)
            scale = np.sqrt(square / (1 - BETAS[1] ** update)) + 1e-8
            lr = LR * (1 - (update - 1) / updates)
            self.weight -= lr * mean / (1 - BETAS[0] ** update) / scale


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _sigmoid(logits: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * logits))  # does not overflow


PREDICTIONS: dict[TargetType, Callable[[Array], Array]] = {
    "classification": _softmax,
    "multilabel": _sigmoid,
    "regression": lambda outputs: outputs,
}
"""The prediction function of the outputs by task."""


# ---- arrays ------------------------------------------------------------------------------------


def _array(values: Any) -> Array:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)


def _flat(inputs: Array) -> Array:
    return inputs.reshape(len(inputs), -1).astype(np.float32, copy=False)


def _count_classes(every: list[Array]) -> int:
    return 1 + max(int(targets.max()) for targets in every if len(targets))


def _encoded(targets: Array, num_classes: int) -> Array:
    """Return targets as (N, K) numbers; classes become one-hot vectors."""
    if num_classes:
        return np.eye(num_classes, dtype=np.float32)[targets.astype(np.int64)]
    return targets.reshape(len(targets), -1).astype(np.float32)


def _deviation(x: Array) -> Array:
    """Return the standard deviation of each column; 1 for a constant column."""
    deviation = x.std(axis=0)
    return np.where(deviation > 1e-6, deviation, np.float32(1))


# ---- measuring ---------------------------------------------------------------------------------


def _measure_all(
    held_out: Mapping[str, tuple[Array, Array]], task: TargetType, model: Callable[[Array], Array]
) -> dict[str, float]:
    return {
        f"{prefix}/{name}": float(value)
        for prefix, (inputs, targets) in held_out.items()
        if len(inputs)
        for name, value in MEASURES[task](model(inputs), targets).items()
    }


def _measure_classes(logits: Array, targets: Array) -> dict[str, Any]:
    losses = np.logaddexp.reduce(logits, axis=1) - (logits * targets).sum(axis=1)
    right = logits.argmax(axis=1) == targets.argmax(axis=1)
    rows = targets.sum(axis=0)  # of each class
    recalls = (targets * right[:, None]).sum(axis=0)[rows > 0] / rows[rows > 0]
    return {"loss": losses.mean(), "accuracy": right.mean(), "balanced_accuracy": recalls.mean()}


def _measure_labels(logits: Array, targets: Array) -> dict[str, Any]:
    losses = np.logaddexp(0, logits) - logits * targets
    predicted, true = logits > 0, targets > 0.5
    agreed, named = (predicted & true).sum(axis=0), predicted.sum(axis=0) + true.sum(axis=0)
    f1 = 2 * agreed / np.maximum(named, 1)
    return {"loss": losses.mean(), "accuracy": (predicted == true).mean(), "f1": f1.mean()}


def _measure_numbers(outputs: Array, targets: Array) -> dict[str, Any]:
    loss = ((outputs - targets) ** 2).mean()
    spread = ((targets - targets.mean(axis=0)) ** 2).mean()
    r2 = 1 - loss / spread if spread else 0.0
    return {"loss": loss, "mae": np.abs(outputs - targets).mean(), "rmse": np.sqrt(loss), "r2": r2}


MEASURES: dict[TargetType, Callable[[Array, Array], dict[str, Any]]] = {
    "classification": _measure_classes,
    "multilabel": _measure_labels,
    "regression": _measure_numbers,
}
"""The metrics of outputs (N, K) and targets (N, K) by task."""
