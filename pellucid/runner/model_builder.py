"""Build the model that a config names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from pellucid import models
from pellucid.config import Config
from pellucid.data.preprocess import Preprocess
from pellucid.errors import ConfigError, ModelError, UnknownNameError
from pellucid.extensions import origin, recall
from pellucid.pretrained import input_type, pretrained, rebuild
from pellucid.record import Run
from pellucid.runner.supplied import argument_names
from pellucid.tasks import get_task
from pellucid.train.catalogue import check_options, types_of
from pellucid.train.freezing import freeze

PRETRAINED = "pretrained"
"""The `model.name` of a pretrained model; `model.weights` names its weights."""
OWN_MODEL = "custom"
"""The `model.name` of a module that the user passed."""
DERIVED = ("input_shape", "num_outputs", "vocab_size", "targets", "weights", "outputs")
"""Arguments of a builder that are derived from the data or from another key of the config."""


def make_model(
    config: Config, preprocess: Preprocess, architecture: Mapping[str, Any] | None = None
) -> nn.Module:
    """Build the model that a config names, for the shape of its data.

    Args:
        config: the whole config.
        preprocess: the preprocessing fitted on the data.
        architecture: the recorded architecture of a fine-tuned pretrained model, whose original files are no
            longer needed; None otherwise.

    Raises:
        UnknownNameError: there is no model or option of that name.
        ConfigError: an option has a wrong value, or the model needs other inputs.
    """
    builder = builder_of(config)
    derived, asked = _derived(builder, config, preprocess), model_options(config)
    _check_target_len(asked.get("max_target_len"), derived.get("max_target_len"))
    options = derived | asked
    task = get_task(config.objective.name)
    outputs = task.num_outputs(preprocess)
    if architecture is not None:
        return _rebuilt(architecture, outputs, options)
    if config.model.name == PRETRAINED:
        options |= {"weights": _weights(config), "outputs": task.outputs}
    try:
        return builder(preprocess.input_shape, outputs, **options)
    except (TypeError, ValueError, KeyError) as error:
        raise ConfigError(f"model: {error}") from None


def _derived(builder: Callable[..., Any], config: Config, preprocess: Preprocess) -> dict[str, Any]:
    """Return what a builder takes that the data and the task determine."""
    derived = {
        "vocab_size": preprocess.vocab_size,
        "targets": preprocess.encoded.target_channels,
        "task": config.objective.name,
        "max_target_len": preprocess.target.max_len if preprocess.target else None,
        "pooling": _pooling(config),
    }
    taken = inspect.signature(builder).parameters
    return {name: value for name, value in derived.items() if value is not None and name in taken}


def _pooling(config: Config) -> str | None:
    """Return the pooling of a model that answers at every step; None for any other."""
    each = get_task(config.objective.name).answers_each_step and config.model.name != PRETRAINED
    return "none" if each else None


def _check_target_len(asked: int | None, needed: int | None) -> None:
    if asked is not None and needed is not None and asked < needed:
        raise ConfigError(
            f"model.options.max_target_len is {asked}: expected {needed} or more, since targets have up to "
            f"{needed - 1} tokens and one that starts them.",
            remedy=f"leave it out; --set data.text.max_target_len={max(1, asked - 1)} cuts longer targets",
        )


def _rebuilt(architecture: Mapping[str, Any], outputs: int, options: Mapping[str, Any]) -> nn.Module:
    """Build a pretrained model again, without its files."""
    model = rebuild(architecture, outputs, options.get("dropout", 0.1))
    if options.get("freeze") is not None:
        freeze(model, options["freeze"])
    return model


def model_options(config: Config) -> dict[str, Any]:
    """Return the size and the options of a config's model, as arguments of its builder.

    Raises:
        UnknownNameError: there is no such model, or it has no such option.
        ConfigError: the value of an option is not of its type.
    """
    builder, section = builder_of(config), config.model
    sized = section.size and section.name != PRETRAINED  # its files determine the size
    options = {**({"size": section.size} if sized else {}), **section.options}
    names = argument_names(builder)
    if names is None:
        return options
    types = {name: hint for name, hint in types_of(builder, names).items() if name not in DERIVED}
    return check_options(f"the model {section.name!r}", options, types, "model.options")


def builder_of(config: Config) -> Callable[..., nn.Module]:
    """Return the builder of a config's model: built in, registered, or `package.module:attribute`.

    Raises:
        UnknownNameError: there is no model of that name.
        ConfigError: the attribute cannot be imported.
    """
    name = config.model.name
    if name == PRETRAINED:
        return pretrained
    if ":" not in name and name not in models.BUILDERS:
        raise UnknownNameError("model", name, [*models.BUILDERS, PRETRAINED])
    try:
        return models.find(name)
    except (ValueError, ImportError) as error:
        raise ConfigError(f"model.name: {error}") from None


def model_origin(config: Config) -> dict[str, str]:
    """Return where another process finds the model of a config, by its name; {} if it is ours or named by its
    import path."""
    name = config.model.name
    builder, by = models.BUILDERS.get(name), models.REGISTERED_BY.get(name, "")
    if builder is None or by.partition(".")[0] == "pellucid":
        return {}
    return {name: origin(builder, builder, by)}


def recall_model(run: Run) -> None:
    """Register the model of a run again, if another process registered it.

    Raises:
        ModelError: it is not found; names the module to import.
    """
    for name, where in run.facts.get("registered", {}).get("models", {}).items():
        reason = "" if name in models.BUILDERS else recall(where, partial(models.register, name))
        if reason or name not in models.BUILDERS:
            module = where.partition(":")[0] or "the module that registers it"
            raise ModelError(
                f"Run {run.id} trained the model {name!r}, which is not registered in this process: "
                f"{reason or f'{where} no longer registers it'}.",
                remedy=f"import {module} first, or pass model=; a model named module:attribute needs no "
                "registration",
            )


def reads_tokens(config: Config, fitted: Preprocess | None = None) -> bool:
    """Return whether the model of a config takes token ids; False for the caller's own module (unknown).

    Args:
        config: the whole config.
        fitted: the preprocessing of an already trained model, which knows it without the files of a
            pretrained one.
    """
    if config.model.name == PRETRAINED and fitted is not None:
        return fitted.vocab_size is not None
    if config.model.name == PRETRAINED:
        return input_type(_weights(config), config.model.options.get("part")) == "text"
    own = config.model.name == OWN_MODEL
    return not own and "vocab_size" in inspect.signature(builder_of(config)).parameters


def _weights(config: Config) -> str:
    if config.model.weights is None:
        raise ConfigError(
            "A pretrained model needs model.weights: a folder, a package or a hub id.",
            remedy="--set model.weights=sentence-transformers/all-MiniLM-L6-v2",
        )
    return config.model.weights
