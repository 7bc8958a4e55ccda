"""Keep freed memory in the process during training.

A step frees its memory, and the next one allocates the same amount again. The C library of Linux (glibc)
returns large blocks to the system at once, which then has to clear every page again: with convolutions or an
LSTM that takes a third of a step.
"""

from __future__ import annotations

import contextlib
import ctypes
import platform
from collections.abc import Iterator

TRIM_THRESHOLD = -1  # M_TRIM_THRESHOLD of malloc.h
MMAP_THRESHOLD = -3
MMAP_MAX = -4
FOREVER = -1  # as an unsigned number: the largest
USUAL = {MMAP_MAX: 65_536, MMAP_THRESHOLD: 32 << 20, TRIM_THRESHOLD: 64 << 20}
"""The values to which glibc adapts by itself in a program that uses large blocks."""


@contextlib.contextmanager
def keeping_memory() -> Iterator[None]:
    """Return freed memory to the system on exit, and not before.

    Has no effect except on Linux with glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(MMAP_MAX, 0)
    libc.mallopt(TRIM_THRESHOLD, FOREVER)
    try:
        yield
    finally:
        for option, value in USUAL.items():
            libc.mallopt(option, value)
        libc.malloc_trim(0)
