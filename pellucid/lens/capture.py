"""The one place for hooks: record what the modules of a model receive, return and get as gradients.

    with capture(model, backward=True) as taken:
        loss_fn(model(x), y).backward()
    taken.last("layers.0").output          # a copy, in the structure that the module returned
    taken.last("layers.0").gradient        # of the loss with respect to that output

Calls are seen where `nn.Module.__call__` is entered, as `torch.fx` does it. The modules themselves get no
hooks: torch chooses another kernel for a module that has any (`nn.TransformerEncoderLayer`), which would
change its output. Gradients are read by hooks on tensors, which are removed at the end and change nothing;
a backward hook on a module fails where its output is changed in place.

This file needs torch and `pellucid.nn` only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import functools
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pellucid.nn.attention import MultiHeadAttention, explicit_attention

Values = Callable[[Tensor], Any]
"""What to record of a tensor."""


def copied(tensor: Tensor) -> Tensor:
    """Return the values as they are now; a later change in place does not reach them."""
    return tensor.detach().clone()


def live(tensor: Tensor) -> Tensor:
    """Return the tensor itself, part of the graph; a change in place changes it."""
    return tensor


@dataclass(eq=False)
class Call:
    """One call of a module.

    Attributes:
        name: the name of the module in `model.named_modules()`; "" for the model itself.
        module: the module.
        number: which call of this module it is, from 0.
        parent: the call during which it was made; None for the first.
        args, kwargs: what it was called with, recorded before the call; empty without `inputs=True`.
        output: what it returned: tensors as `values` recorded them; dicts, and dataclasses as dicts.
        gradient: of what was differentiated with respect to each tensor of the output, in the same structure;
            None where no gradient arrived. Of several backward passes the last.
        ended: its place in the order in which calls returned, from 0; None where it did not return.
        attention: "scores" and "weights", (B, nh, T, S), of an attention layer with `attention=True`.
        measured: how much `measure` grew during the call, with the calls inside of it.
    """

    name: str
    module: nn.Module
    number: int
    parent: Call | None
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    output: Any = None
    gradient: Any = None
    ended: int | None = None
    attention: dict[str, Any] = field(default_factory=dict)
    measured: float = 0.0

    @property
    def finished(self) -> bool:
        """Whether it returned."""
        return self.ended is not None

    @property
    def depth(self) -> int:
        """Number of captured modules that it was called inside of."""
        return 0 if self.parent is None else self.parent.depth + 1

    def inside(self, outer: Call) -> bool:
        """Whether it was made during another call, at any depth, or is that call."""
        return self is outer or (self.parent is not None and self.parent.inside(outer))

    def __repr__(self) -> str:
        return f"Call({self.name!r}, {type(self.module).__name__}, number={self.number})"


@dataclass(eq=False)
class Taken:
    """What was captured.

    Attributes:
        model: the model; of a compiled one the original.
        calls: in the order in which they began.
        backward: calls in the order in which gradients of their outputs arrived.
        failed: the innermost call that raised, if that ended the whole; else None.
        hidden: why calls of a module cannot be seen, by its name, e.g. of a scripted one.
    """

    model: nn.Module
    names: dict[nn.Module, str]
    calls: list[Call] = field(default_factory=list)
    backward: list[Call] = field(default_factory=list)
    failed: Call | None = None
    hidden: dict[str, str] = field(default_factory=dict)

    def of(self, module: str | nn.Module) -> list[Call]:
        """Return all calls of a module, by itself or by its name; [] where it was not called."""
        wanted = self.names.get(module) if isinstance(module, nn.Module) else module
        return [call for call in self.calls if call.name == wanted]

    def last(self, module: str | nn.Module) -> Call:
        """Return the last call of a module.

        Raises:
            ValueError: it was not called.
        """
        found = self.of(module)
        if not found:
            name = module if isinstance(module, str) else type(module).__name__
            raise ValueError(f"The module {name!r} was not called while the model was captured.")
        return found[-1]

    @property
    def not_called(self) -> list[str]:
        """Names of the captured modules that were not called."""
        called = {call.name for call in self.calls}
        return [name for name in self.names.values() if name not in called]


@contextlib.contextmanager
def capture(
    model: nn.Module,
    modules: Iterable[str | nn.Module] | None = None,
    *,
    forward: bool = True,
    inputs: bool = False,
    backward: bool = False,
    values: Values = copied,
    measure: Callable[[], float] | None = None,
    attention: bool = False,
    keep_compiled: bool = False,
) -> Iterator[Taken]:
    """Record the calls of a model's modules while the block runs.

    Outputs and gradients of the model stay the same to the bit. A module that is called twice has two calls;
    one that has several names has the first of them. Modules that are run again in the backward pass
    (activation checkpointing) are recorded once.

    Args:
        model: any module. A compiled one is run as its original, since its programs do not call modules.
        modules: names or modules to record; None: all, with the model itself as "".
        forward: record outputs.
        inputs: record arguments.
        backward: record gradients of outputs; `backward` is called inside the block.
        values: what is recorded of each tensor, e.g. `live` or a function that returns a statistic. It may
            not change the tensor, and is called without gradients being recorded, except for `live`.
        measure: a number that is read when a call begins and when it ends, e.g. `time.perf_counter`.
        attention: let our attention layers compute step by step, so that scores and weights are there. This
            rounds differently from the fused kernel.
        keep_compiled: run compiled modules compiled; what is inside of them is then not seen.

    Raises:
        ValueError: there is no module of a name.

    Example:
        >>> model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
        >>> with capture(model, ["0"], values=lambda tensor: tuple(tensor.shape)) as taken:
        ...     _ = model(torch.zeros(5, 3))
        >>> taken.last("0").output
        (5, 2)
    """
    names, hidden = _names(model), _hidden(model)
    chosen = names if modules is None else _chosen(names, modules)
    taken = Taken(original(model), chosen, hidden=hidden)
    recorder = _Recorder(taken, forward, inputs, backward, values, measure)
    with contextlib.ExitStack() as stack:
        if not keep_compiled and _has_compiled(model):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        if attention:
            stack.enter_context(explicit_attention(original(model)))
        stack.callback(recorder.remove_hooks)
        stack.enter_context(seen_by(recorder))
        yield taken


@contextlib.contextmanager
def replaced_outputs(
    modules: Iterable[nn.Module], replace: Callable[[nn.Module, tuple[Any, ...], Any], Any]
) -> Iterator[None]:
    """Replace what modules return by `replace(module, args, output)` while the block runs.

    The one function here that changes what a model computes, for questions of the kind "what if".
    """
    handles = [module.register_forward_hook(replace) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def original(model: nn.Module) -> nn.Module:
    """Return the module that `torch.compile` made a compiled one of; any other as it is."""
    inner = getattr(model, "_orig_mod", None)
    return inner if isinstance(inner, nn.Module) else model


def map_tensors(function: Values, value: Any) -> Any:
    """Apply a function to every tensor in nested tuples, lists, dicts and dataclasses, which become dicts."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, Mapping):
        return {key: map_tensors(function, part) for key, part in value.items()}
    if isinstance(value, (tuple, list)):
        parts = [map_tensors(function, part) for part in value]
        return parts if isinstance(value, list) else tuple(parts)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            part.name: map_tensors(function, getattr(value, part.name, None))
            for part in dataclasses.fields(value)
        }
    return value


# ---- which modules --------------------------------------------------------------------------------------


def _names(model: nn.Module) -> dict[nn.Module, str]:
    """Name every module once, without the layer that `torch.compile` adds."""
    found: dict[nn.Module, str] = {}
    for name, module in original(model).named_modules():
        parts = [part for part in name.split(".") if part != "_orig_mod"]
        found.setdefault(original(module), ".".join(parts))
    return found


def _chosen(names: dict[nn.Module, str], modules: Iterable[str | nn.Module]) -> dict[nn.Module, str]:
    by_name = {name: module for module, name in names.items()}
    chosen: dict[nn.Module, str] = {}
    for wanted in [modules] if isinstance(modules, (str, nn.Module)) else modules:
        module = by_name.get(wanted) if isinstance(wanted, str) else original(wanted)
        if module is None or module not in names:
            near = difflib.get_close_matches(str(wanted), by_name, n=2) if isinstance(wanted, str) else []
            hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise ValueError(f"The model has no module {wanted!r:.80}.{hint}")
        chosen[module] = names[module]
    return chosen


def _has_compiled(model: nn.Module) -> bool:
    return any(
        original(part) is not part or getattr(part, "_compiled_call_impl", None) is not None
        for part in model.modules()
    )


def _hidden(model: nn.Module) -> dict[str, str]:
    """Say of which modules the inside cannot be seen."""
    return {
        name: "scripted: the modules inside of it are run by TorchScript, which no hook sees"
        for module, name in _names(model).items()
        if isinstance(module, torch.jit.ScriptModule) and any(True for _ in module.children())
    }


# ---- recording ------------------------------------------------------------------------------------------


class Observer(Protocol):
    """Sees the calls of modules; it may not change anything.

    Attributes:
        modules: whose calls it sees.
    """

    @property
    def modules(self) -> Iterable[nn.Module]: ...

    def begin(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call begins; what is returned is handed to `end` or `fail`."""

    def end(self, call: Any, output: Any) -> None:
        """The call returned."""

    def fail(self, call: Any) -> None:
        """The call raised."""


class _Recorder:
    """Write calls into a `Taken`."""

    def __init__(
        self,
        taken: Taken,
        forward: bool,
        inputs: bool,
        backward: bool,
        values: Values,
        measure: Callable[[], float] | None,
    ):
        self.taken, self.forward, self.inputs, self.backward = taken, forward, inputs, backward
        self.measure = measure
        self.values = values if values is live else torch.no_grad()(values)
        self.open: list[Call] = []
        self.ends = 0
        self.counts: dict[str, int] = {}
        self.hooks: list[RemovableHandle] = []

    @property
    def modules(self) -> Iterable[nn.Module]:
        return list(self.taken.names)

    def begin(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        name = self.taken.names[module]
        call = Call(name, module, self.counts.get(name, 0), self.open[-1] if self.open else None)
        self.counts[name] = call.number + 1
        if self.inputs:
            call.args, call.kwargs = map_tensors(self.values, args), map_tensors(self.values, kwargs)
        self.taken.calls.append(call)
        self.open.append(call)
        if self.measure is not None:
            call.measured = -self.measure()
        return call

    def end(self, call: Call, output: Any) -> None:
        if self.measure is not None:
            call.measured += self.measure()
        self.open.remove(call)
        call.ended, self.taken.failed = self.ends, None
        self.ends += 1
        if self.forward:
            call.output = map_tensors(self.values, output)
        if self.backward:
            self._await_gradients(call, output)
        if isinstance(call.module, MultiHeadAttention) and call.module.attn_weights is not None:
            kept = {"scores": call.module.attn_scores, "weights": call.module.attn_weights}
            call.attention = map_tensors(self.values, kept)

    def fail(self, call: Call) -> None:
        self.open.remove(call)
        self.taken.failed = self.taken.failed or call

    def _await_gradients(self, call: Call, output: Any) -> None:
        arrived: dict[int, Any] = {}
        order: list[int] = []

        def structure() -> Any:
            places = iter(order)
            return map_tensors(lambda _: arrived.get(next(places)), output_shape)

        def arrive(place: int, gradient: Tensor) -> None:
            arrived[place] = self.values(gradient)
            call.gradient = structure()
            self.taken.backward.append(call)

        def await_gradient(tensor: Tensor) -> Tensor:
            order.append(len(order))
            if tensor.requires_grad:
                self.hooks.append(tensor.register_hook(functools.partial(arrive, order[-1])))
            return EMPTY

        output_shape = map_tensors(await_gradient, output)

    def remove_hooks(self) -> None:
        for hook in self.hooks:
            hook.remove()


EMPTY = torch.empty(0)
"""Stands for a tensor in a structure."""


# ---- seeing calls ---------------------------------------------------------------------------------------

_observers: dict[int, list[weakref.ref[Observer]]] = {}
"""Who sees a module, by its id; weakly, so that an observer that is dropped ends with its model."""
_lock = threading.RLock()  # garbage may be collected, and a context left, while it is held
_plain_call: Callable[..., Any] = nn.Module.__call__


def _seen_call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """Stands in for `nn.Module.__call__` while something is captured."""
    if torch.compiler.is_compiling():
        return _plain_call(module, *args, **kwargs)
    observers = _observers.get(id(module))
    if not observers or _in_backward() or torch._C._get_tracing_state() is not None:
        return _plain_call(module, *args, **kwargs)
    seeing = [observer for one in observers if (observer := one()) is not None]
    begun = [(observer, observer.begin(module, args, kwargs)) for observer in seeing]
    try:
        output = _plain_call(module, *args, **kwargs)
    except BaseException:
        for observer, call in begun:
            observer.fail(call)
        raise
    for observer, call in begun:
        observer.end(call, output)
    return output


def _in_backward() -> bool:
    """Whether a backward pass is running in this thread, which may run modules again."""
    return torch._C._current_graph_task_id() != -1


@contextlib.contextmanager
def seen_by(observer: Observer) -> Iterator[None]:
    """Let an observer see the calls of its modules; several may see the same module at the same time.

    An observer whose context is dropped without being left is forgotten with it.
    """
    global _plain_call
    modules, me = list(observer.modules), weakref.ref(observer)
    with _lock:
        for module in modules:
            _observers.setdefault(id(module), []).append(me)
        if nn.Module.__call__ is not _seen_call:
            _plain_call = nn.Module.__call__
            nn.Module.__call__ = _seen_call  # type: ignore[method-assign]
    try:
        yield
    finally:
        with _lock:
            for module in modules:
                _observers[id(module)].remove(me)
                if not _observers[id(module)]:
                    del _observers[id(module)]
            if not _observers and nn.Module.__call__ is _seen_call:
                nn.Module.__call__ = _plain_call  # type: ignore[method-assign]
