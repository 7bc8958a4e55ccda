"""Freezing: parts of a model that keep what they have learned while the others go on.

What is frozen has no gradient, takes no optimizer step and needs no memory for one. Norms that count what
they see (`BatchNorm`) go on counting: their averages are no parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from pellucid.errors import ConfigError, UnknownNameError
from pellucid.train.callbacks import Callback
from pellucid.train.layer_groups import stages

if TYPE_CHECKING:
    from pellucid.train.trainer import Trainer


def freeze(model: nn.Module, until: str | int) -> None:
    """Freeze a model from its input up to a place; that and what follows learns.

    Args:
        model: changed in place.
        until: the first part that learns, by its name such as "encoder.blocks.4" or "output"; or the number
            of stages that are frozen, counted from the input (see `pellucid.train.layer_groups`).

    Raises:
        UnknownNameError: there is no part of that name.
        ConfigError: not as many stages as are to be frozen, or nothing would learn.
    """
    cut = stages(model)
    if isinstance(until, int):
        if not 0 <= until < len(cut):
            raise ConfigError(
                f"The model has {len(cut)} stages, and the last must learn: expected 0 to {len(cut) - 1} "
                f"that are frozen, received {until}."
            )
        learning = {name for stage in cut[until:] for name in stage.parameters}
    else:
        learning = _from(model, until)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in learning)


def unfreeze(model: nn.Module) -> None:
    """Let all of a model learn."""
    model.requires_grad_(True)


def _from(model: nn.Module, until: str) -> set[str]:
    """The names of the parameters from a place on."""
    cut = stages(model)
    names = [name for stage in cut for name in stage.parameters]
    by_stage = {stage.name: next(iter(stage.parameters)) for stage in cut}
    inside = [name for name in names if f"{name}.".startswith(f"{until}.")]
    first = inside[0] if inside else by_stage.get(until)
    if first is None:
        parts = {
            name for name, part in model.named_modules() if name and any(True for _ in part.parameters())
        }
        raise UnknownNameError("part of the model", until, parts | set(by_stage))
    return set(names[names.index(first) :])


class GradualUnfreezing(Callback):
    """Trains the last stage alone for one epoch, then one more stage with every epoch.

    So that what a pretrained model knows is not undone by a head that knows nothing yet (Howard and Ruder
    2018, ULMFiT, section 3.3). When training ends, all of the model can learn again.
    """

    def on_train_start(self, trainer: Trainer) -> None:
        frozen = [name for name, parameter in trainer.model.named_parameters() if not parameter.requires_grad]
        if frozen:
            raise ConfigError(
                f"GradualUnfreezing expects a model of which all can learn; frozen: {', '.join(frozen[:3])}"
                f"{' ...' if len(frozen) > 3 else ''}.",
                remedy="model.options.freeze=null",
            )

    def on_epoch_start(self, trainer: Trainer) -> None:
        count = len(stages(trainer.model))
        freeze(trainer.model, max(0, count - 1 - trainer.epoch))

    def on_train_end(self, trainer: Trainer) -> None:
        unfreeze(trainer.model)
