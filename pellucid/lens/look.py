"""`look`: one forward and backward pass, and what happened in every module."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pellucid.batch import describe
from pellucid.errors import ConfigError, UsageError
from pellucid.lens.capture import Call, capture, copied
from pellucid.lens.crash import explain_crash
from pellucid.lens.passes import Pass, run_pass
from pellucid.lens.tensors import TensorRecord, records_in
from pellucid.lens.trace import CallRecord, Trace
from pellucid.lens.work import LAZY, Work, version_of, work_of


def look(
    model: nn.Module,
    batch: Any,
    *,
    loss: Any = None,
    optimizer: Any = None,
    gradients: bool = True,
    flops: bool = True,
) -> Trace:
    """Compute a batch and return what happened in every module; nothing of the model is changed.

    The model is computed in the mode that it is in, training or evaluation. A computation that fails gives
    the trace of the modules before, and says where and why it failed.

    Args:
        model: any module. A compiled one is computed as its original.
        batch: inputs, (inputs, targets) or a dict; see `pellucid.batch.as_batch`.
        loss: (outputs, targets) -> scalar, a module, or a name in the loss catalogue; None: the usual one for
            these outputs and targets.
        optimizer: for the size of an update relative to the weights.
        gradients: compute the backward pass, too.
        flops: count floating-point operations, in a second forward pass.

    Returns:
        The trace; `print(trace)` shows it, and `trace["layer.0"].values()` computes the tensors of a module.

    Raises:
        UsageError: `model` is no module, or there is no batch.

    Example:
        >>> trace = look(nn.Linear(3, 2), torch.zeros(5, 3))
        >>> trace[""].outputs[0].shape
        (5, 2)
    """
    return look_at(work_of(model, batch, loss, optimizer), gradients=gradients, flops=flops)


def look_at(work: Work, *, gradients: bool = True, flops: bool = True) -> Trace:
    """Return the trace of a `Work`; see `look`."""
    found = run_pass(work, gradients=gradients)
    trace = Trace(type(work.model).__name__, training=work.model.training, batch=describe(work.batch))
    trace.notes += found.notes
    if found.loss is not None:
        trace.loss = None if found.loss.is_meta else found.loss.item()
        trace.loss_name = work.loss_name
    if found.changed:
        trace.notes.append(f"The forward pass changed its own weights: {', '.join(found.changed)}.")
    _describe(trace, work, found)
    if found.failed is not None:
        trace.crash = explain_crash(*found.failed, work, found.taken)
    elif flops:
        _count(trace, work)
    return trace


# ---- records ----------------------------------------------------------------------------------------------


def _describe(trace: Trace, work: Work, found: Pass) -> None:
    taken, gradients = found.taken, found.gradients
    shared = _shared(work.model)
    again = _recompute(work)
    trace._all_again = lambda: again(None)
    axis = 1
    axes: dict[Call, int] = {}
    for call in sorted((call for call in taken.calls if call.finished), key=lambda call: call.ended or 0):
        axes[call] = axis = _unit_axis(call.module, axis)
    for call in taken.calls:
        made = _call_record(call, axes.get(call, 1), gradients, work.lr)
        made.shared_with, made.source = shared.get(call.name, []), taken.hidden.get(call.name, "")
        made._again = lambda name, number: again(name)[number]
        trace.calls.append(made)
    trace.parameters, trace.trainable = _sizes(work.model.parameters())
    trace.not_called = taken.not_called if trace.calls and taken.failed is None else []
    trace.notes += [f"{name or 'The model'} is {why}." for name, why in taken.hidden.items()]


def _call_record(
    call: Call, axis: int, gradients: dict[int, Tensor | None], lr: dict[int, float]
) -> CallRecord:
    own = list(call.module.parameters(recurse=False))
    parameters, trainable = _sizes(own)
    made = CallRecord(
        call.name,
        type(call.module).__name__,
        call.number,
        call.depth,
        call.finished,
        inputs=_tensors((call.args, call.kwargs)),
        outputs=_tensors(call.output),
        gradients=_gradients(call.output, call.gradient),
        parameters=parameters,
        trainable=trainable,
    )
    if (first := made.activation) is not None and len(first.shape) > 1 and first.zero_units:
        axis = axis if len(first.shape) == 3 else 1 if len(first.shape) > 3 else -1
        made.units, made.dead_units = first.shape[axis], first.zero_units[axis]
    _add_norms(made, own, gradients, lr)
    return made


def _add_norms(
    made: CallRecord, own: list[nn.Parameter], gradients: dict[int, Tensor | None], lr: dict[int, float]
) -> None:
    """Add norms of weights and gradients to a record."""
    pairs = [(p, gradients.get(id(p))) for p in own if p.requires_grad and not isinstance(p, LAZY)]
    found = [(p, gradient) for p, gradient in pairs if gradient is not None and not p.is_meta]
    if not found:
        return
    made.weight_norm = _norm([p for p, _ in found])
    made.gradient_norm = _norm([gradient for _, gradient in found])
    if made.weight_norm:
        made.gradient_ratio = made.gradient_norm / made.weight_norm
        if all(id(p) in lr for p, _ in found):
            made.update_ratio = _norm([lr[id(p)] * gradient for p, gradient in found]) / made.weight_norm


def _norm(tensors: list[Any]) -> float:
    return float(sum(float(t.detach().float().square().sum()) for t in tensors) ** 0.5)


def _sizes(parameters: Any) -> tuple[int, int]:
    known = [p for p in parameters if not isinstance(p, LAZY)]
    return sum(p.numel() for p in known), sum(p.numel() for p in known if p.requires_grad)


def _tensors(value: Any) -> list[TensorRecord]:
    return [found for found in records_in(value) if found is not None]


def _gradients(output: Any, gradient: Any) -> list[TensorRecord | None]:
    """The gradients in the order of the outputs."""
    if isinstance(output, TensorRecord):
        return [gradient]
    parts = list(output.values()) if isinstance(output, dict) else output
    if not isinstance(parts, (tuple, list)):
        return []
    of = list(gradient.values()) if isinstance(gradient, dict) else gradient or [None] * len(parts)
    return [found for part, grad in zip(parts, of, strict=True) for found in _gradients(part, grad)]


def _unit_axis(module: nn.Module, before: int) -> int:
    """The axis of the units in a 3-D output: 1 after a convolution, -1 after a linear layer."""
    name = type(module).__name__
    if name.startswith(("Conv", "LazyConv", "BatchNorm", "GroupNorm", "InstanceNorm")):
        return 1
    if name.startswith(("Linear", "LazyLinear", "Embedding", "LayerNorm", "LSTM", "GRU", "RNN")):
        return -1
    return before


def _shared(model: nn.Module) -> dict[str, list[str]]:
    """Other names of a module, and names of modules that use one of its parameters."""
    names: dict[int, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        for part in (module, *module.parameters(recurse=False)):
            names.setdefault(id(part), []).append(name)
    shared: dict[str, list[str]] = {}
    for several in names.values():
        for name in several:
            others = [other for other in several if other != name and other not in shared.get(name, [])]
            if others:
                shared.setdefault(name, []).extend(others)
    return shared


# ---- floating-point operations -------------------------------------------------------------------------


def _count(trace: Trace, work: Work) -> None:
    """Add the floating-point operations of the forward pass to a trace."""
    try:
        with (
            work.undisturbed(),
            FlopCounterMode(display=False) as counter,
            torch.no_grad(),
            capture(work.model, values=lambda _: None, measure=counter.get_total_flops) as taken,
            contextlib.suppress(ConfigError),  # no loss is known, and none is needed
        ):
            work.forward()
    except Exception as error:  # torch cannot count all operations
        trace.notes.append(f"The floating-point operations could not be counted: {error}".split("\n")[0])
        return
    if len(taken.calls) != len(trace.calls):
        trace.notes.append("The floating-point operations could not be counted: the calls differ each time.")
        return
    uncounted = [_uncounted(call, made) for call, made in zip(taken.calls, trace.calls, strict=True)]
    for call, made in zip(taken.calls, trace.calls, strict=True):
        inside = sum(more for other, more in zip(taken.calls, uncounted, strict=True) if other.inside(call))
        made.flops = int(call.measured) + inside
    trace.flops = sum(made.flops or 0 for made in trace.calls if made.depth == 0)


def _uncounted(call: Call, made: CallRecord) -> int:
    """Operations of a recurrent layer, whose kernel torch does not count: two for each multiplication."""
    if not isinstance(call.module, nn.RNNBase) or call.measured or not made.inputs:
        return 0
    given = made.inputs[0].shape
    steps = given[0] * given[1] if len(given) == 3 else given[0]  # of all rows
    weights = sum(p.numel() for name, p in call.module.named_parameters() if name.startswith("weight"))
    return 2 * steps * weights


# ---- values on demand ----------------------------------------------------------------------------------


def _recompute(work: Work) -> Callable[[str | None], list[Call]]:
    """Return a function that computes the work again, and returns the calls of a module or of all."""
    versions = [version_of(parameter) for parameter in work.model.parameters()]

    def again(name: str | None) -> list[Call]:
        if versions != [version_of(parameter) for parameter in work.model.parameters()]:
            raise UsageError(
                "The weights have changed since the trace was made, so its values cannot be computed again.",
                remedy="look at the model again",
            )
        found = run_pass(work, values=copied, modules=None if name is None else [name])
        return found.taken.calls

    return again
