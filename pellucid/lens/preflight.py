"""Check a model before the first step: one pass, and whatever is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from pellucid.batch import as_batch
from pellucid.diagnosis.preflight import InputFacts, Preflight, assess
from pellucid.errors import ConfigError
from pellucid.lens.crash import explain_crash
from pellucid.lens.passes import Pass, run_pass
from pellucid.lens.tensors import record
from pellucid.lens.watch.loss_graph import operations_after
from pellucid.lens.watch.structure import lost_layers
from pellucid.lens.work import Work, rates, work_of
from pellucid.record import Finding
from pellucid.train.graph import last_operation
from pellucid.train.objective import read_logits


def check(model: nn.Module, batch: Any, loss: Any = None, optimizer: Any = None) -> list[Finding]:
    """Compute one batch and return what is wrong, before time is spent; nothing of the model is changed.

    Args:
        model: any module.
        batch: inputs, (inputs, targets) or a dict; see `pellucid.batch.as_batch`.
        loss: (outputs, targets) -> scalar, a module, or a name in the loss catalogue; None: the usual one for
            these outputs and targets.
        optimizer: the one that will learn, or several.

    Returns:
        Findings, errors first: what fails and where; parameters that get no gradient, are frozen or in no
        optimizer; layers in a plain list; a softmax before a loss that expects logits; shapes that broadcast;
        labels out of range; values that are not finite; mixed dtypes and devices. Notes are not faults.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Linear(3, 2), nn.Softmax(1))
        >>> [finding.rule for finding in check(model, (torch.randn(4, 3), torch.tensor([0, 1, 1, 0])))]
        ['activation-before-loss']
    """
    optimizers = _several(optimizer)
    for one in optimizers:
        rates(one)  # refuses what is no optimizer
    work = work_of(model, batch, loss)
    return assess(_collect(work, run_pass(work), optimizers))


def _several(optimizer: Any) -> list[Any]:
    if optimizer is None:
        return []
    return list(optimizer) if isinstance(optimizer, (list, tuple)) else [optimizer]


def _collect(work: Work, found: Pass, optimizers: list[Any]) -> Preflight:
    """Return the facts that the rules assess."""
    names = {id(p): name for name, p in work.model.named_parameters()}
    learning = {id(p): p for p in work.parameters}
    held = {id(p) for one in optimizers for group in one.param_groups for p in group["params"]}
    crash = explain_crash(*found.failed, work, found.taken) if found.failed else None
    output, after = _after(found)
    batch = as_batch(work.batch)
    values = [(id, gradient) for id, gradient in found.gradients.items() if gradient is not None]
    return Preflight(
        crash=crash.seen if crash else "",
        crash_where=crash.where if crash else "",
        crash_fix=crash.fix if crash else "",
        crash_expected=crash.expected if crash else "",
        parameters=len(learning),
        without_gradient=tuple(names[id] for id, gradient in found.gradients.items() if gradient is None),
        zero_gradient=tuple(
            names[id] for id, gradient in values if not gradient.is_meta and not gradient.any()
        ),
        differentiated=bool(found.gradients),
        without_loss=found.without_loss,
        frozen=tuple(name for id, name in names.items() if id not in learning),
        not_called=() if crash else tuple(found.taken.not_called),
        lost_layers=lost_layers(work.model),
        optimizer=bool(optimizers),
        not_optimized=tuple(names[id] for id in learning if id not in held) if optimizers else (),
        foreign=len(held - names.keys()),
        inputs=tuple(_facts("inputs", batch.inputs)),
        targets=tuple(_facts("targets", batch.targets)),
        outputs=tuple(output.shape) if output is not None else None,
        activation=last_operation(output),
        after=tuple(after),
        dtypes=_count(str(p.dtype).removeprefix("torch.") for p in work.model.parameters()),
        devices=_count(str(p.device) for p in work.model.parameters()),
        training=work.model.training,
    )


def _after(found: Pass) -> tuple[Tensor | None, list[tuple[str, tuple[int, ...]]]]:
    """Return the first output, and what the loss made of it."""
    try:
        output = read_logits(found.outputs)
    except ConfigError:
        return None, []
    return output, operations_after(output, found.loss) if found.loss is not None else []


def _count(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values))


def _facts(name: str, value: Any) -> list[InputFacts]:
    """Return the tensors in inputs or targets, each with its name."""
    if isinstance(value, Tensor):
        of = record(value)
        return [InputFacts(name, of.shape, of.dtype, of.min, of.max, of.mean, of.std, of.non_finite or 0.0)]
    if isinstance(value, Mapping):
        return [found for key, part in value.items() for found in _facts(str(key), part)]
    if isinstance(value, (tuple, list)):
        return [found for place, part in enumerate(value) for found in _facts(f"{name}[{place}]", part)]
    return []
