"""The activation catalogue: the formula, derivative and range of every activation, as data.

Models, documentation and figures all read `ACTIVATIONS`; `activation("gelu")` makes the module. Every
derivative is written by hand, and a test compares it with autograd.

Shapes: a pointwise activation maps (...) to (...), and so does its derivative. `softmax` and
`log_softmax` are not pointwise: they work on the last axis, and their derivative is the Jacobian
(..., K, K) with entry [i, j] = d output_i / d input_j.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pellucid.nn.names import lookup

LEAKY_SLOPE = 0.01
PRELU_SLOPE = 0.25
ELU_ALPHA = 1.0
SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805
INFINITY = math.inf


@dataclass(frozen=True)
class Activation:
    """An entry of the activation catalogue.

    Attributes:
        name: the name here and in configs.
        formula: f(x), in LaTeX.
        derivative_formula: f'(x), in LaTeX.
        range: infimum and supremum of f; may be infinite, may not be attained.
        pointwise: whether each output depends only on the input at the same position.
        function: f.
        derivative: f', or the Jacobian if f is not pointwise. At a kink, the value that autograd uses.
        module: makes the module.
        source: the paper that proposed it.
        note: when to use it, or what to know about it.
    """

    name: str
    formula: str
    derivative_formula: str
    range: tuple[float, float]
    function: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor], Tensor]
    module: Callable[[], nn.Module]
    source: str
    note: str
    pointwise: bool = True


# ---- functions and derivatives that torch lacks ------------------------------------------------


def step(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return 1 where x >= 0, else 0; the derivative is 0 everywhere."""
    return x.sign().add(1).div(2).ceil()


class Step(nn.Module):
    """`step` as a module."""

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return step(x)


def prelu(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return PReLU with the initial slope; the module learns the slope."""
    return F.leaky_relu(x, PRELU_SLOPE)


def softmax(x: Float[Tensor, "*shape K"]) -> Float[Tensor, "*shape K"]:
    """Exponentials along the last axis, divided by their sum."""
    return F.softmax(x, dim=-1)


def log_softmax(x: Float[Tensor, "*shape K"]) -> Float[Tensor, "*shape K"]:
    """Logarithm of the softmax along the last axis, computed stably."""
    return F.log_softmax(x, dim=-1)


def sigmoid_derivative(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """s (1 - s) with s = sigmoid(x)."""
    s = torch.sigmoid(x)
    return s * (1 - s)


def slope_below_zero(x: Float[Tensor, "*shape"], slope: float) -> Float[Tensor, "*shape"]:
    """Return 1 where x > 0, else `slope`: the derivative of every piecewise linear rectifier."""
    return torch.where(x > 0, 1.0, slope).to(x.dtype)


def elu_derivative(
    x: Float[Tensor, "*shape"], alpha: float = ELU_ALPHA, scale: float = 1.0
) -> Float[Tensor, "*shape"]:
    """`scale` where x > 0, else scale alpha exp(x)."""
    return scale * torch.where(x > 0, 1.0, alpha * x.clamp(max=0).exp())


def gelu_derivative(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Phi(x) + x phi(x), with the standard normal distribution and density."""
    cumulative = 0.5 * (1 + torch.erf(x / math.sqrt(2)))
    density = torch.exp(-0.5 * x**2) / math.sqrt(2 * math.pi)
    return cumulative + x * density


def silu_derivative(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """s (1 + x (1 - s)) with s = sigmoid(x)."""
    s = torch.sigmoid(x)
    return s * (1 + x * (1 - s))


def mish_derivative(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """t + x sigmoid(x) (1 - t^2) with t = tanh(softplus(x))."""
    t = torch.tanh(F.softplus(x))
    return t + x * torch.sigmoid(x) * (1 - t**2)


def hard_sigmoid_derivative(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """1/6 where |x| < 3, else 0."""
    return torch.where(x.abs() < 3, 1 / 6, 0.0).to(x.dtype)


def hard_swish_derivative(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """(2 x + 3) / 6 where |x| < 3, else 0 below and 1 above."""
    return torch.where(x.abs() < 3, (2 * x + 3) / 6, slope_below_zero(x, 0))


def softmax_jacobian(x: Float[Tensor, "*shape K"]) -> Float[Tensor, "*shape K K"]:
    """diag(s) - s s^T with s = softmax(x)."""
    s = softmax(x)
    return torch.diag_embed(s) - s.unsqueeze(-1) * s.unsqueeze(-2)  # (..., K, K)


def log_softmax_jacobian(x: Float[Tensor, "*shape K"]) -> Float[Tensor, "*shape K K"]:
    """I - 1 s^T with s = softmax(x)."""
    return torch.eye(x.shape[-1], dtype=x.dtype, device=x.device) - softmax(x).unsqueeze(-2)  # (..., K, K)


# ---- the catalogue -----------------------------------------------------------------------------

_ENTRIES = [
    Activation(
        name="step",
        formula=r"\begin{cases}1 & x \ge 0\\ 0 & x < 0\end{cases}",
        derivative_formula=r"0",
        range=(0, 1),
        function=step,
        derivative=torch.zeros_like,
        module=Step,
        source="McCulloch and Pitts 1943; Rosenblatt 1958",
        note="The first neuron. Its derivative is 0, so no layer before it learns by gradient descent.",
    ),
    Activation(
        name="linear",
        formula=r"x",
        derivative_formula=r"1",
        range=(-INFINITY, INFINITY),
        function=lambda x: x,
        derivative=torch.ones_like,
        module=nn.Identity,
        source="Widrow and Hoff 1960",
        note="Stacked linear layers are still one linear map. Use it for the output of a regression.",
    ),
    Activation(
        name="sigmoid",
        formula=r"\sigma(x) = \frac{1}{1 + e^{-x}}",
        derivative_formula=r"\sigma(x)\,(1 - \sigma(x))",
        range=(0, 1),
        function=torch.sigmoid,
        derivative=sigmoid_derivative,
        module=nn.Sigmoid,
        source="Rumelhart, Hinton and Williams 1986",
        note="Its slope is at most 1/4, so gradients shrink with depth. Used for gates and probabilities.",
    ),
    Activation(
        name="tanh",
        formula=r"\tanh(x)",
        derivative_formula=r"1 - \tanh^2(x)",
        range=(-1, 1),
        function=torch.tanh,
        derivative=lambda x: 1 - torch.tanh(x) ** 2,
        module=nn.Tanh,
        source="LeCun et al. 1998, Efficient BackProp",
        note="A sigmoid scaled to be centered on 0, which trains faster. The default in recurrent cells.",
    ),
    Activation(
        name="softsign",
        formula=r"\frac{x}{1 + |x|}",
        derivative_formula=r"\frac{1}{(1 + |x|)^2}",
        range=(-1, 1),
        function=F.softsign,
        derivative=lambda x: (1 + x.abs()) ** -2,
        module=nn.Softsign,
        source="Turian, Bergstra and Bengio 2009",
        note="Like tanh, but it approaches its bounds slowly, so it saturates later.",
    ),
    Activation(
        name="relu",
        formula=r"\max(0, x)",
        derivative_formula=r"\begin{cases}1 & x > 0\\ 0 & x \le 0\end{cases}",
        range=(0, INFINITY),
        function=F.relu,
        derivative=lambda x: slope_below_zero(x, 0.0),
        module=nn.ReLU,
        source="Nair and Hinton 2010; Glorot, Bordes and Bengio 2011",
        note="Cheap; does not saturate above 0. A unit that is negative for every input is dead.",
    ),
    Activation(
        name="leaky_relu",
        formula=r"\begin{cases}x & x > 0\\ 0.01\,x & x \le 0\end{cases}",
        derivative_formula=r"\begin{cases}1 & x > 0\\ 0.01 & x \le 0\end{cases}",
        range=(-INFINITY, INFINITY),
        function=lambda x: F.leaky_relu(x, LEAKY_SLOPE),
        derivative=lambda x: slope_below_zero(x, LEAKY_SLOPE),
        module=lambda: nn.LeakyReLU(LEAKY_SLOPE),
        source="Maas, Hannun and Ng 2013",
        note="A ReLU whose units cannot die, because a small gradient passes below 0.",
    ),
    Activation(
        name="prelu",
        formula=r"\begin{cases}x & x > 0\\ a\,x & x \le 0\end{cases}\quad a = 0.25 \text{ at first}",
        derivative_formula=r"\begin{cases}1 & x > 0\\ a & x \le 0\end{cases}",
        range=(-INFINITY, INFINITY),
        function=prelu,
        derivative=lambda x: slope_below_zero(x, PRELU_SLOPE),
        module=lambda: nn.PReLU(init=PRELU_SLOPE),
        source="He et al. 2015, Delving Deep into Rectifiers",
        note="A leaky ReLU that learns its slope a.",
    ),
    Activation(
        name="elu",
        formula=r"\begin{cases}x & x > 0\\ e^x - 1 & x \le 0\end{cases}",
        derivative_formula=r"\begin{cases}1 & x > 0\\ e^x & x \le 0\end{cases}",
        range=(-1, INFINITY),
        function=F.elu,
        derivative=elu_derivative,
        module=nn.ELU,
        source="Clevert, Unterthiner and Hochreiter 2016",
        note="Smooth at 0; its mean output is closer to 0 than that of ReLU.",
    ),
    Activation(
        name="selu",
        formula=r"\lambda\begin{cases}x & x > 0\\ \alpha(e^x - 1) & x \le 0\end{cases}"
        r"\quad \lambda \approx 1.0507,\ \alpha \approx 1.6733",
        derivative_formula=r"\lambda\begin{cases}1 & x > 0\\ \alpha e^x & x \le 0\end{cases}",
        range=(-SELU_SCALE * SELU_ALPHA, INFINITY),
        function=F.selu,
        derivative=lambda x: elu_derivative(x, SELU_ALPHA, SELU_SCALE),
        module=nn.SELU,
        source="Klambauer et al. 2017, Self-Normalizing Neural Networks",
        note="Keeps mean 0 and variance 1 from layer to layer without normalization layers.",
    ),
    Activation(
        name="gelu",
        formula=r"x\,\Phi(x) = \frac{x}{2}\left(1 + \operatorname{erf}\frac{x}{\sqrt 2}\right)",
        derivative_formula=r"\Phi(x) + x\,\varphi(x)",
        range=(-0.16997121, INFINITY),
        function=F.gelu,
        derivative=gelu_derivative,
        module=nn.GELU,
        source="Hendrycks and Gimpel 2016",
        note="The usual choice in Transformers (BERT, GPT, ViT).",
    ),
    Activation(
        name="silu",
        formula=r"x\,\sigma(x)",
        derivative_formula=r"\sigma(x)\,(1 + x\,(1 - \sigma(x)))",
        range=(-0.27846454, INFINITY),
        function=F.silu,
        derivative=silu_derivative,
        module=nn.SiLU,
        source="Elfwing, Uchibe and Doya 2017; Ramachandran, Zoph and Le 2017 (as Swish)",
        note="Close to GELU and cheaper; the gate of SwiGLU in current language models.",
    ),
    Activation(
        name="mish",
        formula=r"x\tanh(\ln(1 + e^x))",
        derivative_formula=r"t + x\,\sigma(x)\,(1 - t^2)\quad t = \tanh(\ln(1 + e^x))",
        range=(-0.30884341, INFINITY),
        function=F.mish,
        derivative=mish_derivative,
        module=nn.Mish,
        source="Misra 2019",
        note="Smooth like SiLU, a little deeper below 0; used in object detectors.",
    ),
    Activation(
        name="softplus",
        formula=r"\ln(1 + e^x)",
        derivative_formula=r"\sigma(x)",
        range=(0, INFINITY),
        function=F.softplus,
        derivative=torch.sigmoid,
        module=nn.Softplus,
        source="Dugas et al. 2001",
        note="A smooth ReLU. Mostly used to make an output positive, such as a variance.",
    ),
    Activation(
        name="hard_sigmoid",
        formula=r"\min(1, \max(0, \tfrac{x}{6} + \tfrac{1}{2}))",
        derivative_formula=r"\begin{cases}1/6 & |x| < 3\\ 0 & |x| \ge 3\end{cases}",
        range=(0, 1),
        function=F.hardsigmoid,
        derivative=hard_sigmoid_derivative,
        module=nn.Hardsigmoid,
        source="Courbariaux, Bengio and David 2015; Howard et al. 2019",
        note="A piecewise linear sigmoid for phones and quantized models.",
    ),
    Activation(
        name="hard_swish",
        formula=r"x \min(1, \max(0, \tfrac{x}{6} + \tfrac{1}{2}))",
        derivative_formula=r"\begin{cases}0 & x \le -3\\ (2x + 3)/6 & |x| < 3\\ 1 & x \ge 3\end{cases}",
        range=(-0.375, INFINITY),
        function=F.hardswish,
        derivative=hard_swish_derivative,
        module=nn.Hardswish,
        source="Howard et al. 2019, Searching for MobileNetV3",
        note="SiLU with a hard sigmoid, for phones and quantized models.",
    ),
    Activation(
        name="softmax",
        formula=r"\frac{e^{x_i}}{\sum_j e^{x_j}}",
        derivative_formula=r"s_i\,(\delta_{ij} - s_j)",
        range=(0, 1),
        function=softmax,
        derivative=softmax_jacobian,
        module=lambda: nn.Softmax(dim=-1),
        source="Bridle 1990",
        note="Turns logits into probabilities that sum to 1. The loss applies it: a model returns logits.",
        pointwise=False,
    ),
    Activation(
        name="log_softmax",
        formula=r"x_i - \ln\sum_j e^{x_j}",
        derivative_formula=r"\delta_{ij} - s_j",
        range=(-INFINITY, 0),
        function=log_softmax,
        derivative=log_softmax_jacobian,
        module=lambda: nn.LogSoftmax(dim=-1),
        source="Bridle 1990",
        note="The logarithm of softmax, computed without overflow; cross-entropy is its mean over targets.",
        pointwise=False,
    ),
]

ACTIVATIONS: dict[str, Activation] = {entry.name: entry for entry in _ENTRIES}
"""Every activation, by name."""


def activation(name: str) -> nn.Module:
    """Make an activation module.

    Args:
        name: one of `ACTIVATIONS`.

    Raises:
        ValueError: there is no activation of that name; the message suggests the nearest.
    """
    return lookup("activation", name, ACTIVATIONS).module()
