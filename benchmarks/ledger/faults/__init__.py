"""Faults: each turns a healthy program into one with a known mistake.

A fault names the findings that count as its right cause: one mistake can be told in more than one true way.

In: a healthy `Program`. Out: the same with one mistake. One file a category; `registry` says what a fault is.
"""

from benchmarks.ledger.faults import adversarial, data, loop, loss, model, optimizer, sequences
from benchmarks.ledger.faults.registry import FAULTS, Fault

__all__ = ["FAULTS", "Fault", "adversarial", "data", "loop", "loss", "model", "optimizer", "sequences"]
