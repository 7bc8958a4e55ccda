"""Measure every module and parameter during one step of the user's own loop."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.diagnosis.watched import ModuleLook, ParameterLook
from pellucid.lens.capture import seen_by
from pellucid.lens.watch.spread import first_tensor, spread

SAMPLE = 2048
"""Values of a parameter that are followed."""
MODULES = 300
"""The most modules that are measured."""
FIRST = {"Linear", "Conv1d", "Conv2d", "Conv3d", "LSTM", "GRU", "RNN"}
BOUNDS = {"Sigmoid": (0.0, 1.0), "Tanh": (-1.0, 1.0), "Hardtanh": (-1.0, 1.0), "Softsign": (-1.0, 1.0)}


class ModuleLooks:
    """Measures the modules of a model in one step; an observer of `lens.capture`."""

    def __init__(self, model: nn.Module, guard: Callable[[Callable[..., None]], Callable[..., None]]) -> None:
        self.found: dict[str, ModuleLook] = {}
        self._names = {module: name for name, module in list(model.named_modules())[:MODULES] if name}
        self._measure = guard(self._look)
        self._seeing = contextlib.ExitStack()
        self._seeing.enter_context(seen_by(self))

    @property
    def modules(self) -> Iterable[nn.Module]:
        """The modules that are measured."""
        return list(self._names)

    def begin(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Keep the inputs until the call returns."""
        return module, args

    def end(self, call: Any, output: Any) -> None:
        """Measure the first call of each module."""
        module, args = call
        if torch.is_grad_enabled() and self._names[module] not in self.found:
            self._measure(module, args, output)

    def fail(self, call: Any) -> None:
        """Nothing was returned."""

    def _look(self, module: nn.Module, args: Any, output: Any) -> None:
        name = self._names[module]
        first = not any(one.kind in FIRST for one in self.found.values())
        self.found[name] = module_look(name, module, args, output, closely=first)

    def close(self) -> tuple[ModuleLook, ...]:
        """Stop, and return what was measured, in the order in which the calls returned."""
        self._seeing.close()
        return tuple(self.found.values())


@torch.no_grad()
def module_look(name: str, module: nn.Module, args: Any, outputs: Any, closely: bool) -> ModuleLook:
    """Measure one call of a module; its columns are compared `closely` where it is the first with weights."""
    kind = type(module).__name__
    given, made = first_tensor(args), first_tensor(outputs)
    leaf = next(module.children(), None) is None
    return ModuleLook(
        name,
        kind,
        spread(given, closely=closely) if leaf else None,
        spread(made) if leaf else None,
        saturated=_saturated(kind, made),
        silent=_silent(kind, made),
    )


def _saturated(kind: str, made: Tensor | None) -> float | None:
    if kind not in BOUNDS or made is None or not made.numel():
        return None
    low, high = BOUNDS[kind]
    near = 0.01 * (high - low)
    return float(((made <= low + near) | (made >= high - near)).float().mean())


def _silent(kind: str, made: Tensor | None) -> tuple[int, int] | None:
    """Count units of a rectifier or layer that are above 0 for no row and place: (silent, all)."""
    if kind not in {"ReLU", "ReLU6", *FIRST} or made is None or made.ndim < 2 or not made.numel():
        return None
    axis = 1 if made.ndim in (2, 4, 5) else made.ndim - 1  # (B, C), (B, C, H, W), else (B, T, C)
    units = made.transpose(0, axis).reshape(made.shape[axis], -1)
    return int((units <= 0).all(1).sum()), units.shape[0]


# ---- parameters --------------------------------------------------------------------------------------


class ParameterLooks:
    """Measures the parameters of a model around one step of its optimizers.

    Args:
        parameters: what is measured, by name.
        groups: the group of each optimized parameter, by id.
        embeddings: ids of the parameters that are embeddings.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        groups: Mapping[int, dict[str, Any]],
        embeddings: Collection[int] = (),
    ) -> None:
        self.parameters, self.groups, self.embeddings = parameters, groups, embeddings
        self.before = {name: sample(one) for name, one in parameters.items()}
        self.gradients: dict[str, float | None] = {}
        self.added: dict[str, float] = {}
        self._handles: list[Any] = []
        for name, one in parameters.items():
            if one.requires_grad and one.is_leaf:
                self._handles.append(one.register_hook(self._added(name)))

    def _added(self, name: str) -> Callable[[Tensor], None]:
        def hook(gradient: Tensor) -> None:
            try:
                self.added[name] = self.added.get(name, 0.0) + mean_square(gradient)
            except Exception:  # a gradient that cannot be read, such as a sparse one
                self.added.setdefault(name, math.nan)

        return hook

    def stepping(self, optimizer: torch.optim.Optimizer) -> None:
        """Keep the gradients that an optimizer is about to use."""
        owned = {id(one) for group in optimizer.param_groups for one in group["params"]}
        for name, one in self.parameters.items():
            if id(one) in owned:
                self.gradients[name] = None if one.grad is None else math.sqrt(mean_square(one.grad))

    def close(self) -> tuple[ParameterLook, ...]:
        """Return what was measured."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        return tuple(self._look(name, one) for name, one in self.parameters.items())

    @torch.no_grad()
    def _look(self, name: str, one: nn.Parameter) -> ParameterLook:
        group = self.groups.get(id(one))
        before, now = self.before[name], sample(one)
        used = name in self.gradients
        gradient = self.gradients[name] if used else _gradient(one)
        changed = now - before if now.shape == before.shape else None
        finite = math.isfinite(float(now.sum()))
        return ParameterLook(
            name,
            tuple(one.shape),
            one.requires_grad,
            group is not None,
            rms=math.sqrt(mean_square(before)) if finite else math.nan,
            grad_rms=gradient,
            backward_rms=math.sqrt(self.added[name]) if name in self.added else None,
            update_rms=None if changed is None else math.sqrt(mean_square(changed)),
            lr=None if group is None else float(group.get("lr", 0.0)),
            weight_decay=0.0 if group is None else float(group.get("weight_decay") or 0.0),
            same_rows=same_rows(one),
            non_finite=0 if finite else int((~torch.isfinite(now)).sum()),
            constant=before.numel() > 1
            and bool(before[0] == before[-1])
            and bool((before == before[0]).all()),
            fresh=not (one.requires_grad and group) and is_fresh(one, embedding=id(one) in self.embeddings),
        )


def _gradient(one: nn.Parameter) -> float | None:
    return None if one.grad is None else math.sqrt(mean_square(one.grad))


def sample(one: Tensor) -> Tensor:
    """Return up to `SAMPLE` values of a parameter, the same ones each time, as a copy."""
    flat = one.detach().reshape(-1)
    stride = max(1, flat.numel() // SAMPLE)
    return flat[::stride].to(torch.float32, copy=True)


def mean_square(values: Tensor) -> float:
    """The mean of the squares of a tensor's values; 0 for an empty one."""
    if values.is_sparse:
        stored = values.coalesce().values()
        return mean_square(stored) * stored.numel() / max(1, values.numel())
    if not values.numel():
        return 0.0
    kind = torch.float64 if values.dtype == torch.float64 else torch.float32
    return float(torch.linalg.vector_norm(values.detach(), dtype=kind)) ** 2 / values.numel()


def same_rows(one: Tensor) -> bool:
    """Whether all units of a layer have the same weights; layers of one unit have no others."""
    if one.ndim < 2 or one.shape[0] < 2 or one.shape[1:].numel() < 1:
        return False
    if float(one.detach()[0].flatten()[0] - one.detach()[1].flatten()[0]) != 0:
        return False
    rows = one.detach()[:8].reshape(min(8, one.shape[0]), -1)[:, :512]
    return bool((rows[1:] == rows[:1]).all()) or bool(
        (rows - rows[:1]).abs().max() <= 1e-6 * rows.abs().max()
    )


def is_fresh(one: Tensor, embedding: bool = False) -> bool:
    """Whether a weight is spread evenly up to 1/sqrt(fan in), as PyTorch initializes layers.

    Trained weights are not: their tails go beyond, or their bulk is narrower. It is the initialization of
    He et al. (2015) with a = sqrt(5).
    """
    if one.ndim < 2 or one.shape[1:].numel() < 4 or one.numel() < 64 or not one.is_floating_point():
        return False
    if embedding:
        mean, std, low = (float(value) for value in (one.mean(), one.std(), one.min()))
        near = 3 / math.sqrt(one.numel())
        normal = abs(mean) < near and abs(std - 1) < near
        return normal or (low >= 0 and abs(mean - 0.5) < near and abs(std - 12**-0.5) < near)
    bound = 1 / math.sqrt(one.shape[1:].numel())
    values = sample(one)
    most, width = float(values.abs().max()), float(values.std())
    return bound * 0.9 <= most <= bound * 1.0001 and abs(
        width / (bound / math.sqrt(3)) - 1
    ) < 0.05 + 1.5 / math.sqrt(len(values))


def group_of(optimizers: Sequence[torch.optim.Optimizer]) -> dict[int, dict[str, Any]]:
    """Return the group of each optimized parameter, by the id of the parameter."""
    return {
        id(one): group
        for optimizer in optimizers
        for group in optimizer.param_groups
        for one in group["params"]
    }
