"""Count what a training loop does: forward passes, backward passes and steps of its optimizers.

Everything is seen through hooks that PyTorch offers; no hook returns anything, so nothing is changed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.diagnosis.watched import Loop, Spread
from pellucid.lens.watch.spread import first_tensor, spread

SPREADS = 3
"""Forward passes without gradients whose inputs are measured."""
MEASURED = 20
"""Forward passes without gradients that are counted."""
CHECKED = 64
"""How many steps it is checked whether old gradients were left."""
_SEVERAL = (nn.ModuleList, nn.ModuleDict)


def entries(model: nn.Module) -> list[nn.Module]:
    """Return the modules that a loop calls: the model, or those inside of one that is not called itself."""
    if isinstance(model, _SEVERAL) or not _has_forward(model):
        return [entry for child in model.children() for entry in entries(child)]
    return [model]


def _has_forward(model: nn.Module) -> bool:
    """Whether a model has a forward of its own; a LightningModule may have only training_step."""
    home = getattr(type(model).forward, "__module__", "") or ""
    return not home.startswith(("lightning.", "pytorch_lightning."))


class Anchor:
    """One parameter of an optimizer, at which it is seen whether old gradients were left.

    `stale` is set when a gradient is added to the one that the last step of the optimizer has used, and
    cleared when it turns out to have been removed before the next step.
    """

    def __init__(self) -> None:
        self.parameter: Tensor | None = None
        self.fresh = True  # no backward pass since the last step of its optimizer
        self.stale = False
        self.wasted = 0  # backward passes whose gradients were removed before a step
        self.arrived = False  # a gradient other than 0, since the last step of its optimizer

    def backward(self, parameter: Tensor, gradient: Tensor) -> None:
        left = parameter.grad is not None and bool((parameter.grad != 0).any())
        if not left:
            self.stale = False
        elif self.fresh:
            self.stale = True
        self.wasted += not left and not self.fresh and self.arrived
        self.fresh = False
        self.arrived = self.arrived or bool((gradient != 0).any())


class Events:
    """Hooks on the models and optimizers of a loop.

    Args:
        models: what the loop calls.
        optimizers: whose steps are counted.
        guard: wraps every hook, so that a fault in it never reaches the loop.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        optimizers: Sequence[torch.optim.Optimizer],
        guard: Callable[[Callable[..., None]], Callable[..., None]],
    ) -> None:
        self.models, self.optimizers = models, optimizers
        self.attended = self.measured = self.measured_training = 0
        self.modes: list[bool] = []  # of each forward pass: training
        self.joint, self.emptied, self._task = 0, 0, -1
        self._reached: set[int] = set()
        self.backwards = self.steps = self.early = self.checked = self.stale = 0
        self.since_forward: set[str] = set()
        self.steps_of = [0] * len(optimizers)
        self.arguments: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        self.outputs: Any = None
        self.called: nn.Module | None = None
        self.keep = True
        self.before_step: list[Callable[[int], None]] = []
        self.after_forward: list[Callable[[dict[int, int]], None]] = []
        self.measured_inputs: Spread | None = None
        self._versions: dict[int, int] = {}
        self._anchors = [Anchor() for _ in optimizers]
        self._guard = guard
        self._handles: list[Any] = []
        measure = guard(self._measure)

        def measuring(model: nn.Module, args: tuple[Any, ...]) -> None:
            """See forward passes without gradients; a function, which a copy of the model shares."""
            if not torch.is_grad_enabled():
                measure(model, args)

        self._measuring = [model.register_forward_pre_hook(measuring) for model in models]

    def attach(self) -> None:
        """Set the hooks for a step; they may be set already."""
        if self._handles:
            return
        self.since_forward = {"backward"}  # whatever has happened in the step so far was not seen
        for anchor in self._anchors:
            anchor.fresh, anchor.stale, anchor.arrived = True, False, False
        for model in self.models:
            handle = model.register_forward_pre_hook(self._guard(self._forward), with_kwargs=True)
            self._handles += [handle, model.register_forward_hook(self._guard(self._forwarded))]
        for index, optimizer in enumerate(self.optimizers):
            self._watch_optimizer(index, optimizer, self._guard)

    def detach(self) -> None:
        """Remove the hooks until the next step that is attended to."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _watch_optimizer(self, index: int, optimizer: torch.optim.Optimizer, guard: Any) -> None:
        def before(*_: Any) -> None:
            self._step(index)

        def after(*_: Any) -> None:
            self._stepped(index)

        with contextlib.suppress(AttributeError):  # not one of PyTorch's
            self._handles.append(optimizer.register_step_pre_hook(guard(before)))
            self._handles.append(optimizer.register_step_post_hook(guard(after)))
        anchor = self._anchors[index]
        for parameter in _smallest(optimizer):

            def backward(gradient: Tensor, parameter: Tensor = parameter) -> None:
                self._backward(index, anchor, parameter, gradient)

            self._handles.append(parameter.register_hook(guard(backward)))

    # ---- the hooks -----------------------------------------------------------------------------------

    def _measure(self, model: nn.Module, args: tuple[Any, ...]) -> None:
        if not self.attended:
            return
        self.measured += 1
        self.measured_training += model.training
        if self.measured <= SPREADS:
            self.measured_inputs = spread(first_tensor(args)) or self.measured_inputs
        if self.measured >= MEASURED:
            for handle in self._measuring:
                handle.remove()

    def _forward(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not torch.is_grad_enabled():
            return
        self.modes.append(model.training)
        self.since_forward.clear()
        if self.keep:
            self.arguments, self.called = (args, kwargs), model
            self._versions = {id(one): one._version for one in model.parameters()}

    def _forwarded(self, model: nn.Module, args: Any, outputs: Any) -> None:
        if self.keep and torch.is_grad_enabled():
            self.outputs = outputs
            for call in self.after_forward:
                call(self._versions)

    def _backward(self, index: int, anchor: Anchor, parameter: Tensor, gradient: Tensor) -> None:
        self._count_backward(index)
        if self.checked < CHECKED and (anchor.parameter is None or anchor.parameter is parameter):
            anchor.parameter = parameter
            anchor.backward(parameter, gradient)

    def _count_backward(self, index: int) -> None:
        """Count a backward pass once, whichever anchors it reaches; a step or forward pass ends it."""
        self.since_forward.add("backward")
        node = torch._C._current_graph_task_id()
        if node != self._task:
            self._task = node
            self.backwards += 1
            self._reached = set()
        if index not in self._reached:
            self._reached.add(index)
            self.joint += len(self._reached) == len(self.optimizers) > 1

    def _step(self, index: int) -> None:
        self.steps += 1
        self.steps_of[index] += 1
        if self.modes and "backward" not in self.since_forward and "step" not in self.since_forward:
            self.early += 1
        self.since_forward.add("step")
        anchor = self._anchors[index]
        if anchor.parameter is not None and self.steps_of[index] > 1 and self.checked < CHECKED:
            self.checked += 1
            self.stale += anchor.stale
            left = anchor.parameter.grad
            self.emptied += anchor.arrived and (left is None or not bool((left != 0).any()))
        for call in self.before_step:
            call(index)

    def _stepped(self, index: int) -> None:
        anchor = self._anchors[index]
        anchor.fresh, anchor.stale, anchor.arrived = True, False, False

    # ---- the outcome ---------------------------------------------------------------------------------

    def loop(self, without_graph: int, ended: bool) -> Loop:
        """Return what was counted."""
        late = self.modes[len(self.modes) // 2 :]
        return Loop(
            self.attended,
            len(self.modes),
            late.count(False) / max(1, len(late)),
            self.measured,
            self.measured_training,
            self.backwards,
            self.steps,
            self.checked,
            self.stale,
            self.emptied,
            sum(anchor.wasted for anchor in self._anchors),
            self.early,
            self.joint,
            without_graph,
            ended,
        )

    def forget(self) -> None:
        """Let go of the tensors of the last step."""
        self.arguments = self.outputs = self.called = None

    def close(self) -> None:
        """Remove all hooks."""
        self.detach()
        for handle in self._measuring:
            handle.remove()
        self.forget()


def _smallest(optimizer: torch.optim.Optimizer) -> Iterable[Tensor]:
    """A few small parameters of an optimizer, of which the first to get a gradient becomes its anchor."""
    found = [one for group in optimizer.param_groups for one in group["params"] if one.requires_grad]
    leaves = [one for one in found if one.is_leaf and not isinstance(one, nn.UninitializedParameter)]
    few = sorted(leaves, key=Tensor.numel)[:3] + leaves[-1:]
    return list({id(one): one for one in few}.values())
