"""Local derivatives: what a layer makes of the gradient of its output (the upstream gradient).

    dL/dx = dL/dy . dy/dx

Each rule is the textbook formula, written out and not asked of autograd, with which `step_through` compares
it. g is the upstream gradient, in the shape of y.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn import grad


@dataclass(frozen=True)
class Local:
    """What a rule returns.

    Attributes:
        rule: the formula.
        derivative: dy/dx, where each output depends on one input only; None elsewhere.
        inputs: dL/dx.
        parameters: dL/dw of the layer's own parameters, by name.
    """

    rule: str
    inputs: Tensor | None
    derivative: Tensor | None = None
    parameters: dict[str, Tensor] = field(default_factory=dict)


def local(module: nn.Module, x: Tensor, y: Tensor, g: Tensor) -> Local | None:
    """Return the local derivative of a call times its upstream gradient.

    Args:
        module: the layer.
        x, y: its input and output.
        g: the gradient of the loss with respect to y.

    Returns:
        None for layers whose formula is not here.
    """
    rule = next((RULES[kind] for kind in type(module).__mro__ if kind in RULES), None)
    if rule is None or x.shape[:1] != g.shape[:1]:
        return None
    return rule(module, x, y, g)


# ---- layers with weights -------------------------------------------------------------------------------


def _linear(layer: Any, x: Tensor, y: Tensor, g: Tensor) -> Local:
    rows, upstream = x.reshape(-1, x.shape[-1]), g.reshape(-1, g.shape[-1])
    parameters = {"weight": upstream.T @ rows}
    if layer.bias is not None:
        parameters["bias"] = upstream.sum(0)
    return Local("dL/dx = g W,  dL/dW = g^T x,  dL/db = sum of g", g @ layer.weight, parameters=parameters)


CONVOLUTION = "dL/dx = g * W (transposed convolution),  dL/dW = x * g,  dL/db = sum of g"


def _convolution(layer: Any, x: Tensor, y: Tensor, g: Tensor) -> Local | None:
    dims = len(layer.kernel_size)
    if isinstance(layer.padding, str) or layer.padding_mode != "zeros" or x.ndim != dims + 2:
        return None
    how = (layer.stride, layer.padding, layer.dilation, layer.groups)
    to_input = (grad.conv1d_input, grad.conv2d_input, grad.conv3d_input)[dims - 1]
    to_weight = (grad.conv1d_weight, grad.conv2d_weight, grad.conv3d_weight)[dims - 1]
    parameters = {"weight": to_weight(x, layer.weight.shape, g, *how)}
    if layer.bias is not None:
        parameters["bias"] = g.sum((0, *range(2, g.ndim)))
    return Local(CONVOLUTION, to_input(x.shape, layer.weight, g, *how), parameters=parameters)


def _embedding(layer: Any, x: Tensor, y: Tensor, g: Tensor) -> Local:
    made = torch.zeros_like(layer.weight)
    made.index_add_(0, x.flatten(), g.reshape(-1, g.shape[-1]))
    if layer.padding_idx is not None:
        made[layer.padding_idx] = 0
    return Local("dL/dW[i] = sum of g where the id is i", None, parameters={"weight": made})


# ---- norms ---------------------------------------------------------------------------------------------


NORM = "dL/dx = (h - mean(h) - x' mean(h x')) / sigma,  h = g w,  x' = (x - mu) / sigma"


def _layer_norm(layer: Any, x: Tensor, y: Tensor, g: Tensor) -> Local:
    axes = tuple(range(-len(layer.normalized_shape), 0))
    sigma = (x.var(axes, correction=0, keepdim=True) + layer.eps).sqrt()
    normed = (x - x.mean(axes, keepdim=True)) / sigma
    h = g if layer.weight is None else g * layer.weight
    inputs = (h - h.mean(axes, keepdim=True) - normed * (h * normed).mean(axes, keepdim=True)) / sigma
    others = tuple(range(x.ndim - len(axes)))
    return Local(NORM, inputs, parameters=_scale(layer, g, normed, others))


def _batch_norm(layer: Any, x: Tensor, y: Tensor, g: Tensor) -> Local:
    axes = (0, *range(2, x.ndim))
    shape = (1, -1, *[1] * (x.ndim - 2))
    own = layer.training or not layer.track_running_stats
    if own:
        mean, variance = x.mean(axes, keepdim=True), x.var(axes, correction=0, keepdim=True)
    else:
        mean, variance = (buffer.view(shape) for buffer in (layer.running_mean, layer.running_var))
    sigma = (variance + layer.eps).sqrt()
    normed = (x - mean) / sigma
    weight: Any = layer.weight
    h = g if weight is None else g * weight.view(shape)
    parameters = _scale(layer, g, normed, axes)
    if not own:
        return Local("dL/dx = g w / sigma of the running statistics", h / sigma, parameters=parameters)
    inputs = (h - h.mean(axes, keepdim=True) - normed * (h * normed).mean(axes, keepdim=True)) / sigma
    return Local(NORM, inputs, parameters=parameters)


def _scale(layer: Any, g: Tensor, normed: Tensor, axes: tuple[int, ...]) -> dict[str, Tensor]:
    made = {}
    if layer.weight is not None:
        made["weight"] = (g * normed).sum(axes)
    if layer.bias is not None:
        made["bias"] = g.sum(axes)
    return made


# ---- activations ---------------------------------------------------------------------------------------


def _elementwise(words: str, derivative: Callable[[Any, Tensor, Tensor], Tensor]) -> Callable[..., Local]:
    def rule(module: Any, x: Tensor, y: Tensor, g: Tensor) -> Local:
        slope = derivative(module, x, y)
        return Local(f"dL/dx = g dy/dx,  {words}", g * slope, slope)

    return rule


def _gelu(module: Any, x: Tensor, y: Tensor) -> Tensor:
    if module.approximate == "tanh":
        root = math.sqrt(2 / math.pi)
        t = torch.tanh(root * (x + 0.044715 * x**3))
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * root * (1 + 3 * 0.044715 * x * x)
    return 0.5 * (1 + torch.erf(x / math.sqrt(2))) + x * torch.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _silu(module: Any, x: Tensor, y: Tensor) -> Tensor:
    s = torch.sigmoid(x)
    return s * (1 + x * (1 - s))


def _leaky(module: Any, x: Tensor, y: Tensor) -> Tensor:
    return torch.full_like(x, module.negative_slope).masked_fill(x > 0, 1.0)


def _softmax(module: Any, x: Tensor, y: Tensor, g: Tensor) -> Local | None:
    if module.dim is None:
        return None
    total = (g * y).sum(module.dim, keepdim=True)
    return Local("dL/dx_i = y_i (g_i - sum of g_j y_j)", y * (g - total))


def _log_softmax(module: Any, x: Tensor, y: Tensor, g: Tensor) -> Local | None:
    if module.dim is None:
        return None
    return Local("dL/dx_i = g_i - softmax(x)_i sum of g_j", g - y.exp() * g.sum(module.dim, keepdim=True))


def _flatten(module: Any, x: Tensor, y: Tensor, g: Tensor) -> Local:
    return Local("dL/dx = g, in the shape of x", g.reshape(x.shape))


def _ones(module: Any, x: Tensor, y: Tensor) -> Tensor:
    return torch.ones_like(x)


RULES: dict[type, Callable[..., Local | None]] = {
    nn.Linear: _linear,
    nn.Conv1d: _convolution,
    nn.Conv2d: _convolution,
    nn.Conv3d: _convolution,
    nn.Embedding: _embedding,
    nn.LayerNorm: _layer_norm,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.BatchNorm3d: _batch_norm,
    nn.ReLU: _elementwise("1 where x > 0, else 0", lambda m, x, y: (x > 0).to(x.dtype)),
    nn.LeakyReLU: _elementwise("1 where x > 0, else the slope", _leaky),
    nn.ELU: _elementwise(
        "1 where x > 0, else y + alpha", lambda m, x, y: (y + m.alpha).masked_fill(x > 0, 1.0)
    ),
    nn.Sigmoid: _elementwise("y (1 - y)", lambda m, x, y: y * (1 - y)),
    nn.Tanh: _elementwise("1 - y^2", lambda m, x, y: 1 - y * y),
    nn.GELU: _elementwise("Phi(x) + x phi(x)", _gelu),
    nn.SiLU: _elementwise("s (1 + x (1 - s)),  s = sigmoid(x)", _silu),
    nn.Softplus: _elementwise("sigmoid(beta x)", lambda m, x, y: F.sigmoid(m.beta * x)),
    nn.Softmax: _softmax,
    nn.LogSoftmax: _log_softmax,
    nn.Flatten: _flatten,
    nn.Identity: _elementwise("1", _ones),
}
"""By the class of the layer."""
