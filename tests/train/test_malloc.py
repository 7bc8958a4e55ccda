"""Freed memory is kept in the process during training."""

from __future__ import annotations

import platform

import pytest
import torch

from pellucid.train.malloc import keeping_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_a_reused_block_is_not_cleared_by_the_system() -> None:
    import resource

    def faults() -> int:
        """Page faults while blocks of 64 MiB are allocated and freed."""
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(8):
            torch.ones(16 * 2**20)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    usual = faults()
    with keeping_memory():
        torch.ones(16 * 2**20)
        kept = faults()
    assert usual > 8 * 1000
    assert kept < usual / 4
    assert faults() > 8 * 1000  # given back
