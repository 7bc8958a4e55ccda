"""A convolutional network for sequences: residual blocks of dilated convolutions over time.

    inputs -> vectors (B, T, C) -> blocks (B, T, C), dilations 1, 2, 4 ... -> pool -> logits (B, K)

After Shaojie Bai, J. Zico Kolter and Vladlen Koltun, "An Empirical Evaluation of Generic Convolutional and
Recurrent Networks for Sequence Modeling", 2018. Their convolutions are causal; here they see both sides
unless `causal`, as in networks that label every step (Yazan Abu Farha and Juergen Gall, MS-TCN, 2019).

Shapes: B batch, T steps, C channels, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.nn import embed_inputs, init_embedding, input_layer, max_pool, mean_pool, no_pool
from pellucid.nn.init import init_output
from pellucid.nn.names import lookup


@dataclass(frozen=True)
class TCNPlan:
    """The dimensions of a size.

    Attributes:
        channels: C, the same in every block.
        num_blocks: blocks; the dilation of block i is 2^i, so that a step sees 4 (2^num_blocks - 1) others.
    """

    channels: int
    num_blocks: int


SIZES = {"tiny": TCNPlan(32, 4), "small": TCNPlan(96, 5), "base": TCNPlan(192, 6)}
"""Dimensions by size."""
POOLINGS = {"mean": mean_pool, "max": max_pool, "none": no_pool}
"""Pooling functions by name."""
KERNEL = 3


class TemporalConv(nn.Module):
    """A dilated convolution over time that keeps the length: (B, T, C) -> (B, T, C).

    Args:
        channels: C.
        dilation: distance of the steps it combines.
        causal: whether a step sees only itself and the steps before.
    """

    def __init__(self, channels: int, dilation: int, *, causal: bool):
        super().__init__()
        around = (KERNEL - 1) * dilation
        self.padding = (around, 0) if causal else (around // 2, around // 2)
        self.conv = nn.Conv1d(channels, channels, KERNEL, dilation=dilation)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        return self.conv(F.pad(x.transpose(1, 2), self.padding)).transpose(1, 2)


class ResidualBlock(nn.Module):
    """x + dropout(conv(relu(conv(norm(x))))); padding stays 0.

    Args:
        channels: C.
        dilation: of both convolutions.
        causal: see `TemporalConv`.
        dropout: probability of zeroing a feature in training, 0..1.
    """

    def __init__(self, channels: int, dilation: int, *, causal: bool, dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.first = TemporalConv(channels, dilation, causal=causal)
        self.second = TemporalConv(channels, dilation, causal=causal)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "B T C"], content: Bool[Tensor, "B T"]) -> Float[Tensor, "B T C"]:
        inside = content[:, :, None].to(x.dtype)  # (B, T, 1)
        made = F.relu(self.first(self.norm(x) * inside)) * inside
        return x + self.dropout(self.second(made)) * inside


class TCN(nn.Module):
    """A convolutional classifier of sequences; returns logits and ignores padding.

    Args:
        input_shape: the shape of one example: (T,) for tokens, (T, F) for series. Other T work as well.
        num_classes: K.
        vocab_size: number of tokens; None for series.
        plan: see `TCNPlan`.
        causal: whether a step sees only the steps before, for data that arrives as it is measured.
        dropout: probability of zeroing a feature in training, 0..1.
        pooling: pooling over the steps: mean or max; none answers at every step, with logits (B, T, K).

    Raises:
        ValueError: an unknown pooling, or a shape that does not fit the vocab_size.

    Example:
        >>> TCN((50, 3), 4, pooling="none")(torch.randn(8, 50, 3)).shape
        torch.Size([8, 50, 4])
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        *,
        vocab_size: int | None = None,
        plan: TCNPlan = SIZES["small"],
        causal: bool = False,
        dropout: float = 0.1,
        pooling: str = "mean",
    ):
        super().__init__()
        self.pool = lookup("pooling", pooling, POOLINGS)
        self.embedding = input_layer(tuple(input_shape), vocab_size, plan.channels)
        self.blocks = nn.ModuleList(
            ResidualBlock(plan.channels, 2**number, causal=causal, dropout=dropout)
            for number in range(plan.num_blocks)
        )
        self.norm = nn.LayerNorm(plan.channels)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(plan.channels, num_classes)
        init_embedding(self.embedding)
        init_output(self.output)

    def forward(self, inputs: Int[Tensor, "B T"] | Float[Tensor, "B T F"]) -> Float[Tensor, "B *T K"]:
        pooled = self.pool(self.encode(inputs), self.embedding.content(inputs))
        return self.output(self.dropout(pooled))  # (B, K) or (B, T, K)

    def encode(self, inputs: Int[Tensor, "B T"] | Float[Tensor, "B T F"]) -> Float[Tensor, "B T C"]:
        """Return the vector of every step."""
        content = self.embedding.content(inputs)  # (B, T)
        x = embed_inputs(self.embedding, inputs, self.dropout)  # (B, T, C)
        for block in self.blocks:
            x = block(x, content)
        return self.norm(x)


def tcn(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    size: str | None = None,
    vocab_size: int | None = None,
    channels: int | None = None,
    num_blocks: int | None = None,
    causal: bool = False,
    dropout: float = 0.1,
    pooling: str = "mean",
) -> TCN:
    """Build a convolutional classifier for sequences of a shape.

    Args:
        input_shape: (T,) for tokens, (T, F) for series.
        num_outputs: K.
        size: tiny, small (the default) or base; see `SIZES`.
        vocab_size: number of tokens; None for series.
        channels: C, instead of that of the size.
        num_blocks: instead of that of the size.
        causal: see `TCN`.
        dropout: see `TCN`.
        pooling: see `TCN`.

    Raises:
        ValueError: see `TCN`.
    """
    given = {"channels": channels, "num_blocks": num_blocks}
    plan = replace(
        lookup("tcn size", size or "small", SIZES),
        **{name: value for name, value in given.items() if value is not None},
    )
    return TCN(
        input_shape,
        num_outputs,
        vocab_size=vocab_size,
        plan=plan,
        causal=causal,
        dropout=dropout,
        pooling=pooling,
    )


BUILDERS = {"tcn": tcn}
"""Builders of this file by the name that configs use."""
