"""One training step, stepped through with its numbers, on copies of model and optimizer."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.batch import describe
from pellucid.errors import UsageError
from pellucid.lens.capture import Call, Taken, capture, copied, map_tensors, original
from pellucid.lens.crash import explain_crash
from pellucid.lens.derivatives import local
from pellucid.lens.differences import FLOOR, Difference, differences
from pellucid.lens.passes import run_pass
from pellucid.lens.step_record import BackwardStage, Entry, ForwardStage, ParameterStep, Step
from pellucid.lens.tensors import TensorRecord, record
from pellucid.lens.updates import formula_of, in_words
from pellucid.lens.work import Work, work_of


def step_through(
    model: nn.Module,
    batch: Any,
    *,
    optimizer: Any = None,
    loss: Any = None,
    clip_grad_norm: float | None = None,
    entries: int = 2,
) -> Step:
    """Compute one training step with all its numbers; model and optimizer are left as they are.

    The stages are zero_grad, forward, loss, backward, clip and step. Every gradient is compared with central
    finite differences in float64 at sampled entries, layers with their derivative by the textbook, and the
    new weights with the optimizer's formula.

    Args:
        model: any module, in the mode in which it is trained; it is copied.
        batch: inputs, (inputs, targets) or a dict; see `pellucid.batch.as_batch`.
        optimizer: over the parameters of the model, with the state that it has (it is copied, too); or a
            function parameters -> optimizer. None: SGD with lr=0.01.
        loss: (outputs, targets) -> scalar, a module, or a name in the loss catalogue; None: the usual one.
        clip_grad_norm: largest norm of all gradients together; None: not clipped.
        entries: how many entries of each parameter are shown and compared; 0: none is compared.

    Raises:
        UsageError: forward, loss or backward fails, and where; the model cannot be copied; or the optimizer
            has none of its parameters, or is LBFGS.

    Example:
        >>> step = step_through(nn.Linear(3, 1), (torch.randn(4, 3), torch.randn(4, 1)))
        >>> step.largest_error < 1e-6
        True
    """
    own, steps = _copies(original(model), optimizer)
    work = work_of(own, batch, loss)
    left_over = {name: _norm(p.grad) for name, p in own.named_parameters()}
    before = {name: p.detach().clone() for name, p in own.named_parameters()}
    _check(work)
    checked = differences(work, entries) if entries else {}
    steps.zero_grad()
    with work.undisturbed(), capture(own, inputs=True, backward=True) as taken:
        value = work.forward()[1]
        value.backward()
    raw = {name: _dense(p.grad).clone() for name, p in own.named_parameters() if p.grad is not None}
    norm = sum(_norm(g) ** 2 for g in raw.values()) ** 0.5
    rules = _Rules(taken)
    backward = rules.backward()
    errors = rules.parameter_errors(own, raw)
    clipped = _clip(own, norm, clip_grad_norm)
    state = _states(steps, own)
    steps.step()
    parts = [
        _parameter(name, p, before[name], left_over[name], steps, state[name], errors.get(name), checked)
        for name, p in own.named_parameters()
    ]
    formula = formula_of(steps)
    return Step(
        type(steps).__name__,
        in_words(formula) if formula else "",
        _settings(steps),
        describe(work.batch),
        value.item(),
        work.loss_name,
        _loss(work),
        _forward(taken),
        backward,
        parts,
        norm,
        clipped,
        own,
    )


# ---- copies --------------------------------------------------------------------------------------------


def _copies(model: nn.Module, optimizer: Any) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Return copies of a model and of its optimizer, which moves the copy."""
    try:
        if isinstance(optimizer, torch.optim.Optimizer):
            own, steps = copy.deepcopy((model, optimizer))
            for parameter, before in zip(own.parameters(), model.parameters(), strict=True):
                parameter.grad = None if before.grad is None else before.grad.clone()
        else:
            own, steps = copy.deepcopy(model), None
    except Exception as error:
        raise UsageError(
            f"The {type(model).__name__} cannot be copied to step through it: {error}",
            remedy="detach tensors that are stored on the model, such as hidden states of an earlier step",
        ) from None
    if not all(parameter.is_leaf for parameter in own.parameters()):
        raise UsageError(f"A copy of the {type(model).__name__} cannot be trained, as of a scripted model.")
    if steps is None:
        make = optimizer or (lambda parameters: torch.optim.SGD(parameters, lr=0.01))
        steps = make([p for p in own.parameters() if p.requires_grad]) if callable(make) else make
    if not isinstance(steps, torch.optim.Optimizer):
        raise UsageError(f"optimizer= expects an optimizer of PyTorch, received {optimizer!r:.80}.")
    if isinstance(steps, torch.optim.LBFGS):
        raise UsageError(
            "LBFGS computes the loss several times within a step, which has no single gradient to show.",
            remedy="torch.optim.SGD or Adam, to see one step",
        )
    held = {id(p) for group in steps.param_groups for p in group["params"]}
    if not held & {id(p) for p in own.parameters()}:
        raise UsageError(
            "The optimizer has no parameter of the model.", remedy="make it from model.parameters()"
        )
    return own, steps


def _check(work: Work) -> None:
    """Refuse a model, batch and loss that cannot take a step.

    Raises:
        UsageError: says what fails, and where.
    """
    found = run_pass(work)
    if found.failed is not None:
        crash = explain_crash(*found.failed, work, found.taken)
        raise UsageError(f"No step can be taken. {crash} {crash.error.splitlines()[0][:200]}".strip())
    if found.notes:
        raise UsageError(f"No step can be taken. {found.notes[0]}")


# ---- forward and backward ------------------------------------------------------------------------------


def _forward(taken: Taken) -> list[ForwardStage]:
    return [
        ForwardStage(call.name, type(call.module).__name__, call.number, _first_record(call.output))
        for call in taken.calls
    ]


def _first(value: Any) -> Tensor | None:
    if isinstance(value, Tensor):
        return value
    parts = list(value.values()) if isinstance(value, dict) else value
    return next((found for part in parts if (found := _first(part)) is not None), None) if parts else None


def _first_record(value: Any) -> TensorRecord | None:
    found = _first(value) if isinstance(value, (Tensor, dict, list, tuple)) else None
    return None if found is None else record(found)


class _Rules:
    """The local derivatives of the calls of a pass, by formula."""

    def __init__(self, taken: Taken):
        self.taken = taken
        order = list(dict.fromkeys(reversed(taken.backward)))
        self.calls = order[::-1]
        self.found = {call: _local(call) for call in self.calls}

    def backward(self) -> list[BackwardStage]:
        return [self._stage(call) for call in self.calls]

    def _stage(self, call: Call) -> BackwardStage:
        found, kind = self.found[call], type(call.module).__name__
        upstream = _first_record(call.gradient)
        if found is None:
            return BackwardStage(call.name, kind, call.number, upstream)
        made = None if found.inputs is None else record(found.inputs)
        slope = None if found.derivative is None else record(found.derivative)
        error = None if found.inputs is None else _error(found.inputs, _by_autograd(call))
        return BackwardStage(call.name, kind, call.number, upstream, found.rule, slope, made, error)

    def parameter_errors(self, model: nn.Module, gradients: dict[str, Tensor]) -> dict[str, float]:
        """Compare the gradients with the sums of the formulas of all calls that use a parameter."""
        sums: dict[int, Tensor] = {}
        unknown: set[int] = set()
        for call in self.calls:
            found = self.found[call]
            for name, parameter in call.module.named_parameters(recurse=False):
                if found is None or name not in found.parameters:
                    unknown.add(id(parameter))
                else:
                    sums[id(parameter)] = sums.get(id(parameter), 0) + found.parameters[name]
        floor = FLOOR * max((g.abs().max().item() for g in gradients.values()), default=0.0)
        return {
            name: _error(sums[id(parameter)], gradients[name], floor)
            for name, parameter in model.named_parameters()
            if id(parameter) in sums and id(parameter) not in unknown and name in gradients
        }


@torch.no_grad()
def _local(call: Call) -> Any:
    x, y, g = _first(call.args), call.output, call.gradient
    if x is None or not isinstance(y, Tensor) or not isinstance(g, Tensor):
        return None
    return local(call.module, x, y, g)


def _by_autograd(call: Call) -> Tensor:
    """Return dL/dx of a call by autograd, computed again on a copy of its layer."""
    first = _first(call.args)
    assert first is not None
    x = first.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        y = copy.deepcopy(call.module)(x.clone())  # it may change its input in place
        return torch.autograd.grad(y, x, call.gradient)[0]


def _error(one: Tensor, other: Tensor, floor: float = 0.0) -> float:
    """The largest difference, relative to the largest value and at least to the floor."""
    if not one.numel():
        return 0.0
    size = max(one.abs().max().item(), other.abs().max().item(), floor)
    return (one - other).abs().max().item() / size if size else 0.0


# ---- clip and step -------------------------------------------------------------------------------------


def _clip(model: nn.Module, norm: float, most: float | None) -> float:
    """Clip the gradients as `nn.utils.clip_grad_norm_` does; return the factor."""
    if most is None:
        return 1.0
    nn.utils.clip_grad_norm_(model.parameters(), most)
    return min(1.0, most / (norm + 1e-6))


def _states(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, dict[str, Any]]:
    return {name: _copied(optimizer.state.get(p, {})) for name, p in model.named_parameters()}


def _copied(state: Mapping[str, Any]) -> dict[str, Any]:
    return map_tensors(copied, state)


def _parameter(
    name: str,
    parameter: nn.Parameter,
    before: Tensor,
    left_over: float,
    optimizer: torch.optim.Optimizer,
    state: dict[str, Any],
    gradient_error: float | None,
    checked: dict[str, list[Difference]],
) -> ParameterStep:
    gradient, after = None if parameter.grad is None else _dense(parameter.grad), parameter.detach()
    made = _copied(optimizer.state.get(parameter, {}))
    group = next((g for g in optimizer.param_groups if any(p is parameter for p in g["params"])), None)
    return ParameterStep(
        name,
        record(before),
        record(after),
        None if gradient is None else record(gradient),
        left_over,
        _shown(state),
        _shown(made),
        _formula_error(optimizer, group, before, gradient, state, after),
        gradient_error,
        _entries(before, gradient, state, made, after, checked.get(name, [])),
        checked.get(name, []),
    )


def _formula_error(
    optimizer: torch.optim.Optimizer,
    group: Mapping[str, Any] | None,
    before: Tensor,
    gradient: Tensor | None,
    state: Mapping[str, Any],
    after: Tensor,
) -> float | None:
    formula: Callable[..., Any] | None = formula_of(optimizer)
    if formula is None or group is None or gradient is None or not after.is_floating_point():
        return None
    expected, _ = formula(before.double(), gradient.detach().double(), state, group)
    rounding = 2 * torch.finfo(after.dtype).eps * before.double().abs()
    change = (expected - before.double()).abs().max().item()
    error = ((expected - after.double()).abs() - rounding).clamp(min=0).max().item()
    return error / change if change else error


def _shown(state: Mapping[str, Any]) -> dict[str, Any]:
    """An optimizer's state: tensors as records, single numbers as numbers."""
    return {
        key: value.item()
        if isinstance(value, Tensor) and value.numel() == 1
        else record(value)
        if isinstance(value, Tensor)
        else value
        for key, value in state.items()
    }


def _entries(
    before: Tensor,
    gradient: Tensor | None,
    state: Mapping[str, Any],
    made: Mapping[str, Any],
    after: Tensor,
    checked: list[Difference],
) -> list[Entry]:
    if gradient is None:
        return []
    return [
        Entry(
            one.index,
            before[one.index].item(),
            gradient[one.index].item(),
            _at(state, one.index, before.shape),
            _at(made, one.index, before.shape),
            after[one.index].item(),
        )
        for one in checked
    ]


def _at(state: Mapping[str, Any], index: tuple[int, ...], shape: torch.Size) -> dict[str, float]:
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    return {
        key: value[index].item() if value.shape == shape else value.item()
        for key, value in tensors.items()
        if value.shape == shape or value.numel() == 1
    }


def _settings(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    group = optimizer.param_groups[0]
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in group.items()
        if isinstance(value, (int, float, tuple)) and value not in (None, False)
    }


def _norm(gradient: Tensor | None) -> float:
    return 0.0 if gradient is None else _dense(gradient).double().norm().item()


def _dense(gradient: Tensor) -> Tensor:
    """Return a gradient as an ordinary tensor; that of an embedding may be sparse."""
    return gradient.detach().to_dense() if gradient.is_sparse else gradient.detach()


def _loss(work: Work) -> float:
    with work.undisturbed(), torch.no_grad():
        return work.forward()[1].item()
