"""Measure the peak speed of this machine with matrix products, most of the arithmetic in deep learning."""

from __future__ import annotations

import time

import torch

KINDS = {"fp32": torch.float32, "bf16": torch.bfloat16}
SIDE, SMALL, TIMES = 2048, 128, 5


def peaks() -> dict[str, float]:
    """Return the GFLOP/s of a square matrix product, the fastest of five, by dtype.

    Some processors only imitate bfloat16, and would take minutes: only small products are measured there.
    """
    small = {name: _peak(kind, SMALL) for name, kind in KINDS.items()}
    fast = [name for name in KINDS if small[name] >= 0.5 * small["fp32"]]
    return small | {name: _peak(KINDS[name], SIDE) for name in fast}


def _peak(kind: torch.dtype, side: int) -> float:
    a, b = torch.randn(side, side).to(kind), torch.randn(side, side).to(kind)
    seconds = []
    for _ in range(TIMES + 1):
        began = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - began)
    return 2 * side**3 / min(seconds[1:]) / 1e9
