"""What a model and its optimizers are made of, before anything is computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from pellucid.diagnosis.watched import ModuleFact, Optimizing

OPTIONS = (
    *("p", "dropout", "eps", "momentum", "affine", "num_features", "num_heads", "batch_first", "dim"),
    *("in_features", "out_features", "in_channels", "out_channels", "hidden_size", "padding_idx"),
    *("num_embeddings", "embedding_dim", "bidirectional", "num_layers"),
)


def module_facts(model: nn.Module) -> tuple[ModuleFact, ...]:
    """Return name, class and numbers of every module."""
    return tuple(
        ModuleFact(name, type(module).__name__, _options(module)) for name, module in model.named_modules()
    )


def _options(module: nn.Module) -> dict[str, float]:
    found = {name: vars(module).get(name) for name in OPTIONS}
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}


def lost_layers(model: nn.Module) -> tuple[str, ...]:
    """Return modules with parameters that stand in plain lists or dicts, so that the model misses them."""
    known = {id(module) for module in model.modules()}
    return tuple(
        f"{name}.{attribute}" if name else attribute
        for name, module in model.named_modules()
        for attribute, value in vars(module).items()
        if not attribute.startswith("_") and any(_is_lost(one, known) for one in _held(value))
    )


def _held(value: Any) -> Iterable[Any]:
    """The entries of a list, tuple or dict, also of one inside of another."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    for part in inside:
        yield part
        yield from _held(part)


def _is_lost(one: Any, known: set[int]) -> bool:
    return (
        isinstance(one, nn.Module) and id(one) not in known and any(p.requires_grad for p in one.parameters())
    )


def optimizing(
    optimizers: Sequence[torch.optim.Optimizer], model: nn.Module, steps: Sequence[int]
) -> tuple[Optimizing, ...]:
    """Return what each optimizer is and whose parameters it has."""
    own = {id(one) for one in model.parameters()}
    found = []
    counted = Counter(id(one) for optimizer in optimizers for one in _held_by(optimizer))
    for optimizer, done in zip(optimizers, steps, strict=True):
        held = _held_by(optimizer)
        group = optimizer.param_groups[0]
        mine = sum(id(one) in own for one in held)
        found.append(
            Optimizing(
                type(optimizer).__name__,
                float(group.get("lr", 0.0)),
                mine,
                len(held) - mine,
                sum(counted[id(one)] > 1 for one in held),
                done,
                float(group["initial_lr"]) if "initial_lr" in group else None,
            )
        )
    return tuple(found)


def _held_by(optimizer: torch.optim.Optimizer) -> list[Any]:
    return [one for group in optimizer.param_groups for one in group["params"]]


def shared_modules(model: nn.Module) -> tuple[tuple[str, str], ...]:
    """Return modules with parameters that stand at several places of one parent: (name, other name)."""
    found = []
    for name, parent in model.named_modules():
        seen: dict[int, str] = {}
        for attribute, child in parent._modules.items():
            if child is None or next(child.parameters(), None) is None:
                continue
            if id(child) in seen:
                found.append((_path(name, seen[id(child)]), _path(name, attribute)))
            seen.setdefault(id(child), attribute)
    return tuple(found)


def _path(parent: str, name: str) -> str:
    return f"{parent}.{name}" if parent else name


def embeddings(model: nn.Module) -> set[int]:
    """Return the ids of the weights of embeddings."""
    kinds = (nn.Embedding, nn.EmbeddingBag)
    return {id(module.weight) for module in model.modules() if isinstance(module, kinds)}
