"""What a call of `fit` asks for: its arguments as the config, the data and the objects of a training run.

Call -> take (data/given.py): a dataset, a name, or batches
     -> the config: what follows from the objects passed, then the names, then the settings
     -> Plan: what `runner.train` needs
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from torch.optim import Optimizer

from pellucid import record, runner
from pellucid.config import Config, TrainConfig
from pellucid.data.contents import Contents, look
from pellucid.data.dataset import Dataset
from pellucid.data.given import Given, take
from pellucid.data.offers import Choice, choose, find_offers, proposals
from pellucid.errors import UnknownNameError, UsageError
from pellucid.record.spec import find_spec, task_for
from pellucid.runner.own_module import check_module
from pellucid.runner.supplied import Supplied, lr_of
from pellucid.train.objective import Objective

SHORT = {
    "epochs": "train.epochs",
    "minutes": "train.minutes",
    "batch_size": "train.batch_size",
    "seed": "train.seed",
    "device": "train.device",
    "execution": "train.execution",
    "watch": "train.watch",
    "path": "train.execution",
    "lr": "optimizer.lr",
    "weight_decay": "optimizer.weight_decay",
    "optimizer": "optimizer.name",
    "schedule": "schedule.name",
    "objective": "objective.name",
    "loss": "objective.loss",
    "loss_options": "objective.loss_options",
    "augment": "data.augment",
    "inputs": "data.num_inputs",
}
"""The settings `fit` takes by a short name; all others go through `settings`."""

ARGUMENTS = (
    "task",
    "target",
    "loss",
    "objective",
    "metrics",
    "callbacks",
    "optimizer",
    "schedule",
    "sample_weight",
    "class_weight",
)
"""Arguments of `fit` that a misspelled setting may have meant."""

READ_AS = ("classification", "multilabel", "regression")
"""Tasks that say how a target is read."""

UNLIKELY = 0.1
"""What is less likely than this is not what a model was meant for."""


@dataclass(frozen=True)
class Call:
    """The arguments of `fit` that say what to train, and on what; see there."""

    model: nn.Module | str | None
    data: Any
    task: str | None = None
    target: Any = None
    validation: Any = None
    test: Any = None
    objective: Objective | str | None = None
    loss: Callable[..., Any] | str | None = None
    metrics: Any = None
    callbacks: Sequence[Any] = ()
    optimizer: Any = None
    schedule: Any = None
    sample_weight: Any = None
    class_weight: Any = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    short: Mapping[str, Any] = field(default_factory=dict)

    def setting(self, name: str) -> Any:
        """Return a setting by its short or its dotted name; None where it was not passed."""
        return self.short.get(name, self.settings.get(SHORT.get(name, name)))


@dataclass(frozen=True)
class Plan:
    """What a call of `fit` trains.

    Attributes:
        config: all of it.
        dataset: the data, where it was passed or has been opened.
        passed: the data, where it was passed.
        module: the caller's own module; None for a model by name.
        supplied: other objects that were passed.
        choices: what was chosen for the data, with reasons.
    """

    config: Config
    dataset: Dataset | None
    passed: Dataset | None
    module: nn.Module | None
    supplied: Supplied
    choices: tuple[Choice, ...] = ()

    def record(self, run: record.Run) -> None:
        """Write what was chosen to a run that begins."""
        for choice in self.choices:
            run.choose(*choice)


def make_plan(call: Call) -> Plan:
    """Return what a call of `fit` trains.

    Raises:
        PellucidError: a setting, the data or the model does not fit; says what to change.
    """
    _check_names(call)
    check_module(call.model)
    given = _given(call)
    data, own_batches = given.data, not isinstance(given.data, (Dataset, str))
    _check_task(call, own_batches)
    _check_batches(call, own_batches)
    supplied = _supplied(call, given, own_batches)
    values = _values(call, given, supplied)
    dataset = data if isinstance(data, Dataset) else None
    config, opened, choices = _config(call, data, values)
    module = call.model if isinstance(call.model, nn.Module) else None
    return Plan(config, dataset or opened, dataset, module, supplied, choices)


# ---- what was passed -----------------------------------------------------------------------------


def _given(call: Call) -> Given:
    """Return the data as a dataset, a name or batches."""
    asked = call.objective if isinstance(call.objective, str) else call.setting("objective.name")
    asked = asked if asked in READ_AS else None
    target = call.target if call.target is not None else call.setting("data.target")
    target = ", ".join(map(str, target)) if isinstance(target, (list, tuple)) else target
    return take(
        call.data,
        call.validation,
        call.test,
        target=None if target is None else str(target),
        labelled=call.task is None and (asked is not None or not isinstance(call.objective, str)),
        task=_kind_of_target(call.task or call.objective) or asked,
        settings=call.settings,
    )


def _kind_of_target(task: Any) -> str | None:
    """Return the kind of target that a task of this name learns from; None for one without, or unknown."""
    if not isinstance(task, str):
        return None
    try:
        offers = find_offers(task)
        spec = find_spec(offers[0].task if offers else task)
    except UnknownNameError:
        return None  # it is refused where tasks are chosen
    return next(iter(spec.targets), None)


def _supplied(call: Call, given: Given, own_batches: bool) -> Supplied:
    """Return the objects that were passed where a name could have been, and the caller's own batches."""
    batches = {"data": given.data, "validation": given.validation, "test": given.test}
    return Supplied(
        loss=None if isinstance(call.loss, str) else call.loss,
        objective=call.objective if isinstance(call.objective, Objective) else None,
        metrics=call.metrics,
        callbacks=call.callbacks,
        optimizer=None if isinstance(call.optimizer, str) else call.optimizer,
        schedule=None if isinstance(call.schedule, str) else call.schedule,
        sample_weight=call.sample_weight,
        **(batches if own_batches else {}),
    )


# ---- what cannot be ------------------------------------------------------------------------------


def _check_names(call: Call) -> None:
    """Refuse settings that do not exist, and an objective that is none.

    Raises:
        UnknownNameError, UsageError: names what there is.
    """
    for name in call.short:
        if name not in SHORT:
            raise UnknownNameError("setting", name, sorted({*SHORT, *ARGUMENTS}))
    if not isinstance(call.objective, (Objective, str, type(None))):
        raise UsageError(
            f"objective= expects an Objective or the name of a task, received {call.objective!r:.80}.",
            remedy="objective=pellucid.Objective(...), or the name of a registered task",
        )


def _check_task(call: Call, own_batches: bool) -> None:
    """Refuse a task together with what also says what to learn, and no model for batches.

    Raises:
        UsageError: saying which of the two to leave out.
    """
    task = call.task
    if call.model is None and own_batches:
        raise UsageError(
            "model=None is the model that is suggested for a dataset, a file or a folder, and batches were "
            "passed.",
            remedy="pellucid.fit(model, batches)",
        )
    if task is None:
        return
    if call.objective is not None:
        raise UsageError(f"task={task!r} and objective= both say what to learn.", remedy="one of the two")
    if own_batches:
        raise UsageError(
            f"task={task!r} is learned from a dataset, a file or a folder, and batches were passed.",
            remedy="loss=..., or nothing: classes and numbers are recognized by the targets",
        )


def _check_batches(call: Call, own_batches: bool) -> None:
    """Refuse what is for datasets where batches were passed, and the reverse.

    Raises:
        UsageError: saying what to pass instead.
    """
    if own_batches and isinstance(call.objective, str):
        raise UsageError(
            f"objective={call.objective!r} is a task of datasets, and batches of your own were passed.",
            remedy="loss=..., or nothing: classes and numbers are recognized by the targets",
        )
    if not own_batches and "inputs" in call.short:
        raise UsageError(
            "inputs= counts the inputs in a batch of your own, and a dataset was passed.",
            remedy="settings={'data.inputs': ['column', ...]} to choose the input columns of a dataset",
        )


# ---- as settings ---------------------------------------------------------------------------------


def _values(call: Call, given: Given, supplied: Supplied) -> dict[str, Any]:
    """Return the settings of a call by dotted key, what was said most explicitly last."""
    objects = ("loss", "objective", "optimizer", "schedule")
    named = {SHORT[name]: value for name in objects if isinstance(value := getattr(call, name), str)}
    return {
        **_described(call.model, given.data, supplied, call.setting("lr")),
        **named,
        **_class_weights(call.class_weight),
        **given.settings,
        **{SHORT[name]: value for name, value in call.short.items()},
        **call.settings,
    }


def _described(model: nn.Module | str | None, data: Any, supplied: Supplied, lr: Any) -> dict[str, Any]:
    """What the config says about objects that were passed; `lr` is the common learning rate, if any."""
    values: dict[str, Any] = {"model.name": model if isinstance(model, str) else runner.OWN_MODEL}
    if isinstance(data, Dataset):
        values |= {"data.source": data.source.name, **_task_of(data)}
    else:
        values["data.source"] = data if isinstance(data, str) else _name(data)
    if supplied.data is not None or supplied.objective is not None:
        values["objective.name"] = "custom"
    for key, part in (("objective.loss", supplied.loss), ("optimizer.name", supplied.optimizer)):
        if part is not None and (name := runner.reference(part)):
            values[key] = name
    if isinstance(supplied.optimizer, Mapping):
        return values | _optimizers(supplied.optimizer, lr)
    if (own := lr_of(supplied.optimizer)) is not None:
        values["optimizer.lr"] = own
    if isinstance(supplied.sample_weight, str):
        values["data.sample_weight"] = supplied.sample_weight
    return values


def _optimizers(given: Mapping[str, Any], lr: Any) -> dict[str, Any]:
    """What the config says of an optimizer for each phase."""
    phases: dict[str, dict[str, Any]] = {}
    for phase, part in given.items():
        named = part if isinstance(part, str) else runner.reference(part)
        own = None if isinstance(part, str) else lr_of(part)
        phases[phase] = {"name": named} if named else {}
        if own is not None and (lr is None or isinstance(part, Optimizer)):
            phases[phase]["lr"] = own
    return {"optimizer.phases": phases}


def _task_of(dataset: Dataset) -> dict[str, Any]:
    """The task that follows from the target of a dataset."""
    spec = task_for(dataset.task)
    return {"objective.name": spec.name} if spec else {}


def _class_weights(given: Any) -> dict[str, Any]:
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return {"objective.class_weights": {str(name): float(value) for name, value in given.items()}}
    return {"objective.class_weights": True if isinstance(given, (str, bool)) else [float(w) for w in given]}


def _name(data: Any) -> str:
    if isinstance(data, Dataset):
        return data.name.rsplit("/", 1)[-1]
    return data if isinstance(data, str) else type(getattr(data, "dataset", data)).__name__


# ---- as a config ---------------------------------------------------------------------------------


def _config(
    call: Call, data: Any, values: dict[str, Any]
) -> tuple[Config, Dataset | None, tuple[Choice, ...]]:
    """Return the config, the data where it was opened for it, and what was chosen."""
    if call.task is not None or call.model is None:
        asked = call.task or (call.objective if isinstance(call.objective, str) else None)
        config, choices = _suggested(call.model, data, asked, values)
        return config, None, choices
    config = Config(name=_name(data)).patch(values)
    if isinstance(data, str) and "objective.name" not in values:
        return *_by_content(config, values), ()
    return config, None, ()


def _suggested(
    model: nn.Module | str | None, data: Dataset | str, task: str | None, values: dict[str, Any]
) -> tuple[Config, tuple[Choice, ...]]:
    """Return the config that is suggested for a task, or else the likeliest, with what was passed to `fit`,
    and what was chosen."""
    if isinstance(data, Dataset):
        values = {key: value for key, value in values.items() if key != "objective.name"}
    about = Config().patch({key: value for key, value in values.items() if key.startswith("data.")}).data
    contents = Contents(about, data, fixed=True) if isinstance(data, Dataset) else look(about)
    asked = {key.removeprefix("train."): values[key] for key in ("train.minutes",) if key in values}
    minutes = TrainConfig.model_validate(asked).minutes
    free = model is None and not any(key.startswith("model.") for key in values if key != "model.name")
    suggested = choose(contents, task).suggest(minutes if free else None)
    config = suggested.config.patch({"name": _name(data)})
    if model is None:
        changes = {key: value for key, value in values.items() if key != "model.name"}
        return config.patch(changes), suggested.choices
    if values["model.name"] != config.model.name:
        config = config.patch({"model": {"name": values["model.name"]}})
    return config.patch(values), ()


def _by_content(config: Config, values: dict[str, Any]) -> tuple[Config, Dataset | None]:
    """Return a config with the task that its data suggests, and the data where it was opened."""
    contents = look(config.data)
    if contents.predicts is not None:
        return config.patch(values | _task_of(contents.dataset)), contents.dataset
    possible = [found.suggest(None).config for found in proposals(contents) if found.likelihood > UNLIKELY]
    fitting = [found for found in possible if found.model.name == config.model.name]
    suggested = fitting[0] if fitting else choose(contents).suggest(None).config
    chosen = {"objective": suggested.objective.model_dump(), "data": suggested.data.model_dump()}
    return config.patch(chosen).patch(values), None
