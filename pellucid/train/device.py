"""The choice of the device."""

from __future__ import annotations

import os
import platform

import torch

from pellucid.errors import UsageError


def choose_device(wanted: str = "auto") -> tuple[torch.device, str]:
    """Return the device and the reason for it.

    Raises:
        UsageError: the requested device is not available.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted != "auto":
        if not there.get(wanted, False):
            raise UsageError(
                f"train.device is {wanted!r}, which this machine does not have.", remedy="train.device=auto"
            )
        return torch.device(wanted), "asked for"
    if there["cuda"]:
        return torch.device("cuda"), f"CUDA is available: {torch.cuda.get_device_name()}"
    if there["mps"]:
        return torch.device("mps"), "an Apple GPU is available"
    threads = torch.get_num_threads()
    return torch.device("cpu"), f"no GPU was found; {threads} CPU thread{'s' if threads > 1 else ''}"


def instructions() -> str:
    """Return the machine, its vector instructions and what limits them, e.g. "x86_64-AVX512".

    Choices and programs made for one processor do not suit another that shares its home directory.
    """
    limits = [os.environ.get(name, "") for name in ("ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")]
    parts = [platform.machine(), torch.backends.cpu.get_cpu_capability().replace(" ", "_"), *limits]
    return "-".join(part for part in parts if part.isidentifier())
