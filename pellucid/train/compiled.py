"""A compiled update: traced with the shapes of a batch, compiled by torch's inductor, and then called without
any checks.

`torch.compile` checks every weight and module before each call, which takes as long as the arithmetic of a
small network. Here the update compares shapes itself, and a model that changes anything except the values of
its tensors is refused when it is compiled. A program also has the attributes of modules built in, such as `p`
of a dropout. `begin_epoch` compares them, and if a callback changed one, programs are compiled anew; changes
within an epoch need execution="eager". The plain `Update` does everything that cannot be compiled.
"""

# pyright: reportPrivateImportUsage=false
from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Optimizer

from pellucid.batch import leaves, only_tensors, rebuild, signature
from pellucid.errors import ModelError
from pellucid.record import files
from pellucid.train.adamw import FusedAdamW, adamw
from pellucid.train.device import instructions
from pellucid.train.execution import ExecutionMode
from pellucid.train.objective import Phase
from pellucid.train.pooling import FusedPooling
from pellucid.train.seed import rng_state, set_rng_state
from pellucid.train.update import Update

Forward = Callable[[nn.Module, Any], Any]
Call = Callable[..., Any]


class CompiledUpdate(Update):
    """An `Update` that runs as a program for batches of one signature, and as written for all others.

    Attributes:
        signature: types and shapes of the batches that programs are for: those of the first batch.
        refused: why nothing is compiled; "" if it is.
    """

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self.programs = self._new_programs()
        self._built_in: dict[str, Any] = {}
        self.signature: Any = None
        self.refused = ""

    def _new_programs(self) -> Programs:
        loss = self.phase.loss if self.outputs is None else self.phase.loss_and_outputs
        computed = self.mode.forward(loss, self.device)  # type: ignore[arg-type]

        def forward(model: nn.Module, batch: Any) -> Any:
            with FusedPooling():
                return computed(model, batch)

        return Programs(self.model, forward, self.parameters, self.clip_grad_norm)

    def keep_outputs(self) -> bool:
        kept = super().keep_outputs()
        self.programs = self._new_programs()
        return kept

    def begin_epoch(self) -> None:
        """Drop the programs if a module has changed since the last epoch, for example model.dropout.p."""
        now = module_state(self.model)
        if any(name not in now or now[name] != value for name, value in self._built_in.items()):
            self.programs = self._new_programs()
        self._built_in = now

    def __call__(self, batches: Sequence[Any]) -> Tensor:
        if len(batches) == 1 and not self.gradients_needed and self._fits(batches[0]):
            with self.rest_frozen():
                loss = self._attempt(lambda: self.programs.update(batches[0], self.optimizer))
            if loss is not None:
                if self.outputs is not None:
                    self.outputs = [*self.programs.outputs]
                self.accept(loss)
                return loss
        return super().__call__(batches)

    def backward(self, batch: Any, count: int) -> Tensor:
        loss = self._attempt(lambda: self.programs.backward(batch, count)) if self._fits(batch) else None
        if loss is None:
            return super().backward(batch, count)
        if self.outputs is not None:
            self.outputs += self.programs.outputs
        return loss

    def _fits(self, batch: Any) -> bool:
        """Whether programs are for batches like this one."""
        if self.refused:
            return False
        found = signature(batch)
        if self.signature is None:
            if not only_tensors(batch):
                self.refused = "the batch holds values that are not tensors"
                return False
            self.signature = found
        return self.signature == found

    def _attempt(self, run: Callable[[], Tensor | None]) -> Tensor | None:
        try:
            return run()
        except ModelError as error:
            self.refused = error.message
            return None

    def state_dict(self) -> dict[str, Any]:
        return {"signature": self.signature}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.signature = state.get("signature")


def make_update(
    model: nn.Module, phase: Phase, optimizer: Optimizer, mode: ExecutionMode, *args: Any, **options: Any
) -> Update:
    """Return the update of a phase in a mode; the arguments are those of `Update`."""
    kind = CompiledUpdate if mode.compiled else Update
    return kind(model, phase, optimizer, mode, *args, **options)


class Programs:
    """The programs of one phase: its gradients, and its whole update where the optimizer can be a part of it.

    Args:
        model: in training mode, and placed where it stays.
        forward: (model, batch) -> the loss, or the loss and the outputs, in the precision wanted.
        parameters: what the gradients are of.
        clip_grad_norm: norm that the gradient has at most in a whole update.

    Attributes:
        outputs: those of the last call, detached, where `forward` returns them; one tensor, or none.

    Both calls take a batch of tensors, of the same structure and shapes every time, and raise a ModelError
    the first time if torch cannot make a program of this model on this machine.
    """

    def __init__(
        self,
        model: nn.Module,
        forward: Forward,
        parameters: Sequence[nn.Parameter],
        clip_grad_norm: float | None = None,
    ):
        self.whole, self.parameters = _Whole(model, forward), list(parameters)
        self.clip_grad_norm = clip_grad_norm
        self._made: dict[Any, _Program] = {}
        self.outputs: list[Tensor] = []

    def backward(self, batch: Any, size: int) -> Tensor:
        """Add the gradients of a batch to those of the weights, and return the loss, detached.

        Args:
            batch: tensors.
            size: batches in the update, whose mean is learned from.
        """
        key = self._learned_now()
        program = self._made.get(key)
        if program is None:
            program = self._made[key] = _Program(self.whole, self._learned(), [], batch, _gradients)
        (loss, *gradients), self.outputs = program(*leaves(batch))
        alone = len({gradient.data_ptr() for gradient in gradients}) == len(gradients)
        for parameter, gradient in zip(program.reached, gradients, strict=True):
            share = gradient / size if size > 1 else gradient if alone else gradient.clone()
            parameter.grad = share if parameter.grad is None else parameter.grad + share
        return loss

    def update(self, batch: Any, optimizer: torch.optim.Optimizer) -> Tensor | None:
        """Take a whole step and return the loss, detached; from a loss that is not finite nothing is learned.

        Returns None, and does nothing, if this optimizer cannot be a part of a program.
        """
        if not isinstance(optimizer, FusedAdamW) or not optimizer.ready():
            return None
        key = (*self._learned_now(), optimizer.constants)
        program = self._made.get(key)
        if program is None:
            program = self._made[key] = self._make_update(batch, optimizer)
        if len(program.reached) < len(optimizer.weights):
            return None
        (loss, *_), self.outputs = program(*optimizer.moments, optimizer.advance(), *leaves(batch))
        return loss

    def _make_update(self, batch: Any, optimizer: FusedAdamW) -> _Program:
        clip, constants = self.clip_grad_norm, optimizer.constants
        groups = [number for number, part in enumerate(optimizer.group_states) for _ in part.weights]
        order = {id(weight): number for number, weight in enumerate(optimizer.weights)}

        def learn(loss: Tensor, found: list[tuple[Tensor, Tensor]], more: list[Tensor]) -> tuple[Tensor, ...]:
            """Move each weight, and its moments, in place."""
            *moments, scalars = more
            if len(found) < len(groups):
                return (loss,)  # not used: some weights have no gradient
            finite = loss.isfinite()
            gradients = [gradient for _, gradient in found]
            if clip is not None:
                total = torch.linalg.vector_norm(torch.stack([g.norm() for g in gradients]))
                gradients = [g * (clip / (total + 1e-6)).clamp(max=1.0) for g in gradients]
            for number, ((weight, _), gradient) in enumerate(zip(found, gradients, strict=True)):
                own = (weight, moments[2 * number], moments[2 * number + 1])
                group = groups[number]
                new = adamw(*own, gradient, scalars[group], *constants[group])
                for old, value in zip(own, new, strict=True):
                    old.copy_(torch.where(finite, value, old))
            return (loss,)

        learned = sorted(self._learned(), key=lambda weight: order.get(id(weight), len(order)))
        scalars = torch.zeros(len(optimizer.group_states), 3, device=optimizer.weights[0].device)
        return _Program(self.whole, learned, [*optimizer.moments, scalars], batch, learn)

    def _learned(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.parameters if parameter.requires_grad]

    def _learned_now(self) -> tuple[bool, ...]:
        return tuple(parameter.requires_grad for parameter in self.parameters)


def _gradients(loss: Tensor, found: list[tuple[Tensor, Tensor]], more: list[Tensor]) -> tuple[Tensor, ...]:
    return (loss, *(gradient for _, gradient in found))


Learn = Callable[[Tensor, list[tuple[Tensor, Tensor]], list[Tensor]], tuple[Tensor, ...]]
"""(loss, weights with their gradients, further tensors) -> what the program returns."""


class _Program:
    """One compiled function of batches.

    Attributes:
        reached: the learned parameters that the loss depends on.
    """

    def __init__(
        self, whole: _Whole, learned: list[nn.Parameter], more: list[Tensor], batch: Any, learn: Learn
    ):
        own = {id(weight) for weight in learned}
        tensors = [*whole.named_parameters(), *whole.named_buffers()]
        mine = {id(tensor): name for name, tensor in tensors if id(tensor) in own}
        names = [mine[id(weight)] for weight in learned]
        others = {name: tensor for name, tensor in tensors if id(tensor) not in own}
        rows = leaves(batch)
        sizes, make_batch = [len(names), len(others), len(more), len(rows)], rebuild(batch)
        self.reached: list[nn.Parameter] = []
        self._kept = 0

        def function(*arguments: Tensor) -> tuple[Tensor, ...]:
            weights, rest, further, parts = (list(part) for part in _split(arguments, sizes))
            with torch.enable_grad():
                leaves = [weight.detach().requires_grad_() for weight in weights]
                tensors = dict(zip(names, leaves, strict=True)) | dict(zip(others, rest, strict=True))
                made = functional_call(whole, tensors, (make_batch(parts),))
                loss, outputs = made if isinstance(made, tuple) else (made, None)
                gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
            pairs = list(zip(learned, weights, gradients, strict=True))
            self.reached = [parameter for parameter, _, gradient in pairs if gradient is not None]
            found = [(weight, gradient) for _, weight, gradient in pairs if gradient is not None]
            kept = (outputs.detach(),) if isinstance(outputs, Tensor) else ()
            self._kept = len(kept)
            return (*learn(loss.detach(), found, further), *kept)

        self._own = [*learned, *others.values()]
        with torch.no_grad():
            self._run = compiled(function, [*self._own, *more, *rows])

    def __call__(self, *tensors: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Run on what does not belong to the model: tensors as in `more`, then those of a batch.

        Returns:
            What `learn` returned, and the outputs: one tensor, or none.
        """
        with torch.no_grad():
            made = list(self._run(*self._own, *tensors))
        return (made[: -self._kept], made[-self._kept :]) if self._kept else (made, [])


def _split(tensors: Sequence[Tensor], sizes: list[int]) -> list[Sequence[Tensor]]:
    ends = [sum(sizes[: number + 1]) for number in range(len(sizes))]
    return [tensors[end - size : end] for end, size in zip(ends, sizes, strict=True)]


class _Whole(nn.Module):
    """A model with its loss, all of whose tensors can be given from outside."""

    def __init__(self, model: nn.Module, loss: Forward):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Any) -> Any:
        before = module_state(self)
        made = self.loss(self.model, batch)
        changed = [name for name, value in module_state(self).items() if before.get(name) != value]
        if changed:
            raise ModelError(
                f"This model cannot be a program: a step changes {changed[0]}, which is not in a tensor."
            )
        return made


@dataclass(frozen=True, eq=False)
class _Object:
    """An object compared by identity; held, so that no other object can have its place in memory."""

    held: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Object) and self.held is other.held

    def __hash__(self) -> int:
        return id(self.held)


def module_state(model: nn.Module) -> dict[str, Any]:
    """Return everything that modules hold except the numbers in tensors, in a form that == compares."""
    state: dict[str, Any] = {name: _Object(buffer) for name, buffer in model.named_buffers()}
    for name, module in model.named_modules():
        for key, value in vars(module).items():
            state[f"{name}.{key}"] = _comparable(value)
    return state


def _comparable(value: Any, depth: int = 3) -> Any:
    if isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)) and depth:
        return [_comparable(part, depth - 1) for part in value]
    if isinstance(value, dict) and depth:
        return {key: _comparable(part, depth - 1) for key, part in value.items()}
    if isinstance(value, set):
        return set(value)
    closed = isinstance(value, (Tensor, nn.Module, type)) or not hasattr(value, "__dict__")
    if closed or not depth:
        return _Object(value)
    return [_Object(value), _comparable(vars(value), depth - 1)]


def compiled(function: Call, inputs: list[Tensor]) -> Call:
    """Trace a function of tensors, and return the program that inductor makes of it.

    Raises:
        ModelError: it cannot be traced, e.g. since it branches on numbers, or there is no C++ compiler.
    """
    from torch._inductor import standalone_compile  # here, since they take a second to load
    from torch.fx.experimental.proxy_tensor import make_fx

    state = rng_state()
    options = {"config_patches": {"size_asserts": False, "cpp_wrapper": True}}
    try:
        graph = make_fx(function, tracing_mode="fake", _allow_non_fake_inputs=True)(*inputs)
        with _programs_of_this_processor():
            program = standalone_compile(
                graph, [*inputs], dynamic_shapes="from_example_inputs", options=options
            )
            program(*(tensor.clone() for tensor in inputs))  # some compile, but do not run
        return program
    except Exception as error:  # whatever torch cannot trace or compile
        reason = str(error).strip() or repr(error)
        raise ModelError(
            f"This model cannot be compiled here: {reason.splitlines()[0][:200]}",
            remedy="--set train.execution=auto; compiling needs a C++ compiler, and a model without branches "
            "that depend on its numbers",
        ) from error
    finally:
        set_rng_state(state)


@contextlib.contextmanager
def _programs_of_this_processor() -> Iterator[None]:
    """Keep inductor's cache by processor, unless the user chose its folder.

    A program made for other vector instructions computes garbage, but inductor takes it from its cache.
    """
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    name, ours = "TORCHINDUCTOR_CACHE_DIR", files.cache_folder() / "programs" / instructions()
    before = os.environ.get(name)
    if before is not None and before != os.path.abspath(default_cache_dir()):
        yield
        return
    os.environ[name] = str(ours)
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def programs_from_cache() -> int:
    """Return how many programs this process took from inductor's cache instead of compiling them."""
    loaded = sys.modules.get("torch._dynamo.utils")
    return loaded.counters["inductor"]["fxgraph_cache_hit"] if loaded else 0
