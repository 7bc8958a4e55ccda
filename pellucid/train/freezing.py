"""Freezing: exclude parts of a model from training.

Frozen parameters have no gradient, no optimizer step and no optimizer state. `BatchNorm` layers still update
their running statistics, which are not parameters.
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
    """Freeze a model from its input up to a part; that part and all later ones are trained.

    Args:
        model: the model, changed in place.
        until: name of the first part to train, such as "encoder.blocks.4" or "output"; or the number of
            stages to freeze, counted from the input (see `pellucid.train.layer_groups`).

    Raises:
        UnknownNameError: there is no part of that name.
        ConfigError: the model has too few stages, so that nothing would be trained.
    """
    cut = stages(model)
    if isinstance(until, int):
        if not 0 <= until < len(cut):
            raise ConfigError(
                f"The model has {len(cut)} stages, and the last must be trained: expected 0 to "
                f"{len(cut) - 1} frozen stages, received {until}."
            )
        learning = {name for stage in cut[until:] for name in stage.parameters}
    else:
        learning = _from(model, until)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in learning)


def unfreeze(model: nn.Module) -> None:
    """Make all parameters of a model trainable."""
    model.requires_grad_(True)


def _from(model: nn.Module, until: str) -> set[str]:
    """Return the names of the parameters from a part on."""
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
    """Train only the last stage in the first epoch, and one more stage in every further epoch.

    This keeps a new head from destroying the pretrained weights (Howard and Ruder 2018, ULMFiT, section 3.3).
    When training ends, all parameters are trainable again.
    """

    def on_train_start(self, trainer: Trainer) -> None:
        frozen = [name for name, parameter in trainer.model.named_parameters() if not parameter.requires_grad]
        if frozen:
            raise ConfigError(
                f"GradualUnfreezing expects a model without frozen parts; frozen: {', '.join(frozen[:3])}"
                f"{' ...' if len(frozen) > 3 else ''}.",
                remedy="model.options.freeze=null",
            )

    def on_epoch_start(self, trainer: Trainer) -> None:
        count = len(stages(trainer.model))
        freeze(trainer.model, max(0, count - 1 - trainer.epoch))

    def on_train_end(self, trainer: Trainer) -> None:
        unfreeze(trainer.model)
