"""Forecasting: from the last L steps of a series to the next H.

    nlinear  x minus its last value -> one linear layer over time -> plus the last value
    dlinear  x = trend (moving average) + remainder -> one linear layer over time for each -> their sum
    patch_transformer  standardized x -> patches of 16 steps -> transformer -> linear -> original scale
    patch_lstm         the same with the last state of an LSTM

Zeng et al. 2023, Are Transformers Effective for Time Series Forecasting?, showed that the first two beat the
transformers of their time; Nie et al. 2023, A Time Series Is Worth 64 Words (PatchTST), responded with the
third, and Lin et al. 2023, SegRNN, with a recurrent network on patches. No model mixes channels: each channel
is forecast only from its own past.

Shapes: B batch, L input steps, H forecast steps, C channels, P patches, D width. Outputs are (B, H C), step
by step: `output.view(B, H, C)` is the forecast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pellucid.nn import LearnedPositions, RecurrentLayer, TransformerBlock, init_transformer
from pellucid.nn.init import OUTPUT_GAIN, init_output
from pellucid.nn.names import lookup
from pellucid.nn.shapes import check_shape

MOVING_AVERAGE = 25
"""Window of DLinear's moving average in steps: about a day of hourly values."""
PATCH = 16
"""Steps in a patch; consecutive patches overlap by half."""


@dataclass(frozen=True)
class ForecastPlan:
    """The dimensions of a size of the transformer; the MLP of each layer has 2 embed_dim hidden units.

    Attributes:
        embed_dim: D.
        num_heads: attention heads per layer.
        num_layers: number of layers.
    """

    embed_dim: int
    num_heads: int
    num_layers: int


SIZES: dict[str, ForecastPlan] = {
    "tiny": ForecastPlan(embed_dim=16, num_heads=2, num_layers=1),
    "small": ForecastPlan(embed_dim=64, num_heads=4, num_layers=2),
    "base": ForecastPlan(embed_dim=128, num_heads=8, num_layers=3),
}
"""Dimensions by size."""


class TimeLinear(nn.Module):
    """A linear layer over time, (B, L, C) -> (B, H, C).

    Args:
        in_steps: L.
        out_steps: H.
        channels: C for separate weights per channel; None for shared weights.
    """

    def __init__(self, in_steps: int, out_steps: int, channels: int | None = None):
        super().__init__()
        sets = channels or 1
        self.weight = nn.Parameter(torch.randn(sets, out_steps, in_steps) * OUTPUT_GAIN / in_steps**0.5)
        self.bias = nn.Parameter(torch.zeros(sets, out_steps))

    def forward(self, x: Float[Tensor, "B L C"]) -> Float[Tensor, "B H C"]:
        if len(self.weight) == 1:
            return F.linear(x.transpose(1, 2), self.weight[0], self.bias[0]).transpose(1, 2)
        return torch.einsum("blc,chl->bhc", x, self.weight) + self.bias.T


class Covariates(nn.Module):
    """What other channels add to a forecast: a linear layer of their windows, (B, L, M) -> (B, H, K).

    Args:
        in_steps: L.
        out_steps: H.
        covariates: M.
        targets: K.
    """

    def __init__(self, in_steps: int, out_steps: int, covariates: int, targets: int):
        super().__init__()
        self.linear = nn.Linear(in_steps * covariates, out_steps * targets)
        nn.init.normal_(self.linear.weight, std=OUTPUT_GAIN / (in_steps * covariates) ** 0.5)
        nn.init.zeros_(self.linear.bias)
        self.targets = targets

    def forward(self, x: Float[Tensor, "B L M"]) -> Float[Tensor, "B H K"]:
        return self.linear(x.flatten(1)).unflatten(1, (-1, self.targets))


class Forecaster(nn.Module):
    """Base class: forecast the first K channels from their own windows, and add what the others tell.

    Subclasses define `forecast`.

    Args:
        in_steps: L.
        out_steps: H.
        channels: C.
        targets: K; None: all channels.
    """

    def __init__(self, in_steps: int, out_steps: int, channels: int, targets: int | None):
        super().__init__()
        self.series_shape, self.out_steps = (in_steps, channels), out_steps
        self.targets = targets or channels
        others = channels - self.targets
        self.covariates = Covariates(in_steps, out_steps, others, self.targets) if others else None

    def forecast(self, x: Float[Tensor, "B L K"]) -> Float[Tensor, "B H K"]:
        """Forecast channels from their own windows."""
        raise NotImplementedError

    def forward(self, x: Float[Tensor, "B L C"]) -> Float[Tensor, "B HK"]:
        check_shape(type(self).__name__, "series", self.series_shape, x)
        made = self.forecast(x[:, :, : self.targets])
        if self.covariates is not None:
            made = made + self.covariates(x[:, :, self.targets :])
        return made.flatten(1)


class NLinear(Forecaster):
    """Forecast the change from the last value; before training, the forecast stays close to that value.

    Args:
        in_steps: L.
        out_steps: H.
        channels: C.
        individual: whether each channel has its own weights.
        targets: K, the channels to forecast; None: all.
    """

    def __init__(
        self,
        in_steps: int,
        out_steps: int,
        channels: int,
        *,
        individual: bool = False,
        targets: int | None = None,
    ):
        super().__init__(in_steps, out_steps, channels, targets)
        self.linear = TimeLinear(in_steps, out_steps, self.targets if individual else None)

    def forecast(self, x: Float[Tensor, "B L K"]) -> Float[Tensor, "B H K"]:
        last = x[:, -1:]  # (B, 1, C)
        return self.linear(x - last) + last


class DLinear(Forecaster):
    """Forecast the trend and the remainder separately.

    Args:
        in_steps: L.
        out_steps: H.
        channels: C.
        individual: whether each channel has its own weights.
        targets: K, the channels to forecast; None: all.
    """

    def __init__(
        self,
        in_steps: int,
        out_steps: int,
        channels: int,
        *,
        individual: bool = False,
        targets: int | None = None,
    ):
        super().__init__(in_steps, out_steps, channels, targets)
        sets = self.targets if individual else None
        self.trend, self.rest = (TimeLinear(in_steps, out_steps, sets) for _ in range(2))

    def forecast(self, x: Float[Tensor, "B L K"]) -> Float[Tensor, "B H K"]:
        trend = moving_average(x, MOVING_AVERAGE)
        return self.trend(trend) + self.rest(x - trend)


def moving_average(x: Float[Tensor, "B L C"], steps: int) -> Float[Tensor, "B L C"]:
    """Return the centered moving average over an odd number of steps; the ends are padded by replication."""
    padded = F.pad(x.transpose(1, 2), (steps // 2, steps // 2), mode="replicate")
    return F.avg_pool1d(padded, steps, stride=1).transpose(1, 2)


class PatchModel(Forecaster):
    """Base class: read each standardized channel as a sequence of overlapping patches, and restore its scale.

    Subclasses define `read`, and call `_make_output` at the end of their constructor.

    Args:
        in_steps: L.
        out_steps: H.
        channels: C.
        embed_dim: D, dimension of a patch embedding.
        dropout: probability of zeroing a feature in training, 0..1.
        targets: K, the channels to forecast; None: all.
    """

    def __init__(
        self,
        in_steps: int,
        out_steps: int,
        channels: int,
        embed_dim: int,
        dropout: float,
        targets: int | None,
    ):
        super().__init__(in_steps, out_steps, channels, targets)
        self.patch = min(PATCH, in_steps)
        self.stride = max(1, self.patch // 2)
        self.patches = (in_steps + self.stride - self.patch) // self.stride + 1
        self.embedding = nn.Linear(self.patch, embed_dim)
        self.dropout = nn.Dropout(dropout)
        self.output: nn.Linear

    def read(self, patches: Float[Tensor, "N P D"]) -> Float[Tensor, "N F"]:
        """Return the features (N, F) of each sequence of patches."""
        raise NotImplementedError

    def _make_output(self, features: int) -> None:
        self.output = nn.Linear(features, self.out_steps)
        init_output(self.output)

    def forecast(self, x: Float[Tensor, "B L K"]) -> Float[Tensor, "B H K"]:
        mean = x.mean(dim=1, keepdim=True)  # (B, 1, C)
        scale = (x.var(dim=1, keepdim=True, correction=0) + 1e-5).sqrt()
        features = self.read(self.embedding(self._patches((x - mean) / scale)))  # (B C, F)
        forecast = self.output(self.dropout(features))  # (B C, H)
        forecast = forecast.unflatten(0, (len(x), -1)).transpose(1, 2)  # (B, H, C)
        return forecast * scale + mean

    def _patches(self, x: Tensor) -> Tensor:
        """(B, L, C) -> (B C, P, patch); the last value is repeated for half a patch."""
        channels = F.pad(x.transpose(1, 2), (0, self.stride), mode="replicate")  # (B, C, L + stride)
        return channels.flatten(0, 1).unfold(1, self.patch, self.stride)


class PatchTransformer(PatchModel):
    """A transformer encoder on the patches of each channel.

    Args:
        in_steps: L.
        out_steps: H.
        channels: C.
        size: tiny, small or base; see `SIZES`.
        dropout: probability of zeroing a feature in training, 0..1.
        targets: K, the channels to forecast; None: all.
    """

    def __init__(
        self,
        in_steps: int,
        out_steps: int,
        channels: int,
        *,
        size: str = "small",
        dropout: float = 0.2,
        targets: int | None = None,
    ):
        plan = lookup("patch_transformer size", size, SIZES)
        width = plan.embed_dim
        super().__init__(in_steps, out_steps, channels, width, dropout, targets)
        self.positions = LearnedPositions(self.patches, width)
        self.blocks = nn.Sequential(
            *(
                TransformerBlock(width, plan.num_heads, mlp_dim=2 * width, dropout=dropout)
                for _ in range(plan.num_layers)
            )
        )
        self.norm = nn.LayerNorm(width)
        init_transformer(self)
        self._make_output(self.patches * width)

    def read(self, patches: Float[Tensor, "N P D"]) -> Float[Tensor, "N PD"]:
        return self.norm(self.blocks(self.positions(patches))).flatten(1)


class PatchLSTM(PatchModel):
    """An LSTM on the patches of each channel: far fewer steps than one per value.

    Args:
        in_steps: L.
        out_steps: H.
        channels: C.
        size: tiny, small or base: one layer with the width of that size in `SIZES`.
        dropout: probability of zeroing a feature in training, 0..1.
        targets: K, the channels to forecast; None: all.
    """

    def __init__(
        self,
        in_steps: int,
        out_steps: int,
        channels: int,
        *,
        size: str = "small",
        dropout: float = 0.2,
        targets: int | None = None,
    ):
        width = lookup("patch_lstm size", size, SIZES).embed_dim
        super().__init__(in_steps, out_steps, channels, width, dropout, targets)
        self.layer = RecurrentLayer("lstm", width, width)
        self._make_output(width)

    def read(self, patches: Float[Tensor, "N P D"]) -> Float[Tensor, "N D"]:
        return self.layer(patches)[0][:, -1]


# ---- builders --------------------------------------------------------------------------------------


def nlinear(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    size: str | None = None,
    individual: bool = False,
    targets: int | None = None,
) -> NLinear:
    """Build an NLinear model.

    Args:
        input_shape: (L, C).
        num_outputs: H K.
        size: must be None, because there is only one size.
        individual: see `NLinear`.
        targets: K, the channels to forecast; None: all C.

    Raises:
        ValueError: a size is given, or num_outputs is not a multiple of K.
    """
    _one_size("nlinear", size)
    return NLinear(
        *_steps("nlinear", input_shape, num_outputs, targets), individual=individual, targets=targets
    )


def dlinear(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    size: str | None = None,
    individual: bool = False,
    targets: int | None = None,
) -> DLinear:
    """Build a DLinear model.

    Args:
        input_shape: (L, C).
        num_outputs: H K.
        size: must be None, because there is only one size.
        individual: see `DLinear`.
        targets: K, the channels to forecast; None: all C.

    Raises:
        ValueError: a size is given, or num_outputs is not a multiple of K.
    """
    _one_size("dlinear", size)
    return DLinear(
        *_steps("dlinear", input_shape, num_outputs, targets), individual=individual, targets=targets
    )


def patch_transformer(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    size: str | None = None,
    dropout: float = 0.2,
    targets: int | None = None,
) -> PatchTransformer:
    """Build a transformer on the patches of a series.

    Args:
        input_shape: (L, C).
        num_outputs: H K.
        size: tiny, small (the default) or base; see `SIZES`.
        dropout: see `PatchTransformer`.
        targets: K, the channels to forecast; None: all C.

    Raises:
        ValueError: an unknown size, or num_outputs is not a multiple of K.
    """
    steps = _steps("patch_transformer", input_shape, num_outputs, targets)
    return PatchTransformer(*steps, size=size or "small", dropout=dropout, targets=targets)


def patch_lstm(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    size: str | None = None,
    dropout: float = 0.2,
    targets: int | None = None,
) -> PatchLSTM:
    """Build an LSTM on the patches of a series.

    Args:
        input_shape: (L, C).
        num_outputs: H K.
        size: tiny, small (the default) or base; see `SIZES`.
        dropout: see `PatchLSTM`.
        targets: K, the channels to forecast; None: all C.

    Raises:
        ValueError: an unknown size, or num_outputs is not a multiple of K.
    """
    steps = _steps("patch_lstm", input_shape, num_outputs, targets)
    return PatchLSTM(*steps, size=size or "small", dropout=dropout, targets=targets)


def _one_size(model: str, size: str | None) -> None:
    if size is not None:
        raise ValueError(f"{model} expects no size, because it has only one; received {size!r}.")


def _steps(
    model: str, input_shape: Sequence[int], num_outputs: int, targets: int | None
) -> tuple[int, int, int]:
    """Return (L, H, C)."""
    if len(input_shape) != 2 or num_outputs % (targets or input_shape[1]):
        raise ValueError(
            f"{model} expects series (L, C) and H * C outputs, received inputs of shape "
            f"{tuple(input_shape)} and {num_outputs} outputs."
        )
    in_steps, channels = input_shape
    return in_steps, num_outputs // (targets or channels), channels


BUILDERS = {
    "nlinear": nlinear,
    "dlinear": dlinear,
    "patch_transformer": patch_transformer,
    "patch_lstm": patch_lstm,
}
"""Builders of this file by the name that configs use."""
