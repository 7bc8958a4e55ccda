"""Measure how the values of a tensor are spread."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from pellucid.batch import tensors
from pellucid.diagnosis.watched import Spread

MOST = 1 << 15
"""The most values that are read of one tensor."""
ALIKE = 0.93
"""Neighbors are about equally near where their mean differences are within this ratio."""


def first_tensor(values: Any) -> Tensor | None:
    """Return the first tensor of a tensor, tuple, dict or dataclass; None if there is none."""
    if isinstance(values, Tensor):
        return values
    try:
        return next(iter(tensors(values)), None)
    except Exception:  # a container of somebody else's
        return None


def kind_of(tensor: Tensor) -> str:
    """Return a dtype as a word: "float32"."""
    return str(tensor.dtype).removeprefix("torch.")


@torch.no_grad()
def spread(tensor: Tensor | None, *, closely: bool = False) -> Spread | None:
    """Measure a tensor.

    Args:
        tensor: of any dtype and shape; at most `MOST` of its values are read, whole rows first.
        closely: also compare rows and columns.
    """
    if tensor is None or tensor.is_sparse or tensor.is_quantized:
        return None
    shape, kind = tuple(tensor.shape), kind_of(tensor)
    if tensor.device.type == "meta" or not tensor.numel() or tensor.is_complex():
        return Spread(shape, kind)
    values = _some(tensor.detach())
    values = values.to(torch.float32 if values.dtype != torch.float64 else torch.float64)
    flat, bad = values.flatten(), 0
    if not math.isfinite(float(flat.sum())):
        finite = torch.isfinite(flat)
        bad = int(flat.numel() - int(finite.sum()))
        flat = flat[finite]
    if not flat.numel():
        return Spread(shape, kind, non_finite=bad)
    low, high = (float(one) for one in torch.aminmax(flat))
    variance, center = torch.var_mean(flat, correction=0)
    mean, std = float(center), float(variance) ** 0.5
    more = {**_closely(values, flat, std), **_beside(tensor, std)} if closely and not bad else {}
    return Spread(
        shape,
        kind,
        mean,
        std,
        low,
        high,
        rms=math.hypot(mean, std),
        non_finite=bad,
        **more,
    )


def _some(tensor: Tensor) -> Tensor:
    """The first rows of a tensor, as many as `MOST` values allow."""
    if tensor.numel() <= MOST or tensor.ndim == 0:
        return tensor
    row = tensor[0].numel()
    if row <= MOST // 4:
        return tensor[: max(1, MOST // row)]
    return tensor.reshape(-1)[:: tensor.numel() // MOST + 1]


def _beside(tensor: Tensor, std: float) -> dict[str, float]:
    """Compare values of pictures (B, 3, H, W) with the third next of their row and with other neighbors.

    Where channels were interleaved, the third next is nearest of all: the next ones are of other colors, the
    row below and the next channel of other places. A real pattern of period 3 has one of these as near.
    """
    if tensor.ndim != 4 or tensor.shape[1] != 3 or tensor.shape[2] < 2 or tensor.shape[3] < 8:
        return {}
    left, apart = max(0, tensor.shape[3] // 2 - 48), tensor.shape[2] // 32 + 1
    seen = tensor[:8, :, :, left : left + 96]
    rows, below = seen[:, :, :-1:apart].float(), seen[:, :, 1::apart].float()  # about MOST values each

    def differ(one: Tensor, other: Tensor) -> float:
        return float((one - other).abs().mean())

    near = differ(rows[..., 1:], rows[..., :-1])
    third = differ(rows[..., 3:], rows[..., :-3])
    if near <= 1e-3 * std:
        return {}  # rows are constant
    if third < near:
        diagonal = differ(below[..., 1:], rows[..., :-1]), differ(below[..., :-1], rows[..., 1:])
        if third > ALIKE * min(differ(below, rows), *diagonal, differ(rows[:, 1:], rows[:, :-1])):
            return {}
    return {"interleaved": third / near}


def _closely(values: Tensor, flat: Tensor, std: float) -> dict[str, Any]:
    rows = values.reshape(values.shape[0], -1) if values.ndim else values.reshape(1, 1)
    found: dict[str, Any] = {}
    if rows.shape[0] < 2:
        return found
    if values.ndim == 2 and 2 <= rows.shape[1] <= 4096:
        columns = rows.std(0, correction=0)
        found["columns"] = (float(columns.min()), float(columns.max()))
        found["row_sums"] = float(flat.min()) >= 0 and bool(((rows.sum(1) - 1).abs() < 1e-3).all())
    if std > 0:
        found["between"] = float(rows.std(0, correction=0).square().mean().sqrt()) / std
    else:
        found["between"] = 0.0
    return found


@torch.no_grad()
def against(outputs: Tensor | None, targets: Tensor | None) -> tuple[float, float] | None:
    """Compare outputs of classes with the right ones.

    Args:
        outputs: logits, (B, K), (B, T, K) or (B * T, K).
        targets: class numbers.

    Returns:
        The share that is right, and the share whose class has a probability below 15 % while another has more
        than half; None where these are not classes.
    """
    if outputs is None or targets is None or targets.is_floating_point() or outputs.ndim < 2:
        return None
    if outputs.shape[:-1] != targets.shape or outputs.shape[-1] < 2:
        return None
    logits, wanted = outputs.detach().flatten(0, -2)[:2048].float(), targets.detach().flatten()[:2048].long()
    known = (wanted >= 0) & (wanted < logits.shape[1])
    if not bool(known.any()):
        return None
    probabilities = logits[known].softmax(1)
    own = probabilities.gather(1, wanted[known, None])[:, 0]
    most = probabilities.max(1)
    right = (most.indices == wanted[known]).float().mean()
    return float(right), float(((own < 0.15) & (most.values > 0.5)).float().mean())


@torch.no_grad()
def plain_loss(outputs: Tensor | None, targets: Tensor | None, loss: str) -> float | None:
    """Return the usual loss of a kind, averaged over rows; None where shapes or kinds do not fit."""
    if outputs is None or targets is None:
        return None
    made, wanted = outputs.detach().float(), targets.detach()
    if loss == "cross_entropy" and not wanted.is_floating_point() and made.shape[:-1] == wanted.shape:
        wanted = wanted.flatten().long()
        known = (wanted >= 0) & (wanted < made.shape[-1])
        return float(functional.cross_entropy(made.flatten(0, -2)[known], wanted[known]))
    if made.numel() != wanted.numel():
        return None
    made, wanted = made.flatten(), wanted.flatten().float()
    compare = {
        "squared": functional.mse_loss,
        "absolute": functional.l1_loss,
        "binary_logits": functional.binary_cross_entropy_with_logits,
    }.get(loss)
    return None if compare is None else float(compare(made, wanted))
