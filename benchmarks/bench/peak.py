"""Measure the peak speed of this machine with matrix products, most of the arithmetic in deep learning."""

from __future__ import annotations

import time

import torch

SIDE, TIMES = 2048, 5


def peaks() -> dict[str, float]:
    """Return the GFLOP/s of a square matrix product, the fastest of five, by dtype."""
    return {"fp32": _peak(torch.float32), "bf16": _peak(torch.bfloat16)}


def _peak(kind: torch.dtype) -> float:
    a, b = torch.randn(SIDE, SIDE).to(kind), torch.randn(SIDE, SIDE).to(kind)
    seconds = []
    for _ in range(TIMES + 1):
        began = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - began)
    return 2 * SIDE**3 / min(seconds[1:]) / 1e9
