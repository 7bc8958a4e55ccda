"""The multilayer perceptron: linear layers with an activation between them.

    x (B, ...) -> flatten (B, F) -> hidden layers (B, width) -> linear -> logits (B, K)
    hidden layer: linear, norm, activation, dropout

Shapes: B batch, F input features, K outputs. Weights start at the scale that suits the activation (He et
al. 2015 for ReLU and similar, LeCun et al. 1998 for a linear layer; see `pellucid.nn.init`), biases at 0.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from pellucid.nn import activation as make_activation
from pellucid.nn import init_weights
from pellucid.nn import norm as make_norm
from pellucid.nn.names import lookup

SIZES: dict[str, tuple[int, ...]] = {
    "tiny": (32,),
    "small": (128, 64),  # with 784 inputs and 10 outputs, the network that most courses start with
    "base": (512, 256),
}
"""Hidden widths by size."""


class MLP(nn.Module):
    """A multilayer perceptron; returns logits.

    Args:
        widths: input features, hidden widths, outputs; e.g. [784, 128, 64, 10]. Two make a linear model.
        activation: activation between layers, one of `pellucid.nn.ACTIVATIONS`.
        norm: normalization before each activation: None, "batch" or "layer".
        dropout: probability of zeroing a hidden unit in training, 0..1.

    Raises:
        ValueError: fewer than two widths, a width below 1, or a dropout outside 0..1.

    Example:
        >>> import torch
        >>> MLP([784, 128, 64, 10])(torch.zeros(32, 1, 28, 28)).shape
        torch.Size([32, 10])
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        activation: str = "relu",
        norm: str | None = None,
        dropout: float = 0.0,
    ):
        super().__init__()
        if len(widths) < 2 or min(widths) < 1:
            raise ValueError(f"MLP expects at least two widths of 1 or more, received {list(widths)}.")
        self.in_features = widths[0]
        self.hidden = nn.Sequential()
        for fan_in, fan_out in itertools.pairwise(widths[:-1]):
            self.hidden.append(nn.Linear(fan_in, fan_out))
            if norm is not None:
                self.hidden.append(make_norm(norm, fan_out))
            self.hidden.append(make_activation(activation))
            if dropout:
                self.hidden.append(nn.Dropout(dropout))
        self.output = nn.Linear(widths[-2], widths[-1])
        init_weights(self, activation, self.output)

    def forward(self, x: Float[Tensor, "B *features"]) -> Float[Tensor, "B K"]:
        flat = x.flatten(1)  # (B, F)
        if flat.shape[1] != self.in_features:
            raise ValueError(
                f"MLP expects {self.in_features} features per example, "
                f"received {flat.shape[1]} (inputs of shape {tuple(x.shape)})."
            )
        return self.output(self.hidden(flat))  # (B, K)


def mlp(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    size: str | None = None,
    hidden: Sequence[int] | None = None,
    activation: str = "relu",
    norm: str | None = None,
    dropout: float = 0.2,
) -> MLP:
    """Build an MLP for inputs of a shape.

    Args:
        input_shape: the shape of one example, e.g. (1, 28, 28) or (13,).
        num_outputs: K.
        size: tiny, small (the default) or base; see `SIZES`.
        hidden: hidden widths, instead of `size`.
        activation: see `MLP`.
        norm: see `MLP`.
        dropout: see `MLP`.

    Raises:
        ValueError: both `size` and `hidden` are given, or the size is unknown.
    """
    if size is not None and hidden is not None:
        raise ValueError(
            f"mlp expects size or hidden, received both: size={size!r}, hidden={list(hidden)}.\n"
            f"Try: --set model.options.hidden=null, which leaves the widths to the size"
        )
    widths = lookup("mlp size", size or "small", SIZES) if hidden is None else hidden
    return MLP(
        [math.prod(input_shape), *widths, num_outputs], activation=activation, norm=norm, dropout=dropout
    )


def linear(input_shape: Sequence[int], num_outputs: int, *, size: str | None = None) -> MLP:
    """Build a linear model: an MLP without hidden layers.

    With cross-entropy it is logistic regression, with the squared error linear regression.

    Args:
        input_shape: the shape of one example.
        num_outputs: K.
        size: must be None, because a linear model has only one size.

    Raises:
        ValueError: a size is given.
    """
    if size is not None:
        raise ValueError(f"linear expects no size, because it has only one; received {size!r}.")
    return MLP([math.prod(input_shape), num_outputs])


BUILDERS = {"linear": linear, "mlp": mlp}
"""Builders of this file by the name that configs use."""
