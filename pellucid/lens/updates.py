"""The formulas of optimizers, to compute an update again from its parts.

w weight, g gradient, lr learning rate, wd weight decay, t number of updates. Each function returns the new
weight and the new state from the old ones, in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

State = Mapping[str, Any]
Result = tuple[Tensor, dict[str, Tensor]]


def sgd(w: Tensor, g: Tensor, state: State, group: Mapping[str, Any]) -> Result:
    """m = momentum m + (1 - dampening) g;  w = w - lr m  (Polyak 1964).

    With nesterov, w = w - lr (g + momentum m); without momentum, w = w - lr g.
    """
    g = _signed(g, group) + group["weight_decay"] * w
    if not group["momentum"]:
        return w - group["lr"] * g, {}
    before = _double(state.get("momentum_buffer"))
    m = g if before is None else group["momentum"] * before + (1 - group["dampening"]) * g
    step = g + group["momentum"] * m if group["nesterov"] else m
    return w - group["lr"] * step, {"momentum_buffer": m}


def adam(w: Tensor, g: Tensor, state: State, group: Mapping[str, Any], decoupled: bool = False) -> Result:
    """m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  w = w - lr m' / (sqrt(v') + eps).

    m' = m / (1 - b1^t) and v' = v / (1 - b2^t)  (Kingma and Ba 2015). AdamW decays the weights apart from
    the gradient: w (1 - lr wd).
    """
    g = _signed(g, group)
    if decoupled:
        w = w * (1 - group["lr"] * group["weight_decay"])
    else:
        g = g + group["weight_decay"] * w
    b1, b2 = (float(beta) for beta in group["betas"])
    t = float(state.get("step", 0)) + 1
    m = b1 * _or_zero(state.get("exp_avg"), w) + (1 - b1) * g
    v = b2 * _or_zero(state.get("exp_avg_sq"), w) + (1 - b2) * g * g
    made, root = {"exp_avg": m, "exp_avg_sq": v}, v
    if group.get("amsgrad"):
        root = torch.maximum(_or_zero(state.get("max_exp_avg_sq"), w), v)
        made["max_exp_avg_sq"] = root
    step = m / (1 - b1**t) / ((root / (1 - b2**t)).sqrt() + group["eps"])
    return w - group["lr"] * step, made


def adamw(w: Tensor, g: Tensor, state: State, group: Mapping[str, Any]) -> Result:
    """w = w (1 - lr wd) - lr m' / (sqrt(v') + eps)  (Loshchilov and Hutter 2019); m', v' as for Adam."""
    return adam(w, g, state, group, decoupled=True)


def rmsprop(w: Tensor, g: Tensor, state: State, group: Mapping[str, Any]) -> Result:
    """v = alpha v + (1 - alpha) g^2;  w = w - lr g / (sqrt(v) + eps)  (Tieleman and Hinton 2012)."""
    g = _signed(g, group) + group["weight_decay"] * w
    v = group["alpha"] * _or_zero(state.get("square_avg"), w) + (1 - group["alpha"]) * g * g
    made, center = {"square_avg": v}, v
    if group["centered"]:
        mean = group["alpha"] * _or_zero(state.get("grad_avg"), w) + (1 - group["alpha"]) * g
        made["grad_avg"], center = mean, v - mean * mean
    step = g / (center.sqrt() + group["eps"])
    if group["momentum"]:
        step = group["momentum"] * _or_zero(state.get("momentum_buffer"), w) + step
        made["momentum_buffer"] = step
    return w - group["lr"] * step, made


def adagrad(w: Tensor, g: Tensor, state: State, group: Mapping[str, Any]) -> Result:
    """s = s + g^2;  w = w - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps).

    Duchi, Hazan and Singer 2011.
    """
    g = _signed(g, group) + group["weight_decay"] * w
    s = _or_zero(state.get("sum"), w) + g * g
    rate = group["lr"] / (1 + float(state.get("step", 0)) * group["lr_decay"])
    return w - rate * g / (s.sqrt() + group["eps"]), {"sum": s}


FORMULAS: dict[type, Callable[..., Result]] = {
    torch.optim.SGD: sgd,
    torch.optim.Adam: adam,
    torch.optim.AdamW: adamw,
    torch.optim.RMSprop: rmsprop,
    torch.optim.Adagrad: adagrad,
}


def formula_of(optimizer: torch.optim.Optimizer) -> Callable[..., Result] | None:
    """Return the formula of an optimizer; None where it is not known."""
    return next((FORMULAS[kind] for kind in type(optimizer).__mro__ if kind in FORMULAS), None)


def in_words(formula: Callable[..., Result]) -> str:
    """Return a formula in words, the first line of its docstring."""
    return (formula.__doc__ or "").split("\n")[0]


def _signed(g: Tensor, group: Mapping[str, Any]) -> Tensor:
    return -g if group.get("maximize") else g


def _double(value: Any) -> Tensor | None:
    return None if value is None else value.detach().double()


def _or_zero(value: Any, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if value is None else value.detach().double()
