"""Memory that a training keeps while it lasts.

A step gives back what it has used, and the next asks for the same again. The C library of Linux (glibc)
hands large blocks straight back to the system, which then has to clear every page anew: with convolutions
or an LSTM that takes a third of a step.
"""

from __future__ import annotations

import contextlib
import ctypes
import platform
from collections.abc import Iterator

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4  # the numbers of malloc.h
FOREVER = -1  # as an unsigned number: the largest
USUAL = {MMAP_MAX: 65_536, MMAP_THRESHOLD: 32 << 20, TRIM_THRESHOLD: 64 << 20}
"""Where glibc itself arrives once a program has used large blocks."""


@contextlib.contextmanager
def keeping_memory() -> Iterator[None]:
    """Give freed memory back to the system when this ends, and not before.

    Elsewhere than on Linux with glibc it changes nothing.
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
