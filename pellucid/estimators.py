"""`Classifier` and `Regressor`: neural networks as scikit-learn estimators.

They can be cloned, pickled and used in pipelines and grid searches, and they pass scikit-learn's estimator
checks, but for one: a row of weight 2 is not two rows, since batches are drawn and the number of updates
follows from the rows. They train on all of X; the scaling is fitted on X and saved with the estimator. For
splits, a run folder and a report, use `pellucid.fit`.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, column_or_1d, validate_data
from torch import Tensor, nn

from pellucid.config import TrainConfig
from pellucid.data.batches import Batches, MemoryRows
from pellucid.data.row_weights import weighted_rows
from pellucid.data.sources.arrays import dense
from pellucid.errors import ModelError, UnknownNameError, UsageError
from pellucid.estimator_targets import Heads, read_heads
from pellucid.models.registry import BUILDERS, find
from pellucid.tasks.classification.objective import classification
from pellucid.tasks.regression.objective import regression
from pellucid.tasks.shared.model_interfaces import CountsData
from pellucid.train.graph import last_operation
from pellucid.train.objective import Objective, read_logits
from pellucid.train.optimizers import optimizer
from pellucid.train.output_forms import LOGIT, PROBABILITY, is_one, to_logits
from pellucid.train.schedules import schedule
from pellucid.train.seed import borrowed_generators, seed_everything
from pellucid.train.trainer import Trainer

PREDICT_BATCH = 4096
SAMPLED = 8
"""Rows that show in what form a module returns its outputs."""


class _Network(BaseEstimator):
    """Base class of both estimators; for the arguments see `Classifier`."""

    def __init__(
        self,
        model: str | nn.Module | Callable[..., nn.Module] = "mlp",
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
        tags.input_tags.sparse = True
        return tags

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the arguments by name; with `deep` also each option, as `options__hidden`."""
        params = super().get_params(deep=False)
        options = self.options if isinstance(self.options, dict) else {}
        return params | ({f"options__{name}": value for name, value in options.items()} if deep else {})

    def set_params(self, **params: Any) -> Any:
        """Set arguments by name; `options__hidden=[64]` sets one option of the model."""
        options = {name[9:]: value for name, value in params.items() if name.startswith("options__")}
        super().set_params(**{k: value for k, value in params.items() if not k.startswith("options__")})
        if options:
            self.options = {**(self.options or {}), **options}
        return self

    def _read(self, X: Any, y: Any, **checks: Any) -> tuple[Any, Any]:
        """Return X as numbers (N, F), and y (N,) or (N, K); a frame with texts or missing values keeps its
        columns, and arrays for a module of the user's own their shape."""
        self.row_shape_ = None
        if _is_mixed(X):
            X, y = validate_data(self, X, y, skip_check_array=True)
            self.columns_ = _columns().fit(X)
            X, y = self.columns_.transform(X), np.asarray(y)
            if len(X) != len(y):
                raise ValueError(f"X has {len(X):,} rows and y {len(y):,}: expected equal numbers.")
            return X, y
        self.columns_ = None
        X, y = validate_data(self, X, y, multi_output=True, **self._numbers(), **checks)
        if X.ndim > 2:
            self.row_shape_, X = X.shape[1:], X.reshape(len(X), -1)
        return dense(X), dense(y)

    def _numbers(self) -> dict[str, Any]:
        """How X is checked: only a module of the user's own takes more than two axes."""
        return {"dtype": np.float64, "accept_sparse": "csr", "allow_nd": not isinstance(self.model, str)}

    def _weights(self, X: np.ndarray, sample_weight: Any) -> Tensor | None:
        """Return one weight a row, scaled to a mean of 1; None without any."""
        if sample_weight is None:
            return None
        weights = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        if not weights.sum():
            raise ValueError("All sample weights are 0: expected some that are more.")
        return torch.as_tensor(weights / weights.mean(), dtype=torch.float32)

    def _train(
        self, X: np.ndarray, targets: Tensor, num_outputs: int, objective: Objective, weights: Tensor | None
    ) -> None:
        builder = self._builder()
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.scaler_ = StandardScaler().fit(X)
        with borrowed_generators():
            self.network_ = self._trained_network(builder, X, targets, num_outputs, objective, seed, weights)
        self.n_iter_ = self.epochs

    def _trained_network(
        self,
        builder: Any,
        X: np.ndarray,
        targets: Tensor,
        num_outputs: int,
        objective: Objective,
        seed: int,
        weights: Tensor | None,
    ) -> nn.Module:
        seed_everything(seed)
        network = self._network(builder, X.shape[1], num_outputs, objective.name)
        objective = self._as_returned(objective, network, self._inputs(X[:SAMPLED]))
        config = TrainConfig(
            epochs=self.epochs, batch_size=self.batch_size, seed=seed, device="cpu", execution="eager"
        )
        rows: Any = MemoryRows(self._inputs(X), targets)
        rows = rows if weights is None else weighted_rows(rows, weights)
        batches = Batches(rows, self.batch_size, seed=seed, shuffle=True)
        if isinstance(network, CountsData):
            network.count_batches(batches)
        make = partial(optimizer, "adamw", lr=self.lr, weight_decay=self.weight_decay)
        rise_and_fall = schedule("one_cycle", total_steps=len(batches) * self.epochs)
        Trainer(network, objective, make, config, schedule=rise_and_fall).fit(batches)
        return network.eval()

    def _as_returned(self, objective: Objective, network: nn.Module, inputs: Tensor) -> Objective:
        """Return the objective for the form in which a network returns its outputs."""
        return objective

    def _network(self, builder: Any, features: int, outputs: int, task: str) -> nn.Module:
        options = dict(self.options or {})
        if isinstance(builder, nn.Module):
            return copy.deepcopy(builder).float()
        if callable(self.model):
            made = builder(features, outputs, **options)
            if not isinstance(made, nn.Module):
                raise ModelError(f"model= made {type(made).__name__}: expected a module of PyTorch.")
            return made.float()
        taken = inspect.signature(builder).parameters
        for name in options:
            if name not in taken and not any(part.kind is part.VAR_KEYWORD for part in taken.values()):
                raise UnknownNameError(f"option of the model {self.model}", name, list(taken)[2:])
        named = {"task": task} if "task" in taken else {}
        return builder(self._shape(features), outputs, **{**named, **options})

    def _builder(self) -> Any:
        if callable(self.model):
            return self.model
        if not isinstance(self.model, str):
            raise UsageError(
                f"model= expects a name, a module or a function (n_features, n_outputs) -> module, received "
                f"{self.model!r:.80}."
            )
        if ":" not in self.model and self.model not in BUILDERS:
            raise UnknownNameError("model", self.model, BUILDERS)
        try:
            return find(self.model)
        except ValueError as error:
            raise UsageError(str(error)) from None

    def _shape(self, features: int) -> tuple[int, ...]:
        shape = self.input_shape or self.row_shape_ or (features,)
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
        if self.columns_ is not None:
            X = self.columns_.transform(validate_data(self, X, reset=False, skip_check_array=True))
        else:
            X = dense(validate_data(self, X, reset=False, **self._numbers()))
            if X.shape[1:] != (self.row_shape_ or X.shape[1:2]):
                raise ValueError(f"X has rows of shape {X.shape[1:]}: expected {self.row_shape_}.")
            X = X.reshape(len(X), -1)
        network: nn.Module = self.network_
        return torch.cat([read_logits(network(batch)) for batch in self._inputs(X).split(PREDICT_BATCH)])


def _is_mixed(X: Any) -> bool:
    """Whether this is a data frame of pandas with texts, classes or missing values."""
    if not hasattr(X, "select_dtypes"):
        return False
    numbers = X.select_dtypes(include=["number", "bool"])
    return numbers.shape[1] < X.shape[1] or bool(X.isna().any().any())


def _columns() -> Any:
    """Numbers with their median where they are missing, and one column for each text or class."""
    numbers = make_column_selector(dtype_include=["number", "bool"])
    others = make_column_selector(dtype_exclude=["number", "bool"])
    return make_column_transformer(
        (SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True), numbers),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), others),
        sparse_threshold=0,
    )


class Classifier(ClassifierMixin, _Network):
    """A neural network classifier as a scikit-learn estimator.

    Args:
        model: a name in `pellucid.models.BUILDERS`, or an import path, `package.module:attribute`; a module
            of PyTorch, copied for each `fit`; or a function (n_features, n_outputs, **options) -> module.
        options: options of the model's builder, e.g. {"hidden": [128, 64]}.
        input_shape: shape to reshape each row of X to, e.g. (1, 28, 28) for a CNN; None for no reshaping.
        epochs: passes over X.
        batch_size: rows per batch.
        lr: maximum learning rate of the one-cycle schedule.
        weight_decay: decoupled weight decay, applied only to weights.
        random_state: a seed, a generator, or None for a random seed.
        class_weight: "balanced", or a weight for each class by its label.

    X is numbers (N, F), also sparse, or a data frame, whose texts become one column for each and whose
    missing numbers the median; a module of your own also takes (N, T, C) or (N, C, H, W). y is (N,); or
    (N, K), any number of K labels as 0 and 1, or K classes a row. For two classes, a module may return one
    logit, or one probability after a sigmoid.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> Classifier(random_state=0).fit(X, y).score(X, y) > 0.9
        True
    """

    def __init__(
        self,
        model: str | nn.Module | Callable[..., nn.Module] = "mlp",
        *,
        options: dict[str, Any] | None = None,
        input_shape: tuple[int, ...] | None = None,
        epochs: int = 30,
        batch_size: int = 32,
        lr: float = 1e-2,
        weight_decay: float = 0.0,
        random_state: Any = None,
        class_weight: Any = None,
    ):
        super().__init__(
            model,
            options=options,
            input_shape=input_shape,
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            weight_decay=weight_decay,
            random_state=random_state,
        )
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Classifier:
        """Train on X (N, F) and classes y (N,) or (N, K); a row's loss counts by its `sample_weight` (N,)."""
        X, y = self._read(X, y)
        y = column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
        check_classification_targets(y)
        self.form_: str | None = None
        self.heads_: Heads | None = None if y.ndim == 1 else read_heads(y)
        if self.heads_ is None:
            self.classes_, targets = np.unique(y, return_inverse=True)
            if len(self.classes_) < 2:
                raise ValueError(
                    f"Classifier needs at least 2 classes, received 1 class: {self.classes_[0]!r}."
                )
            classes, outputs = torch.as_tensor(targets, dtype=torch.int64), len(self.classes_)
        else:
            self.classes_, outputs = self.heads_.classes, self.heads_.num_outputs
            classes = self.heads_.encode(y)
        if self.class_weight is not None:
            by_class = compute_sample_weight(self.class_weight, y)
            sample_weight = by_class if sample_weight is None else by_class * np.asarray(sample_weight)
        weights = self._weights(X, sample_weight)
        objective = classification() if self.heads_ is None else self.heads_.objective()
        self._train(X, classes, outputs, objective, weights)
        return self

    def _as_returned(self, objective: Objective, network: nn.Module, inputs: Tensor) -> Objective:
        """Return the objective; for two classes and one output, that of a logit or a probability."""
        if self.heads_ is not None or len(self.classes_) != 2:
            return objective
        training = network.training
        outputs = read_logits(network.eval()(inputs))
        network.train(training)
        if is_one(outputs):
            self.form_ = PROBABILITY if last_operation(outputs) == "sigmoid" else LOGIT
        return classification(outputs=self.form_)

    def predict_proba(self, X: Any) -> Any:
        """Return the probabilities of the classes (N, K), in the order of `classes_`.

        Of several labels a row they are those of each label; of several classes a row, a list with an array
        for each.
        """
        convert, outputs = to_logits(self.form_) if hasattr(self, "form_") else None, self._outputs(X)
        outputs = outputs.double() if convert is None else convert(outputs.double())
        return outputs.softmax(1).numpy() if self.heads_ is None else self.heads_.probs(outputs)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each row, (N,); or the labels or classes of each row, (N, K)."""
        check_is_fitted(self)
        probs = self.predict_proba(X)
        return self.classes_[probs.argmax(1)] if self.heads_ is None else self.heads_.decode(probs)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy; of several labels or classes a row, the share of rows with all right."""
        if np.ndim(y) < 2:
            return super().score(X, y, sample_weight)
        return float(np.average((self.predict(X) == np.asarray(y)).all(1), weights=sample_weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = True
        return tags


class Regressor(RegressorMixin, _Network):
    """A neural network that predicts numbers, as a scikit-learn estimator.

    For the arguments see `Classifier`.
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Regressor:
        """Train on X (N, F) and numbers y (N,) or (N, K); a row counts by its `sample_weight` (N,)."""
        X, y = self._read(X, y, y_numeric=True)
        y = np.asarray(y, dtype=np.float64)
        self.target_mean_, std = y.mean(0), y.std(0)
        self.target_std_ = np.where(std > 0, std, 1.0)
        targets = torch.as_tensor((y - self.target_mean_) / self.target_std_, dtype=torch.float32)
        num_outputs = 1 if y.ndim == 1 else y.shape[1]
        self._train(X, targets, num_outputs, regression(), self._weights(X, sample_weight))
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the predicted numbers of each row (N,) or (N, K), in the units of y."""
        outputs = self._outputs(X).double().numpy().reshape(-1, *np.shape(self.target_mean_))
        return outputs * self.target_std_ + self.target_mean_
