"""TabM: several multilayer perceptrons in one network, for tables.

    x (B, F) -> scale and clip (B, F) -> vector of each number (B, F, D) -> flatten (B, F D)
      -> M members: hidden layers (B, M, H) -> linear (B, M, K) -> averaged to logits (B, K)
    hidden layer: (x * r) W * s + b, activation, dropout; W is shared, and each member has its own r, s and b

Yury Gorishniy, Akim Kotelnikov and Artem Babenko, "TabM: Advancing Tabular Deep Learning with
Parameter-Efficient Ensembling", ICLR 2025; the layers are those of Yeming Wen, Dustin Tran and Jimmy Ba,
"BatchEnsemble", ICLR 2020. Inputs are scaled and clipped as in David Holzmüller, Léo Grinsztajn and Ingo
Steinwart, "Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on Tabular Data", NeurIPS 2024.

In training the loss is the mean over members: each learns to predict by itself (see `member_outputs`). Their
average is better than any of them, most of all where rows are few.

Shapes: B batch, F input features, D embed_dim, T bins, M members, H hidden, K outputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.nn.init import OUTPUT_GAIN, gain
from pellucid.nn.names import lookup

QUANTILE_ROWS = 10_000
"""Most training rows that medians and quartiles are computed from."""
NORMAL_QUARTILES = 1.349
"""Distance of the quartiles of the standard normal distribution."""
CLIP = 3.0
"""Scaled inputs are clipped smoothly to -3..3."""
NARROW = 1e-5
"""Bins of at most this width have no effect."""


@dataclass(frozen=True)
class TabMPlan:
    """The dimensions of a size.

    Attributes:
        members: M.
        hidden: H, of every layer.
        layers: number of hidden layers.
        embed_dim: D, numbers that each input feature becomes; 1: it stays as it is.
    """

    members: int
    hidden: int
    layers: int
    embed_dim: int


SIZES = {
    "tiny": TabMPlan(8, 32, 2, 1),
    "small": TabMPlan(16, 64, 2, 4),
    "base": TabMPlan(32, 256, 3, 8),
}


class TabM(nn.Module):
    """An ensemble of perceptrons that share most of their weights; returns the logits of their average.

    Args:
        in_features: F.
        num_outputs: K.
        plan: see `TabMPlan`.
        dropout: probability of zeroing a hidden unit in training, 0..1.
        task: what the outputs are, which decides what is averaged: "classification" and "multilabel" average
            probabilities, anything else the outputs themselves.
    """

    def __init__(
        self,
        in_features: int,
        num_outputs: int,
        *,
        plan: TabMPlan = SIZES["small"],
        dropout: float = 0.1,
        task: str | None = None,
    ):
        super().__init__()
        self.in_features, self.task = in_features, task
        self.scale = RobustScale(in_features)
        self.embedding = PiecewiseLinear(in_features, plan.embed_dim) if plan.embed_dim > 1 else None
        self.hidden, width = nn.Sequential(), in_features * plan.embed_dim
        for layer in range(plan.layers):
            self.hidden.append(MemberLinear(plan.members, width, plan.hidden, first=layer == 0))
            self.hidden.append(nn.ReLU())
            if dropout:
                self.hidden.append(nn.Dropout(dropout))
            width = plan.hidden
        self.output = MemberOutputs(plan.members, width, num_outputs)

    def forward(self, x: Float[Tensor, "B *features"]) -> Float[Tensor, "B K"]:
        return average(self.member_outputs(x), self.task)

    def member_outputs(self, x: Float[Tensor, "B *features"]) -> Float[Tensor, "B M K"]:
        """Return the outputs of each member; objectives take the mean of the members' losses."""
        flat = x.flatten(1)  # (B, F)
        if flat.shape[1] != self.in_features:
            raise ValueError(
                f"TabM expects {self.in_features} features per example, "
                f"received {flat.shape[1]} (inputs of shape {tuple(x.shape)})."
            )
        features = self.scale(flat)  # (B, F)
        if self.embedding is not None:
            features = self.embedding(features).flatten(1)  # (B, F D)
        return self.output(self.hidden(features[:, None]))  # (B, 1, F D) -> (B, M, K)

    def count_batches(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Compute the quantiles of each feature before training, from the first `QUANTILE_ROWS` rows.

        A model that was trained before keeps those that it learned with.
        """
        if self.scale.rows:
            return
        parts: list[Tensor] = []
        for inputs, _ in batches:
            parts.append(inputs.flatten(1).float().to(self.scale.center.device))
            if sum(map(len, parts)) >= QUANTILE_ROWS:
                break
        rows = torch.cat(parts)[:QUANTILE_ROWS]  # (N, F)
        self.scale.fit(rows)
        if self.embedding is not None:
            self.embedding.fit(self.scale(rows))


def average(outputs: Float[Tensor, "B M K"], task: str | None) -> Float[Tensor, "B K"]:
    """Average members: probabilities of classes and labels, as logits again; else the outputs themselves.

    Example:
        >>> one, other = [4.0, 0.0], [0.0, 0.0]
        >>> average(torch.tensor([[one, other]]), "classification").softmax(-1)  # of 0.982 and 0.5
        tensor([[0.7410, 0.2590]])
    """
    if task == "classification":
        return outputs.log_softmax(-1).logsumexp(1) - math.log(outputs.shape[1])
    if task == "multilabel":
        return F.logsigmoid(outputs).logsumexp(1) - F.logsigmoid(-outputs).logsumexp(1)
    return outputs.mean(1)


# ---- inputs ------------------------------------------------------------------------------------


class RobustScale(nn.Module):
    """Scale by median and quartiles, which outliers do not move, and clip smoothly.

        z = (x - median) / spread;  y = z / sqrt(1 + (z / 3)^2)

    The spread is the distance of the quartiles in units of a normal distribution's standard deviation; where
    both quartiles are equal, as in most columns of 0 and 1, half the distance of the extremes.

    Args:
        features: F.
    """

    center: Tensor
    spread: Tensor
    rows: Tensor

    def __init__(self, features: int):
        super().__init__()
        self.register_buffer("center", torch.zeros(features))
        self.register_buffer("spread", torch.ones(features))
        self.register_buffer("rows", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Float[Tensor, "B F"]) -> Float[Tensor, "B F"]:
        z = (x - self.center) / self.spread
        return z * torch.rsqrt(1 + (z / CLIP).square())

    @torch.no_grad()
    def fit(self, x: Float[Tensor, "N F"]) -> None:
        """Fit to rows."""
        lowest, low, middle, high, highest = quantiles(x, 4)
        distance = torch.where(high > low, (high - low) / NORMAL_QUARTILES, (highest - lowest) / 2)
        self.center.copy_(middle)
        self.spread.copy_(torch.where(distance > 0, distance, 1.0))
        self.rows.fill_(len(x))


class PiecewiseLinear(nn.Module):
    """A number becomes D numbers, each a linear function of it plus one with a bend at every quantile.

        y = a x + c + sum_t e_t V_t,   e_t = (x - b_t) / (b_t+1 - b_t), clipped to 0..1,  t = 1..T

    Gorishniy, Rubachev and Babenko, "On Embeddings for Numerical Features in Tabular Deep Learning", NeurIPS
    2022; V starts at 0. A bin without width, as of a column of 0 and 1, has no effect.

    Args:
        features: F, each with bins and weights of its own.
        embed_dim: D.
        bins: T.
    """

    low: Tensor
    width: Tensor

    def __init__(self, features: int, embed_dim: int, *, bins: int = 16):
        super().__init__()
        self.register_buffer("low", torch.linspace(-2, 2, bins + 1)[:-1].repeat(features, 1))
        self.register_buffer("width", torch.full((features, bins), 4 / bins))
        self.linear = nn.Parameter(torch.empty(features, embed_dim).uniform_(-1, 1))
        self.bias = nn.Parameter(torch.empty(features, embed_dim).uniform_(-1, 1))
        self.weight = nn.Parameter(torch.zeros(features, bins, embed_dim))

    def forward(self, x: Float[Tensor, "B F"]) -> Float[Tensor, "B F D"]:
        x = x[..., None]
        inside = ((x - self.low) / self.width).clamp(0, 1)  # (B, F, T)
        return x * self.linear + self.bias + torch.einsum("bft,ftd->bfd", inside, self.weight)

    @torch.no_grad()
    def fit(self, x: Float[Tensor, "N F"]) -> None:
        """Place the bins at the quantiles of rows; a bin without width becomes infinitely wide."""
        edges = quantiles(x, self.width.shape[1]).T  # (F, T + 1)
        width = edges[:, 1:] - edges[:, :-1]
        self.low.copy_(edges[:, :-1])
        self.width.copy_(torch.where(width > NARROW, width, torch.inf))


def quantiles(x: Float[Tensor, "N F"], parts: int) -> Float[Tensor, "Q F"]:
    """Return the values that cut each column into equal parts, with both extremes."""
    places = torch.linspace(0, len(x) - 1, parts + 1).round().long()
    return x.sort(0).values[places]


# ---- members -----------------------------------------------------------------------------------


class MemberLinear(nn.Module):
    """A linear layer of M members with shared weights: (x * r) W * s + b (Wen et al. 2020).

    Args:
        members: M.
        in_features: I.
        out_features: O.
        first: whether the members differ from here on: r is drawn from -1 and 1, else it is 1.
    """

    def __init__(self, members: int, in_features: int, out_features: int, *, first: bool):
        super().__init__()
        signs = torch.randint(0, 2, (members, in_features)) * 2.0 - 1
        self.input_scale = nn.Parameter(signs if first else torch.ones(members, in_features))
        self.weight = nn.Parameter(
            torch.randn(out_features, in_features) * (gain("relu") * in_features**-0.5)
        )
        self.output_scale = nn.Parameter(torch.ones(members, out_features))
        self.bias = nn.Parameter(torch.zeros(members, out_features))

    def forward(self, x: Float[Tensor, "B #M I"]) -> Float[Tensor, "B M O"]:
        return F.linear(x * self.input_scale, self.weight) * self.output_scale + self.bias


class MemberOutputs(nn.Module):
    """The last layer, in which members share nothing.

    Args:
        members: M.
        in_features: H.
        num_outputs: K.
    """

    def __init__(self, members: int, in_features: int, num_outputs: int):
        super().__init__()
        scale = OUTPUT_GAIN * in_features**-0.5
        self.weight = nn.Parameter(torch.randn(members, in_features, num_outputs) * scale)
        self.bias = nn.Parameter(torch.zeros(members, num_outputs))

    def forward(self, x: Float[Tensor, "B M H"]) -> Float[Tensor, "B M K"]:
        return torch.einsum("bmh,mhk->bmk", x, self.weight) + self.bias


# ---- builder -----------------------------------------------------------------------------------


def tabm(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    size: str | None = None,
    members: int | None = None,
    hidden: int | None = None,
    embed_dim: int | None = None,
    dropout: float = 0.1,
    task: str | None = None,
) -> TabM:
    """Build an ensemble of perceptrons for tables.

    Args:
        input_shape: the shape of one example, e.g. (13,).
        num_outputs: K.
        size: tiny, small (the default) or base; see `SIZES`.
        members: M, instead of that of the size.
        hidden: H, instead of that of the size.
        embed_dim: D, instead of that of the size.
        dropout: see `TabM`.
        task: see `TabM`.

    Raises:
        ValueError: the size is unknown, or a dimension is below 1.
    """
    given = {"members": members, "hidden": hidden, "embed_dim": embed_dim}
    for name, value in given.items():
        if value is not None and value < 1:
            raise ValueError(f"tabm expects {name} of 1 or more, received {value}.")
    plan = replace(lookup("tabm size", size or "small", SIZES), **{n: v for n, v in given.items() if v})
    return TabM(math.prod(input_shape), num_outputs, plan=plan, dropout=dropout, task=task)


BUILDERS = {"tabm": tabm}
"""Builders of this file by the name that configs use."""
