"""`Classifier` and `Regressor`: neural networks as scikit-learn estimators.

They can be cloned, pickled and used in pipelines and grid searches, and they pass scikit-learn's estimator
checks. They train on all of X; the scaling is fitted on X and saved with the estimator. For splits, a run
folder and a report, use `pellucid.fit`.
"""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from pellucid.config import TrainConfig
from pellucid.data.batches import Batches, MemoryRows
from pellucid.errors import ModelError, UnknownNameError, UsageError
from pellucid.models.registry import BUILDERS, Builder, find
from pellucid.tasks.classification.objective import classification
from pellucid.tasks.regression.objective import regression
from pellucid.tasks.shared.model_interfaces import CountsData
from pellucid.train.objective import Objective
from pellucid.train.optimizers import optimizer
from pellucid.train.schedules import schedule
from pellucid.train.seed import borrowed_generators, seed_everything
from pellucid.train.trainer import Trainer

PREDICT_BATCH = 4096


class _Network(BaseEstimator):
    """Base class of both estimators; for the arguments see `Classifier`."""

    def __init__(
        self,
        model: str = "mlp",
        *,
        options: dict[str, Any] | None = None,
        input_shape: tuple[int, ...] | None = None,
        epochs: int = 30,
        batch_size: int = 32,
        lr: float = 1e-2,
        weight_decay: float = 0.0,
        random_state: Any = None,
    ):
        self.model = model
        self.options = options
        self.input_shape = input_shape
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.non_deterministic = self.random_state is None
        return tags

    def _train(self, X: np.ndarray, targets: Tensor, num_outputs: int, objective: Objective) -> None:
        builder = self._builder()
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.scaler_ = StandardScaler().fit(X)
        with borrowed_generators():
            self.network_ = self._trained_network(builder, X, targets, num_outputs, objective, seed)
        self.n_iter_ = self.epochs

    def _trained_network(
        self,
        builder: Builder,
        X: np.ndarray,
        targets: Tensor,
        num_outputs: int,
        objective: Objective,
        seed: int,
    ) -> nn.Module:
        seed_everything(seed)
        task = {"task": objective.name} if "task" in inspect.signature(builder).parameters else {}
        network = builder(self._shape(X.shape[1]), num_outputs, **{**task, **(self.options or {})})
        config = TrainConfig(
            epochs=self.epochs, batch_size=self.batch_size, seed=seed, device="cpu", execution="eager"
        )
        batches = Batches(MemoryRows(self._inputs(X), targets), self.batch_size, seed=seed, shuffle=True)
        if isinstance(network, CountsData):
            network.count_batches(batches)
        make = partial(optimizer, "adamw", lr=self.lr, weight_decay=self.weight_decay)
        rise_and_fall = schedule("one_cycle", total_steps=len(batches) * self.epochs)
        Trainer(network, objective, make, config, schedule=rise_and_fall).fit(batches)
        return network.eval()

    def _builder(self) -> Builder:
        if ":" not in self.model and self.model not in BUILDERS:
            raise UnknownNameError("model", self.model, BUILDERS)
        try:
            return find(self.model)
        except ValueError as error:
            raise UsageError(str(error)) from None

    def _shape(self, features: int) -> tuple[int, ...]:
        shape = self.input_shape or (features,)
        if int(np.prod(shape)) != features:
            raise ModelError(
                f"input_shape {shape} expects {int(np.prod(shape))} features, but X has {features}."
            )
        return tuple(shape)

    def _inputs(self, X: np.ndarray) -> Tensor:
        scaled = torch.as_tensor(self.scaler_.transform(X), dtype=torch.float32)
        return scaled.reshape(len(X), *self._shape(X.shape[1]))

    @torch.no_grad()
    def _outputs(self, X: Any) -> Tensor:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        network: nn.Module = self.network_
        return torch.cat([network(batch) for batch in self._inputs(X).split(PREDICT_BATCH)])


class Classifier(ClassifierMixin, _Network):
    """A neural network classifier as a scikit-learn estimator.

    Args:
        model: a name in `pellucid.models.BUILDERS`, or an import path, `package.module:attribute`.
        options: options of the model's builder, e.g. {"hidden": [128, 64]}.
        input_shape: shape to reshape each row of X to, e.g. (1, 28, 28) for a CNN; None for no reshaping.
        epochs: passes over X.
        batch_size: rows per batch.
        lr: maximum learning rate of the one-cycle schedule.
        weight_decay: decoupled weight decay, applied only to weights.
        random_state: a seed, a generator, or None for a random seed.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> Classifier(random_state=0).fit(X, y).score(X, y) > 0.9
        True
    """

    def fit(self, X: Any, y: Any) -> Classifier:
        """Train on X (N, F) and labels y (N,)."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, targets = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"Classifier needs at least 2 classes, received 1 class: {self.classes_[0]!r}.")
        self._train(X, torch.as_tensor(targets, dtype=torch.int64), len(self.classes_), classification())
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probabilities of the classes (N, K), in the order of `classes_`."""
        return self._outputs(X).double().softmax(1).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each row (N,)."""
        check_is_fitted(self)
        return self.classes_[self.predict_proba(X).argmax(1)]


class Regressor(RegressorMixin, _Network):
    """A neural network that predicts one number, as a scikit-learn estimator.

    For the arguments see `Classifier`.
    """

    def fit(self, X: Any, y: Any) -> Regressor:
        """Train on X (N, F) and numbers y (N,)."""
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        self.target_mean_, self.target_std_ = float(np.mean(y)), float(np.std(y)) or 1.0
        targets = torch.as_tensor((y - self.target_mean_) / self.target_std_, dtype=torch.float32)
        self._train(X, targets, 1, regression())
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the predicted number of each row (N,), in the units of y."""
        return self._outputs(X).double().squeeze(1).numpy() * self.target_std_ + self.target_mean_
