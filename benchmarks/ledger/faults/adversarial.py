"""Faults of a generator and a discriminator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.ledger.bases import Pair
from benchmarks.ledger.faults.registry import (
    fault,
)
from benchmarks.ledger.program import Program


def _with_step(program: Program, step: Callable[..., Tensor]) -> Program:
    return replace(program, own_step=step)


@fault("gan", ("gan",), "missing-detach", contract=True)
def missing_detach(program: Program, strength: int) -> Program:
    def step(program: Program, real: Tensor, _: Tensor, optimizers: Any) -> Tensor:
        pair, (of_g, of_d) = program.model, optimizers
        assert isinstance(pair, Pair)
        ones, zeros = torch.ones(len(real), 1), torch.zeros(len(real), 1)
        told = F.binary_cross_entropy_with_logits
        of_d.zero_grad()
        of_g.zero_grad()
        fake = pair.generate(len(real))
        loss_d = told(pair.discriminator(real), ones) + told(pair.discriminator(fake), zeros)
        loss_d.backward(retain_graph=True)
        loss = told(pair.discriminator(fake), ones)
        loss.backward()
        of_d.step()
        of_g.step()
        return loss

    return _with_step(program, step)


@fault("gan", ("gan",), "discriminator-too-strong")
def discriminator_x10(program: Program, strength: int) -> Program:
    def both(model: Any) -> Any:
        return [
            torch.optim.Adam(model.generator.parameters(), lr=2e-5 / strength, betas=(0.5, 0.999)),
            torch.optim.Adam(model.discriminator.parameters(), lr=1e-2, betas=(0.5, 0.999)),
        ]

    return replace(program, optimizer=both)


@fault("gan", ("gan",), "optimizers-overlap")
def shared_optimizer(program: Program, strength: int) -> Program:
    def both(model: Any) -> Any:
        return [
            torch.optim.Adam(model.parameters(), lr=2e-3, betas=(0.5, 0.999)),
            torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.5, 0.999)),
        ]

    return replace(program, optimizer=both)
