"""Count what a training loop does: forward passes, backward passes and steps of its optimizers.

Calls are seen where `nn.Module.__call__` is entered (`lens.capture`), so a model that is copied, pickled or
scripted meanwhile carries nothing of the watch; gradients and steps are seen through hooks of tensors and
optimizers, which are not copied. No hook returns anything, so nothing is changed.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.diagnosis.watched import Loop, Spread
from pellucid.lens.capture import seen_by
from pellucid.lens.watch.spread import first_tensor, spread

SPREADS = 3
"""Forward passes without gradients whose inputs are measured."""
MEASURED, WAITED = 4, 2000
"""Forward passes without gradients that are counted; passes with gradients after which none is waited for."""
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
    """One parameter of an optimizer, at which it is seen what becomes of gradients.

    Attributes:
        checked: steps of the optimizer at which that was seen.
        stale: those before which a gradient was added to the one that the step before had used.
        emptied: those before which a gradient had arrived and was removed again.
        wasted: backward passes whose gradients were removed before a step, with weights that nobody moved.
    """

    def __init__(self) -> None:
        self.checked = self.stale = self.emptied = self.wasted = 0
        self.parameter: Tensor | None = None
        self.begin()

    def begin(self) -> None:
        """Start anew: no backward pass has been seen since the last step."""
        self._first, self._added_to_old, self._version = True, False, -1
        self._arrived = self._coming = False

    def gradient(self, parameter: Tensor, gradient: Tensor) -> None:
        """A backward pass is about to add a gradient."""
        self._coming = _any(gradient)
        left = parameter.grad is not None and _any(parameter.grad)
        if not left:
            self._added_to_old = False
        elif self._first:
            self._added_to_old = True
        moved = parameter._version != self._version  # by hand, as sharpness-aware minimization does
        self.wasted += not left and not self._first and self._arrived and not moved
        self._first, self._version = False, parameter._version

    def accumulated(self) -> None:
        """The gradient has been added to `.grad`; autograd.grad does not do that."""
        self._arrived = self._arrived or self._coming

    def step(self, parameter: Tensor) -> None:
        """The optimizer is about to step."""
        self.checked += 1
        self.stale += self._added_to_old
        self.emptied += self._arrived and (parameter.grad is None or not _any(parameter.grad))


def _any(gradient: Tensor) -> bool:
    values = gradient.coalesce().values() if gradient.is_sparse else gradient
    return bool((values != 0).any())


class _Calls:
    """Passes the calls of some modules on; see `capture.Observer`."""

    def __init__(
        self,
        modules: Sequence[nn.Module],
        begin: Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None],
        end: Callable[[nn.Module, Any], None] | None = None,
    ) -> None:
        self.modules, self._begin, self._end = modules, begin, end

    def begin(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> nn.Module:
        self._begin(module, args, kwargs)
        return module

    def end(self, call: nn.Module, output: Any) -> None:
        if self._end is not None:
            self._end(call, output)

    def fail(self, call: nn.Module) -> None:
        pass


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
        self.joint, self._task = 0, -1
        self._reached: set[int] = set()
        self.backwards = self.steps = self.early = self._unmeasured = 0
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
        self._seen_backward = guard(self._backward)
        self._handles: list[Any] = []
        self._seeing: contextlib.ExitStack | None = None
        self._measuring: contextlib.ExitStack | None = contextlib.ExitStack()
        self._measuring.enter_context(seen_by(_Calls(models, guard(self._measure))))

    def attach(self) -> None:
        """Set the hooks for a step; they may be set already."""
        if self._seeing is not None:
            return
        self.since_forward = {"backward"}  # whatever has happened in the step so far was not seen
        for anchor in self._anchors:
            anchor.begin()
        self._seeing = contextlib.ExitStack()
        calls = _Calls(self.models, self._guard(self._forward), self._guard(self._forwarded))
        self._seeing.enter_context(seen_by(calls))
        for index, optimizer in enumerate(self.optimizers):
            self._watch_optimizer(index, optimizer)

    def detach(self) -> None:
        """Remove the hooks until the next step that is attended to."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        if self._seeing is not None:
            self._seeing.close()
            self._seeing = None

    def _watch_optimizer(self, index: int, optimizer: torch.optim.Optimizer) -> None:
        guard, anchor = self._guard, self._anchors[index]

        def before(*_: Any) -> None:
            self._step(index)

        def after(*_: Any) -> None:
            anchor.begin()

        with contextlib.suppress(AttributeError):  # not one of PyTorch's
            self._handles.append(optimizer.register_step_pre_hook(guard(before)))
            self._handles.append(optimizer.register_step_post_hook(guard(after)))
        for parameter in _smallest(optimizer):
            self._watch_gradient(index, parameter)

    def _watch_gradient(self, index: int, parameter: Tensor) -> None:
        """Set hooks that know the parameter and this object weakly: what a tensor's hooks hold is never freed
        with it."""
        events, known = weakref.ref(self), weakref.ref(parameter)

        def backward(gradient: Tensor) -> None:
            if (me := events()) is not None and (tensor := known()) is not None:
                me._seen_backward(index, tensor, gradient)

        def accumulated(tensor: Tensor) -> None:
            if (me := events()) is not None and me._anchors[index].parameter is tensor:
                me._anchors[index].accumulated()

        self._handles.append(parameter.register_hook(backward))
        self._handles.append(parameter.register_post_accumulate_grad_hook(accumulated))

    # ---- the hooks -----------------------------------------------------------------------------------

    def _measure(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """See forward passes without gradients, until there were a few or it takes too long for one."""
        if torch.is_grad_enabled():
            self._unmeasured += 1
        elif self.attended:
            self.measured += 1
            self.measured_training += model.training
            if self.measured <= SPREADS:
                self.measured_inputs = spread(first_tensor(args or kwargs)) or self.measured_inputs
        if (self.measured >= MEASURED or self._unmeasured >= WAITED) and self._measuring is not None:
            self._measuring.close()
            self._measuring = None

    def _forward(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not torch.is_grad_enabled():
            return
        self.modes.append(model.training)
        self.since_forward.clear()
        if self.keep:
            self.arguments, self.called = (args, kwargs), model
            self._versions = {id(one): one._version for one in model.parameters()}

    def _forwarded(self, model: nn.Module, outputs: Any) -> None:
        if self.keep and torch.is_grad_enabled():
            self.outputs = outputs
            for call in self.after_forward:
                call(self._versions)

    def _backward(self, index: int, parameter: Tensor, gradient: Tensor) -> None:
        self._count_backward(index)
        anchor = self._anchors[index]
        if anchor.checked < CHECKED and (anchor.parameter is None or anchor.parameter is parameter):
            anchor.parameter = parameter
            anchor.gradient(parameter, gradient)

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
        if anchor.parameter is not None and self.steps_of[index] > 1 and anchor.checked < CHECKED:
            anchor.step(anchor.parameter)
        for call in self.before_step:
            call(index)

    # ---- the outcome ---------------------------------------------------------------------------------

    def loop(self, without_graph: int, ended: bool) -> Loop:
        """Return what was counted."""
        late = self.modes[len(self.modes) // 2 :]
        worst = max(
            self._anchors, key=lambda one: (one.stale + one.emptied) / max(1, one.checked), default=Anchor()
        )
        return Loop(
            attended=self.attended,
            forwards=len(self.modes),
            evaluating=late.count(False) / max(1, len(late)),
            measured=self.measured,
            measured_training=self.measured_training,
            backwards=self.backwards,
            steps=self.steps,
            checked=worst.checked,
            stale=worst.stale,
            emptied=worst.emptied,
            wasted=sum(anchor.wasted for anchor in self._anchors),
            early=self.early,
            joint=self.joint,
            without_graph=without_graph,
            ended=ended,
        )

    def forget(self) -> None:
        """Let go of the tensors of the last step."""
        self.arguments = self.outputs = self.called = None

    def close(self) -> None:
        """Remove all hooks."""
        self.detach()
        if self._measuring is not None:
            self._measuring.close()
            self._measuring = None
        self.forget()


def _smallest(optimizer: torch.optim.Optimizer) -> Iterable[Tensor]:
    """A few small parameters of an optimizer, of which the first to get a gradient becomes its anchor."""
    found = [one for group in optimizer.param_groups for one in group["params"] if one.requires_grad]
    leaves = [one for one in found if one.is_leaf and not isinstance(one, nn.UninitializedParameter)]
    few = sorted(leaves, key=Tensor.numel)[:3] + leaves[-1:]
    return list({id(one): one for one in few}.values())
