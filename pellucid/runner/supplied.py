"""Objects that the caller passes in Python instead of naming them in the config: `fit(..., loss=my_loss)`.

An object that can be imported is named in the config as `package.module:attribute`, so that the run can be
repeated from its `config.yaml`. Any other (a lambda, an instance) is described in `run.json` and must be
passed again to resume.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import FunctionType
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from pellucid.batch import map_tensors
from pellucid.config import Config, OptimizerConfig
from pellucid.config_text import is_reference
from pellucid.errors import ConfigError, UsageError
from pellucid.nn.device import device_of
from pellucid.nn.names import import_attribute
from pellucid.train.callbacks import Callback
from pellucid.train.catalogue import check_options, types_of
from pellucid.train.metrics import as_metrics
from pellucid.train.named_metrics import by_name
from pellucid.train.objective import Objective, measured_by_loss, with_loss
from pellucid.train.schedules import Factor
from pellucid.train.torch_schedules import stand_in, torch_schedule


@dataclass(frozen=True)
class Supplied:
    """The objects that the caller passed in; None or empty where the config decides.

    Attributes:
        loss: (outputs, targets) -> scalar.
        objective: the caller's own objective.
        metrics: one metric, several, or several by name; see `pellucid.train.metrics.as_metric`.
        callbacks: callbacks, or functions that are called with the trainer after every epoch.
        optimizer: a class, a function (parameters) -> optimizer, or an optimizer over the model's parameters;
            or one of these, or a name, for each phase of the objective, by its name.
        schedule: a function step -> factor, or a PyTorch scheduler: a class, a function (optimizer) ->
            scheduler, or an instance.
        data: the caller's own batches, with `validation` and `test`; see `pellucid.data.loaders`.
        sample_weight: one weight per training row, or the name of the column that holds them.
    """

    loss: Callable[..., Any] | None = None
    objective: Objective | None = None
    metrics: Any = None
    callbacks: Sequence[Any] = ()
    optimizer: Any = None
    schedule: Any = None
    data: Any = None
    validation: Any = None
    test: Any = None
    sample_weight: Any = None

    def optimizer_for(self, phase: str | None) -> Any:
        """Return the optimizer that was passed for a phase; None where the config names it."""
        mine = self.optimizer.get(phase) if isinstance(self.optimizer, Mapping) else self.optimizer
        return None if isinstance(mine, str) else mine

    def held_out(self) -> dict[str, Any]:
        """Return the batches to evaluate on, by split."""
        splits = {"validation": self.validation, "test": self.test}
        return {split: source for split, source in splits.items() if source is not None}

    def described(self) -> dict[str, Any]:
        """Describe the objects in words, for `run.json`."""
        parts = {name: getattr(self, name) for name in ("loss", "objective", "optimizer", "schedule")}
        words: dict[str, Any] = {name: _described(part) for name, part in parts.items() if part is not None}
        for name, several in (("metrics", self.metrics), ("callbacks", self.callbacks)):
            if several:
                listed = several.values() if isinstance(several, Mapping) else several
                listed = [listed] if isinstance(listed, str) else listed
                words[name] = [
                    _described(part) for part in (listed if isinstance(listed, Iterable) else [listed])
                ]
        return words


NOTHING = Supplied()


def _described(part: Any) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping):
        return ", ".join(f"{name}: {_described(one)}" for name, one in part.items())
    if isinstance(part, Objective):
        return f"Objective {part.name}"
    if isinstance(part, Optimizer):
        plain = {k: v for k, v in part.defaults.items() if isinstance(v, (int, float, bool, tuple)) and v}
        return f"{type(part).__qualname__}({', '.join(f'{k}={v}' for k, v in plain.items())})"
    name = getattr(part, "__qualname__", None) or type(part).__qualname__
    module = getattr(part, "__module__", None) or type(part).__module__
    return f"{module}.{name}"


def import_object(key: str, name: str) -> Any:
    """Import the object that a key of the config names as `package.module:attribute`.

    Raises:
        ConfigError: it cannot be imported.
    """
    try:
        return import_attribute(key, name)
    except (ValueError, ImportError) as error:
        raise ConfigError(f"{key} is {name!r}: {error}") from None


def reference(part: Any) -> str | None:
    """Return `package.module:attribute` of an object that can be imported, else None."""
    module, name = getattr(part, "__module__", None), getattr(part, "__qualname__", None)
    if not module or not name or module == "__main__" or "<" in name:
        return None
    try:
        found: Any = importlib.import_module(module)
        for attribute in name.split("."):
            found = getattr(found, attribute)
    except (ImportError, AttributeError):
        return None
    return f"{module}:{name}" if found is part else None


# ---- objective -----------------------------------------------------------------------------------------


def customized(objective: Objective, config: Config, supplied: Supplied) -> Objective:
    """Return the objective of a task with the caller's loss and metrics.

    Raises:
        ConfigError: a loss is passed for an objective with several phases, or a metric is invalid.
    """
    loss = supplied.loss
    if loss is None and config.objective.loss and is_reference(config.objective.loss):
        loss = import_object("objective.loss", config.objective.loss)
    if loss is not None:
        if config.objective.label_smoothing:
            raise ConfigError(
                "objective.label_smoothing smooths the usual loss of classification, and loss= replaces it.",
                remedy="smoothing inside your loss: torch.nn.CrossEntropyLoss(label_smoothing=0.1)",
            )
        if config.objective.class_weights:
            raise ConfigError(
                "class_weight= weighs the usual loss of classification, and loss= replaces it.",
                remedy="weights inside your loss: torch.nn.CrossEntropyLoss(weight=...)",
            )
        compare = as_loss(loss, config.objective.loss_options)
        objective = with_loss(objective, compare)
        classes = objective.name == "classification" and _is_cross_entropy(loss)
        if supplied.data is not None and not (classes or config.objective.outputs):
            objective = measured_by_loss(objective, compare)
    named = [import_object("objective.metrics", name) for name in config.objective.metrics]
    metrics = (*as_metrics(named), *as_metrics(by_name(supplied.metrics, objective.name)))
    return replace(objective, metrics=(*objective.metrics, *metrics)) if metrics else objective


def _is_cross_entropy(loss: Any) -> bool:
    """Whether the measures of classification go with a loss."""
    kinds = (nn.CrossEntropyLoss, nn.NLLLoss)
    return loss is F.cross_entropy or loss in kinds or isinstance(loss, kinds)


def expects_logits(loss: Any) -> bool:
    """Whether a loss, or the usual one where it is None, applies a softmax or sigmoid to the outputs."""
    kinds = (nn.CrossEntropyLoss, nn.BCEWithLogitsLoss)
    functions = (F.cross_entropy, F.binary_cross_entropy_with_logits)
    return loss is None or loss in (*kinds, *functions) or isinstance(loss, kinds)


def measurable(
    objective: Objective, model: nn.Module, prepared: Any, config: Config, supplied: Supplied
) -> Objective:
    """Return the objective; if its metrics fail on the model's outputs, one that measures only the loss."""
    if supplied.loss is None:
        return objective
    batch, training = next(iter(prepared.training_batches())), model.training
    device = device_of(model)
    try:
        with torch.no_grad():
            objective.measure(model.eval(), map_tensors(lambda tensor: tensor.to(device), batch))
        return objective
    except Exception:
        return measured_by_loss(objective, as_loss(supplied.loss, config.objective.loss_options))
    finally:
        model.train(training)


def may_change(supplied: Supplied) -> bool:
    """Whether objects of the caller may hold values that change during training, unseen by a program."""
    loss = supplied.loss
    plain = isinstance(loss, FunctionType) and loss.__closure__ is None
    of_torch = (getattr(loss, "__module__", None) or type(loss).__module__).startswith("torch.")
    return supplied.objective is not None or not (loss is None or plain or of_torch)


def without_own_loss(config: Config) -> Config:
    """Return the config for a task, which only knows the losses of the catalogue."""
    own = config.objective.loss is not None and is_reference(config.objective.loss)
    return config.patch({"objective.loss": None, "objective.loss_options": {}}) if own else config


def as_loss(loss: Any, options: Mapping[str, Any] | None = None) -> Callable[..., Any]:
    """Return a loss from a function or module (outputs, targets) -> scalar, or from a class of such modules.

    Args:
        loss: the function, module or class.
        options: further arguments of the function, or arguments of the class.

    Raises:
        UnknownNameError: there is no such option.
        ConfigError: it is none of these, or the value of an option is not of its type.
    """
    options = loss_arguments(loss, options or {})
    if isinstance(loss, type) and issubclass(loss, nn.Module):
        loss, options = loss(**options), {}
    if isinstance(loss, nn.Module) and any(True for _ in loss.parameters()):
        raise ConfigError(
            f"The loss {type(loss).__name__} has parameters, which no optimizer would move.",
            remedy="make it a part of the model, and return from forward what it needs",
        )
    if callable(loss):
        return partial(loss, **options) if options else loss
    raise ConfigError(
        f"loss= expects a function (outputs, targets) -> scalar or a name, received {loss!r:.80}."
    )


def loss_arguments(loss: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return `objective.loss_options` as arguments of the caller's own loss.

    Raises:
        UnknownNameError: it has no such argument.
        ConfigError: a value is not of the argument's type, or the loss is an instance, whose options are set.
    """
    if not options:
        return {}
    if isinstance(loss, nn.Module):
        raise ConfigError(
            f"objective.loss_options are set, and loss= is an instance of {type(loss).__name__}, which has "
            "its options already.",
            remedy=f"loss={type(loss).__name__}(...) with these options, or the class itself",
        )
    names = argument_names(loss, skip=0 if isinstance(loss, type) else 2)
    if names is None:
        return dict(options)
    owner = f"the loss {getattr(loss, '__name__', 'passed as loss=')}"
    return check_options(owner, options, types_of(loss, names), "objective.loss_options")


def argument_names(loss: Callable[..., Any], skip: int = 0) -> list[str] | None:
    """Return the names of the arguments of a function after the first ones; None if it takes any."""
    try:
        parameters = list(inspect.signature(loss).parameters.values())
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return [
        parameter.name for parameter in parameters[skip:] if parameter.kind is not parameter.VAR_POSITIONAL
    ]


# ---- optimizer and schedule ------------------------------------------------------------------------------


def make_optimizer_of(optimizer: Any, section: OptimizerConfig) -> Callable[..., Optimizer]:
    """Return a function parameters -> optimizer from a class, a function or an instance.

    Args:
        optimizer: what was passed.
        section: the learning rate and other settings of the phase it is for.

    Raises:
        UsageError: it is none of these.
    """
    if isinstance(optimizer, Optimizer):
        if section.lr != lr_of(optimizer):
            raise UsageError(
                f"lr={section.lr:g} and an optimizer with lr={lr_of(optimizer):g} were passed.",
                remedy="set the learning rate in the optimizer, or pass its class and lr=",
            )
        _refuse_ignored(section, {"lr"}, optimizer)
        return lambda parameters: _check_parameters(optimizer, parameters)
    if not callable(optimizer):
        raise UsageError(
            "optimizer= expects a name, an optimizer class, a function of parameters or an optimizer, "
            f"received {optimizer!r:.80}."
        )
    if isinstance(optimizer, type) and issubclass(optimizer, torch.optim.LBFGS):
        raise UsageError("LBFGS needs a closure and is not supported.", remedy="another optimizer, e.g. Adam")
    known = _parameters(optimizer)
    options = {"lr": section.lr, **({"weight_decay": section.weight_decay} if section.weight_decay else {})}
    taken = {name: value for name, value in options.items() if name in known} | section.options

    def make(parameters: Any, lr: float | None = None) -> Optimizer:
        chosen = taken if lr is None or "lr" not in known else {**taken, "lr": lr}
        listed = list(parameters.parameters() if isinstance(parameters, nn.Module) else parameters)
        try:
            made = optimizer([parameter for parameter in listed if parameter.requires_grad], **chosen)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"optimizer {_described(optimizer)}: {error}") from None
        if not isinstance(made, Optimizer):
            raise UsageError(
                f"optimizer= expects a function that returns an optimizer, received {type(made)}."
            )
        _refuse_ignored(section, known, made)
        return made

    return make


def _refuse_ignored(section: OptimizerConfig, known: set[str], optimizer: Optimizer) -> None:
    """Refuse a learning rate or weight decay that was passed next to an optimizer that does not take it."""
    usual = OptimizerConfig()
    for name in ("lr", "weight_decay"):
        value, own = getattr(section, name), optimizer.param_groups[0].get(name)
        if name not in known and value not in (getattr(usual, name), own):
            raise UsageError(
                f"{name}={value:g} was passed, and so was an optimizer that does not take it.",
                remedy=f"set {name} where the optimizer is made, or pass the class of the optimizer",
            )


def lr_of(optimizer: Any) -> float | None:
    """Return the learning rate an optimizer, a class or a function comes with; None if it has none."""
    if isinstance(optimizer, Optimizer):
        group = optimizer.param_groups[0]
        return float(group.get("initial_lr", group["lr"]))  # before a scheduler changed it
    try:
        default = inspect.signature(optimizer).parameters["lr"].default
    except (TypeError, ValueError, KeyError):
        return None
    return float(default) if isinstance(default, (int, float)) and default > 0 else None


def _parameters(function: Callable[..., Any]) -> set[str]:
    try:
        return set(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return set()


def _check_parameters(optimizer: Optimizer, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """Return an optimizer after checking that all its parameters belong to the model."""
    wanted = {id(parameter) for parameter in parameters}
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    if not held <= wanted:
        raise UsageError(
            f"The optimizer has {len(held - wanted)} parameters that do not belong to the model.",
            remedy="build it from model.parameters() of the model to train, or pass the optimizer's class; "
            'where an objective has several phases, one for each: optimizer={"generator": ..., ...}',
        )
    return optimizer


def make_schedule_of(
    schedule: Any, config: Config, steps: int, per_epoch: int, optimizer: Optimizer | None = None
) -> Factor:
    """Return step -> factor from a function or a PyTorch scheduler; see `torch_schedules.torch_schedule`.

    `optimizer` is the one that learns, where the caller passed it.
    """
    lr = float(optimizer.param_groups[0]["lr"]) if optimizer else config.optimizer.lr
    if not isinstance(schedule, LRScheduler) and not callable(schedule):
        raise UsageError(
            "schedule= expects a name, a function step -> factor or a PyTorch scheduler, received "
            f"{schedule!r:.80}."
        )
    if isinstance(schedule, LRScheduler) or _makes_scheduler(schedule, stand_in(optimizer, lr)):
        return torch_schedule(schedule, lr, steps, per_epoch, config.schedule.options, optimizer)
    return cast(Factor, schedule)


def _makes_scheduler(function: Callable[..., Any], optimizer: Optimizer) -> bool:
    """Whether a callable makes a scheduler of an optimizer, rather than a factor of a step."""
    if isinstance(function, type):
        return issubclass(function, LRScheduler)
    try:
        made = function(optimizer)
    except Exception:
        return "optimizer" in _parameters(function)
    return isinstance(made, LRScheduler)


# ---- callbacks ---------------------------------------------------------------------------------------------


class EpochFunction(Callback):
    """Call a function with the trainer after every epoch."""

    def __init__(self, function: Callable[[Any], Any]):
        self.function = function

    def on_epoch_end(self, trainer: Any) -> None:
        self.function(trainer)


def make_own_callbacks(config: Config, supplied: Supplied) -> list[Callback]:
    """Return the caller's callbacks, those named in the config first.

    Raises:
        UsageError: one of them is not a callback.
    """
    named = [import_object("train.callbacks", name) for name in config.train.callbacks]
    own = supplied.callbacks
    listed = list(own) if isinstance(own, Iterable) else [own]
    return [_callback(callback) for callback in [*named, *listed]]


def _callback(callback: Any) -> Callback:
    if isinstance(callback, Callback):
        return callback
    if isinstance(callback, type):
        if issubclass(callback, Callback):
            return callback()
        raise UsageError(
            f"callbacks= received the class {callback.__name__}, which is not a pellucid.Callback.",
            remedy=f"class {callback.__name__}(pellucid.Callback), and an instance of it",
        )
    if callable(callback):
        return EpochFunction(callback)
    raise UsageError(
        "callbacks= expects instances of pellucid.Callback or functions that take the trainer, "
        f"received {callback!r:.80}.",
        remedy="a class of your own: class MyCallback(pellucid.Callback), with the events of the guide "
        "docs/guides/add-a-callback.md; early stopping and schedules are settings of train and schedule",
    )
