"""Seed, save and restore all random number generators that a step depends on."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch (every device)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


_TURN = threading.RLock()
"""Held by the thread that uses the global generators, of which a process has only one of each kind."""


def _new_turn() -> None:
    global _TURN
    _TURN = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_turn)  # the thread that held it does not exist in the child


@contextmanager
def borrowed_generators() -> Iterator[None]:
    """Use the global generators of Python, NumPy and torch, and leave them in the state they were in.

    Other threads that borrow them wait, so that a seed gives the same numbers whatever other threads do.
    """
    with _TURN:
        state = rng_state()
        try:
            yield
        finally:
            set_rng_state(state)


def rng_state() -> dict[str, Any]:
    """Return the state of every generator as plain JSON values."""
    version, internal, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "python": [version, list(internal), gauss],
        "numpy": [name, np.asarray(keys).tolist(), position, has_gauss, cached],
        "torch": torch.get_rng_state().numpy().tobytes().hex(),
        "cuda": [state.cpu().numpy().tobytes().hex() for state in _cuda_states()],
        **({"mps": torch.mps.get_rng_state().numpy().tobytes().hex()} if _has_mps() else {}),
    }


def set_rng_state(state: dict[str, Any]) -> None:
    """Restore what `rng_state` returned."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    torch.set_rng_state(_tensor(state["torch"]))
    if state["cuda"]:
        torch.cuda.set_rng_state_all([_tensor(text) for text in state["cuda"]])
    if "mps" in state and _has_mps():
        torch.mps.set_rng_state(_tensor(state["mps"]))


def _cuda_states() -> list[torch.Tensor]:
    return torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []


def _has_mps() -> bool:
    return torch.backends.mps.is_available()


def _tensor(text: str) -> torch.Tensor:
    return torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8)
